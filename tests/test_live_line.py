"""The line of a launch: what fits into a terminal, and when a time to go is said."""

import json

import pytest
from filelock import FileLock

from sagan.plan import Plan
from workflow import progress as module
from workflow.progress import LiveLine


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have passed; a test sets them."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def at_step(run, paths):
    """A function that takes the run to a step, as its log says."""
    log = paths.run(run.key) / "log.jsonl"
    log.parent.mkdir(parents=True)

    def at_step(step):
        log.write_text(json.dumps({"step": step}) + "\n")

    return at_step


def test_a_narrow_terminal_shows_the_step(run, paths, at_step):
    line = LiveLine(Plan({run.key: run}, {}, {}, {}), paths)
    at_step(3)
    steps, lock = run.config["training"]["steps"], paths.state(run.key) / "lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        training = f"train {run.variant} s{run.seed} at 3/{steps}"
        assert line.line() == f"runs: 0 of 1 trained, 0 of 1 jobs done; now 1: {training}"
        assert line.line(60) == f"0/1 trained, 0/1 jobs; {training}"
        assert len(line.line(30)) == 30


def test_of_many_jobs_as_many_are_shown_as_fit():
    jobs = ["train sagan s0 at 340/800", "train dcgan s1 at 20/800", "measure sngan s0"]
    assert module._fitting("3/12 trained; ", jobs, 79) == f"3/12 trained; {jobs[0]}, {jobs[1]}, 1 more"
    assert module._fitting("3/12 trained; ", jobs, 50) == f"3/12 trained; {jobs[0]}, 2 more"


def test_a_time_to_go_is_said_once_it_means_something(run, paths, at_step, clock):
    """Ten seconds of start-up are not counted: at a step a second from the tenth second on."""
    steps = run.config["training"]["steps"]
    line = LiveLine(Plan({run.key: run}, {}, {}, {}), paths)
    clock[0] = 10.0
    assert "to go" not in line.line()
    at_step(1)
    assert "to go" not in line.line()
    clock[0] = 12.0
    at_step(2)
    assert "to go" not in line.line()
    clock[0], half = 10.0 + 30.0, steps // 2
    at_step(half)
    seconds = round(30.0 * (steps - half) / (half - 1))
    assert f", 0:{seconds // 60:02}:{seconds % 60:02} to go; " in line.line()

"""The line of a launch: what fits into a terminal, and when a time to go is said."""

import dataclasses
import json
import re
from contextlib import ExitStack
from datetime import timedelta

import pytest

from sagan.store.locks import exclusive
from workflow import progress as module
from workflow.progress import LiveLine


@pytest.fixture
def plan(planned):
    """Six seeds of a run of 8 steps, whose reference is there."""
    return dataclasses.replace(planned(["tiny"], 6), references={})


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have passed; a test sets them."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def at_step(paths):
    """A function that takes a run to a step, as its log says."""

    def at_step(key, step):
        log = paths.run(key) / "log.jsonl"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(json.dumps({"step": step}) + "\n")

    return at_step


@pytest.fixture
def at_work(paths):
    """A function that says what is at work from now on."""
    with ExitStack() as held:

        def at_work(*keys):
            held.close()
            for key in keys:
                held.enter_context(exclusive(paths.run(key)))

        yield at_work


def to_go(line):
    """Seconds that it says are to go, and whether they are a lower bound; None where it says nothing."""
    found = re.search(r", (at least )?(\d+):(\d+):(\d+) to go; ", line.line())
    if found is None:
        return None
    hours, minutes, seconds = map(int, found.groups()[1:])
    return timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds(), found[1] is not None


def test_a_terminal_has_as_much_as_fits(plan, paths, at_step, at_work):
    line = LiveLine(plan, paths)
    assert line.line() == "runs: 0/6 trained, 0/12 jobs; waiting for jobs to start"
    at_step("tiny-s0", 3)
    at_work("tiny-s0", "tiny-s1")
    doing = ["train tiny s0 at 3/8", "train tiny s1 at 0/8"]
    assert line.line() == f"runs: 0/6 trained, 0/12 jobs; {', '.join(doing)}"
    assert line.line(60) == f"runs: 0/6 trained, 0/12 jobs; {doing[0]}, train …"
    assert line.line(30) == "runs: 0/6 trained, 0/12 …"


def test_without_records_the_pace_of_those_at_work_is_a_lower_bound(plan, paths, costs, clock, at_step, at_work):
    """Ten seconds of start-up are not counted, nor an hour in which a stopped training waits."""
    line = LiveLine(plan, paths)
    assert to_go(line) is None
    at_work("tiny-s0")
    clock[0] = 10.0
    at_step("tiny-s0", 1)
    assert to_go(line) is None
    clock[0] = 12.0
    at_step("tiny-s0", 2)
    assert to_go(line) is None
    clock[0] = 40.0
    at_step("tiny-s0", 4)
    assert to_go(line) == (4 * 10 + 5 * 80, True)
    at_work()  # back in the queue
    assert to_go(line) is None
    clock[0] = 3600.0
    at_work("tiny-s0")
    assert to_go(line) is None
    at_step("tiny-s0", 3)  # its checkpoint was of step 3
    assert to_go(line) is None
    clock[0] = 3630.0
    at_step("tiny-s0", 6)
    assert to_go(line) == (2 * 10 + 5 * 80, True)


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_those_at_work_share_what_is_left_and_none_is_faster_than_its_longest_job(plan, paths, costs, at_work, at_once):
    costs |= dict.fromkeys(plan.runs, 100.0)
    line = LiveLine(plan, paths)
    at_work(*list(plan.runs)[:at_once])
    assert to_go(line) == (600 / at_once, True)
    costs |= dict.fromkeys(plan.evaluations, 40.0) | {"tiny-s5": 700.0}
    assert to_go(line) == (max(700, (1200 + 240) / at_once), False)
    at_work("tiny-s0")  # between two batches
    assert to_go(line) == (max(700, (1200 + 240) / at_once), False)


def test_a_training_that_is_slower_than_the_records_has_its_own_pace(plan, paths, costs, clock, at_step, at_work):
    costs |= dict.fromkeys((*plan.runs, *plan.evaluations), 80.0)
    line = LiveLine(plan, paths)
    at_work("tiny-s0")
    at_step("tiny-s0", 1)
    assert to_go(line) == (70 + 11 * 80, False)
    clock[0] = 60.0
    at_step("tiny-s0", 3)
    assert to_go(line) == (5 * 30 + 11 * 80, False)

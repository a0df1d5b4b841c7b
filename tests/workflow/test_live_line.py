"""The line of a launch: what fits into a terminal, and when a time to go is said."""

import dataclasses
import json
from typing import ClassVar

import pytest

from sagan.plan import Evaluation, Plan, Reference
from sagan.store.locks import exclusive
from workflow import forecast
from workflow import progress as module
from workflow.forecast import Forecast
from workflow.progress import LiveLine


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have passed; a test sets them."""
    now = [0.0]
    monkeypatch.setattr(forecast.time, "monotonic", lambda: now[0])
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
    line = LiveLine(Plan({run.key: run}, {}, {}, {}), paths, 2, 0)
    at_step(3)
    steps = run.config["training"]["steps"]
    with exclusive(paths.run(run.key)):
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
    line = LiveLine(Plan({run.key: run}, {}, {}, {}), paths, 2, 0)
    with exclusive(paths.run(run.key)):
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


@pytest.fixture
def plan(run):
    """Six seeds of a run, each measured once, on one reference."""
    runs = {key: dataclasses.replace(run, key=key, seed=seed) for seed in range(6) for key in [f"tiny-s{seed}"]}
    reference = Reference("noise-ref", "noise", 28, "d" * 64, "classifier", "train", 1, "c" * 64, run.execution)
    settings = {"samples": 100, "curve_samples": 10, "threads": 1}
    evaluations = {
        f"{key}.e": Evaluation(f"{key}.e", key, reference.key, settings, "c" * 64, run.execution) for key in runs
    }
    return Plan(runs, {reference.key: reference}, evaluations, {})


class MadeUpCosts:
    """A training takes 100 s; what is known beside is set by a test."""

    known: ClassVar[dict[str, float]] = {}

    def __init__(self, plan, paths):
        pass

    def seconds(self, key, from_step=0):
        return self.known.get(key)


@pytest.fixture
def costs(monkeypatch):
    monkeypatch.setattr(forecast, "Costs", MadeUpCosts)
    monkeypatch.setattr(MadeUpCosts, "known", {})
    return MadeUpCosts.known


def test_a_kind_that_was_never_done_makes_the_time_a_lower_bound(plan, paths, clock, costs):
    costs |= dict.fromkeys(plan.runs, 100.0)
    left = [*plan.runs, *plan.evaluations]
    two = Forecast(plan, paths, 2, 0)
    assert two.seconds(left, {}, []) == (300.0, True)
    costs["tiny-s0.e"] = 40.0
    assert two.seconds(left, {}, []) == ((600 + 240) / 2, False)
    assert two.seconds(plan.references, {}, []) is None


@pytest.mark.parametrize(("cores", "gpus", "seconds"), [(1, 0, 600), (2, 0, 300), (64, 0, 100), (64, 2, 300)])
def test_cores_and_gpus_share_the_work_and_none_is_faster_than_its_longest_job(
    plan, paths, clock, costs, cores, gpus, seconds
):
    costs |= dict.fromkeys(plan.runs, 100.0)
    for run in plan.runs.values():
        run.execution["device"] = "auto"
    assert Forecast(plan, paths, cores, gpus).seconds(plan.runs, {}, []) == (seconds, False)


def test_a_slower_machine_than_the_records_slows_what_is_left(plan, paths, clock, costs):
    costs |= dict.fromkeys(plan.runs, 100.0)
    steps, one = plan.runs["tiny-s0"].config["training"]["steps"], Forecast(plan, paths, 1, 0)
    one.seconds(plan.runs, {"tiny-s0": 1}, ["tiny-s0"])
    clock[0] = 25.0 * (steps // 2 - 1)  # twice the 100 s of a run of 8 steps
    seconds, _ = one.seconds(plan.runs, {"tiny-s0": steps // 2}, ["tiny-s0"])
    assert seconds == pytest.approx(5 * 200 + 100)


def test_the_time_for_which_a_stopped_training_waits_is_none_of_its_pace(plan, paths, clock, costs):
    """It waits an hour at step 2, and then takes ten seconds a step."""
    costs |= dict.fromkeys(plan.runs, 100.0)
    steps, one = plan.runs["tiny-s0"].config["training"]["steps"], Forecast(plan, paths, 1, 0)
    assert one.seconds(["tiny-s0"], {"tiny-s0": 2}, [])[0] == pytest.approx(100 * (1 - 2 / steps))
    clock[0] = 3600.0
    one.seconds(["tiny-s0"], {"tiny-s0": 2}, ["tiny-s0"])
    clock[0] = 3630.0
    assert one.seconds(["tiny-s0"], {"tiny-s0": 5}, ["tiny-s0"])[0] == pytest.approx(10 * (steps - 5))
    one.seconds(["tiny-s0"], {"tiny-s0": 5}, [])  # back in the queue, for another hour
    clock[0] = 7200.0
    one.seconds(["tiny-s0"], {"tiny-s0": 5}, ["tiny-s0"])
    clock[0] = 7220.0
    one.seconds(["tiny-s0"], {"tiny-s0": 4}, ["tiny-s0"])  # its checkpoint was of step 4
    clock[0] = 7250.0
    assert one.seconds(["tiny-s0"], {"tiny-s0": 6}, ["tiny-s0"])[0] == pytest.approx(15 * (steps - 6))

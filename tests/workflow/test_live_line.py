"""The line of a launch: what fits into a terminal, and when a time to go is said."""

import dataclasses
import json
import re
from contextlib import ExitStack
from datetime import timedelta

import pytest

from sagan.store.locks import exclusive
from workflow.progress import LiveLine


@pytest.fixture
def plan(planned):
    """Six seeds of a run of 8 steps, whose reference is there."""
    return dataclasses.replace(planned(["tiny"], 6), references={})


@pytest.fixture
def at_step(paths):
    """A function that takes a run to a step, as its log says."""

    def at_step(key, step):
        log = paths.run(key) / "log.jsonl"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(json.dumps({"step": step, "images": 4 * step, "seconds": 1.0, "time": 0.0}) + "\n")

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

"""Seeds are added until questions are decided, whatever was killed on the way."""

import csv
import os
import random
import signal
import sys
import time

import pytest

pytestmark = pytest.mark.exhaustive

LAUNCH = (sys.executable, "-m", "workflow.launch")
# Two cells that differ by little are not decided in so short a training, so that the looks go on to the most.
GRID = {"like": "sagan", "grid": {"sn": {"both": {}, "d": {"generator": {"spectral_norm": False}}}}}


def until_decided(clone, most):
    clone.set_param("variants.small-grid", GRID)
    suite = {"variants": ["small-grid"], "questions": ["sn"], "seeds": {"least": 3, "most": most}}
    clone.set_params(suite, under="suites.quick.")
    clone.sagan("data")
    return clone


def answers(clone):
    """What the report says, without what its runs took."""
    clone.sagan("report")
    with (clone.folder / "reports/quick/effects.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    return [row for row in rows if row["at"] == "steps"]


def weights(clone):
    return {key: clone.weights(key) for key in clone.runs()}


def test_a_launcher_killed_at_random_ends_in_the_same_report_and_a_lower_most_truncates(make_clone):
    undisturbed, disturbed = (until_decided(make_clone(), most=6) for _ in range(2))
    undisturbed.run(*LAUNCH)
    for _ in range(3):
        process = disturbed.start(*LAUNCH)
        pause = random.uniform(5, 25)
        print(f"killed after {pause:.1f} s")
        time.sleep(pause)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        disturbed.run(sys.executable, "-m", "workflow.unlock")
    disturbed.run(*LAUNCH)
    assert len(weights(undisturbed)) == 12, "two cells, three seeds and then three more"
    assert weights(disturbed) == weights(undisturbed)
    assert answers(disturbed) == answers(undisturbed)
    for clone in (undisturbed, disturbed):
        clone.set_param("suites.quick.seeds", {"least": 3, "most": 3})
    first = answers(undisturbed)
    assert {row["runs"] for row in first if row["question"] == "sn"} == {"6"}
    assert first == answers(disturbed) and "all 6 are there" in undisturbed.run(*LAUNCH)

"""What a launch refuses before it starts."""

import os
from pathlib import Path

import pytest

from sagan.errors import UserError
from sagan.plan import Cell, Evaluation, Plan
from tests import varied
from workflow import launch
from workflow.jobs import environment
from workflow.launch import check_threads


@pytest.mark.parametrize(("section", "training", "evaluation"), [("training", 64, 1), ("evaluation", 1, 64)])
def test_more_threads_than_cores_are_refused(run, monkeypatch, section, training, evaluation):
    run = varied(run, {"threads": training})
    measured = Evaluation("e", run.key, "r", {"threads": evaluation}, "c" * 64, run.execution)
    plan = Plan({run.key: run}, {}, {"e": measured}, {"quick": [Cell(run.variant, run.seed, run.key, "e")]})
    with pytest.raises(UserError, match=rf"suites\.quick\.{section}\.threads = 64: this launch may use 2 cores"):
        check_threads(plan, 2)
    check_threads(plan, 64)
    monkeypatch.setattr(launch, "missing", lambda *_: [])
    check_threads(plan, 2)  # brought from a larger machine, with nothing to make


def test_a_profile_says_where_jobs_run_and_how_long_a_batch_may_be():
    profiles = Path(launch.__file__).parent / "profiles"
    assert launch.read_profile(profiles / "default") == (True, launch.MOST_SECONDS)
    assert launch.read_profile(profiles / "slurm") == (False, 3600.0)
    with pytest.raises(UserError, match="no such profile"):
        launch.read_profile(profiles / "nowhere")


def test_jobs_of_a_user_whom_the_system_does_not_know_are_at_home_in_the_clone(paths, monkeypatch):
    """As in a container that runs as any number: Python's caches ask for a home, PyTorch's for a name."""
    for name in ("HOME", "USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    told, state = environment(paths), paths.root.resolve() / "state"
    assert (told["HOME"], told["USER"]) == (str(state / "cache"), "54321")
    assert {told["XDG_CACHE_HOME"], told["TMPDIR"]} == {str(state / "cache"), str(state / "tmp")}
    assert "PYTHONSAFEPATH" not in told

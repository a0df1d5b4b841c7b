"""The state of runs, and what `prune` may delete."""

from pathlib import Path

import pytest
from filelock import FileLock

from sagan import states
from sagan.errors import UserError
from sagan.loading import load_params
from sagan.plan import make_plan
from sagan.records import write_json
from sagan.states import prune_results, run_state, set_aside_torn
from sagan.training.loop import train

PARAMS = load_params(Path(__file__).parent.parent / "params.yaml")


def test_a_run_is_missing_then_stopped_then_finished(run, images, paths):
    assert run_state(run.key, paths) == "missing"
    write_json(paths.state(run.key) / "00000003.json", {})
    assert run_state(run.key, paths) == "stopped at step 3"
    with FileLock(paths.state(run.key) / "lock"):
        assert run_state(run.key, paths) == "training at step 3"
    (paths.state(run.key) / "00000003.json").unlink()
    train(run, images, paths)
    assert run_state(run.key, paths) == "finished"


def test_a_torn_folder_is_set_aside_and_a_whole_one_left(run, images, paths):
    train(run, images, paths)
    assert set_aside_torn(run.key, paths) is None
    (paths.run(run.key) / "discriminator.safetensors").unlink()
    place = set_aside_torn(run.key, paths)
    assert (place / "run.json").exists() and not paths.run(run.key).exists()


@pytest.fixture
def planned(paths, monkeypatch):
    """One suite, prepared, with one of its runs on disk and another that nothing asks for."""
    monkeypatch.setattr(states, "make_plan", lambda params, paths, suites: make_plan(params, paths, ["quick"]))
    write_json(paths.prepared("mnist5k", 28) / "manifest.json", {"digest": "d", "channels": 1, "resolution": 28})
    wanted = next(iter(make_plan(PARAMS, paths).runs))
    for key in (wanted, "old-s0-0123456789"):
        write_json(paths.run(key) / "run.json", {"key": key})
    return wanted


def test_prune_lists_first_and_deletes_what_nothing_asks_for_when_told(planned, paths):
    lines = list(prune_results(PARAMS, paths, delete=False))
    assert any("old-s0" in line for line in lines) and not any(planned in line for line in lines)
    assert paths.run("old-s0-0123456789").exists()
    list(prune_results(PARAMS, paths, delete=True))
    assert not paths.run("old-s0-0123456789").exists() and paths.run(planned).exists()


def test_prune_never_touches_what_is_running(planned, paths):
    lock = paths.state("old-s0-0123456789") / "lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        list(prune_results(PARAMS, paths, delete=True))
    assert paths.run("old-s0-0123456789").exists()


def test_prune_refuses_where_it_cannot_tell_what_is_asked_for(paths):
    with pytest.raises(UserError, match="cannot tell what is asked for"):
        list(prune_results(PARAMS, paths, delete=True))

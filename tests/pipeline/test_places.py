"""A clone in a folder with a name of any kind, for a user without a home, with an environment that is in the way."""

import os
import signal
import sys
import time

import pytest

from tests import wait_for

pytestmark = pytest.mark.pipeline
STAGE = ("workflow/python", "-m", "workflow.launch")


@pytest.fixture(scope="module")
def clone(make_clone):
    clone = make_clone()
    moved = clone.folder.parent / "a b'c;d%e"
    clone.folder.rename(moved)
    clone.folder = moved
    clone.sagan("data")
    return clone


def test_any_name_of_the_folder_and_no_home(clone):
    output = clone.run(*STAGE, HOME="/proc/nowhere", PYTHONSAFEPATH="1", XDG_CACHE_HOME="/proc/nowhere")
    assert "2 finished, 0 diverged, 0 failed" in output and len(clone.evaluations()) == 2
    assert (clone.folder / "state/cache/snakemake").exists()


@pytest.mark.parametrize("place", ["state/logs", "state/tmp"])
def test_a_folder_that_is_in_the_way_is_named(clone, place):
    folder = clone.folder / place
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.write_text("a file")
    try:
        output = clone.run(*STAGE, check=False)
    finally:
        folder.unlink()
        aside.rename(folder)
    assert f"sagan: {place}: there is a file where a folder has to be" in output and "Traceback" not in output


@pytest.mark.usefixtures("hears_hangup")
def test_a_closed_terminal_leaves_checkpoints(clone):
    clone.set_param("suites.quick.training.steps", 100_000)
    launch = clone.start(sys.executable, "-m", "workflow.launch", "--cores", "1")
    logs = (clone.folder / "results/runs").glob
    wait_for(
        lambda: any(log.stat().st_size for log in logs("*/log.jsonl") if log.parent.name not in clone.runs()), launch
    )
    os.killpg(launch.pid, signal.SIGHUP)
    output = launch.communicate(timeout=120)[0]
    assert launch.returncode == 1 and "stopped at step" in output and "0 failed" in output
    assert list((clone.folder / "state").glob("sagan*-s0-*/0*.json"))


def test_a_time_limit_stops_and_packs(clone, tmp_path):
    clone.set_param("suites.quick.training.steps", 100_000)
    began = time.monotonic()
    launch = (sys.executable, "-m", "workflow.launch", "--cores", "1")
    output = clone.run(*launch, "--minutes", "1", "--pack", str(tmp_path / "packed"))
    assert time.monotonic() - began < 90 and "stopped at step" in output
    assert list((tmp_path / "packed").glob("under-way-1.tar")) and list((tmp_path / "packed").glob("done-1.tar"))

"""Runs in MLflow while `workflow.launch` trains them: each point once, and never in the way of training."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import sys

import psutil
import pytest

from tests import wait_for

pytestmark = pytest.mark.exhaustive

LAUNCH = (sys.executable, "-m", "workflow.launch")
PATIENCE = {"seconds": 240, "pause": 0.2}
STEPS, LOG_EVERY = 2000, 20


@pytest.fixture(scope="module")
def clone(make_clone):
    clone = make_clone()
    clone.set_params({"steps": STEPS, "batch_size": 32}, under="suites.quick.training.")
    clone.set_params({"log_every": LOG_EVERY, "checkpoint_every": 100}, under="suites.quick.execution.")
    clone.sagan("data")
    return clone


def followers(clone):
    found = psutil.process_iter(["cmdline", "cwd"])
    return [p for p in found if "--follow" in (p.info["cmdline"] or []) and p.info["cwd"] == str(clone.folder)]


def points(clone):
    """Run -> the steps of its losses, as often as MLflow holds them."""
    store = clone.folder / "state/mlflow/mlflow.db"
    if not store.exists():
        return {}
    query = (
        "select tags.value, step from metrics join tags using (run_uuid) join runs using (run_uuid) where "
        "metrics.key = 'train/loss_d' and tags.key = 'sagan.run' and lifecycle_stage = 'active' order by step"
    )
    found = {}
    try:
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=30) as database:
            for key, step in database.execute(query):
                found.setdefault(key, []).append(step)
    except sqlite3.OperationalError:  # the tables are being made
        return {}
    return found


def test_runs_appear_while_they_train_and_each_point_once_through_kills_and_a_second_follower(clone):
    launch = clone.start(*LAUNCH, "--cores", "1")
    wait_for(lambda: any(points(clone).values()), **PATIENCE)
    assert not clone.runs()  # none has finished
    (follower,) = followers(clone)
    assert follower.nice() == 19
    os.killpg(launch.pid, signal.SIGKILL)  # Snakemake and the training too
    launch.wait()
    wait_for(lambda: not followers(clone), **PATIENCE)
    before = points(clone)
    (plan,) = (clone.folder / "state/plans").glob("*.json")
    follow = ("-m", "sagan", "track", "--follow", "--plan", f"state/plans/{plan.name}")
    second = clone.start(sys.executable, *follow)
    clone.run(*LAUNCH, "--cores", "2")
    assert followers(clone) == [psutil.Process(second.pid)]
    second.communicate()  # closes its input
    assert second.returncode == 0
    assert before.keys() <= points(clone).keys() == clone.runs().keys()
    assert all(steps == list(range(LOG_EVERY, STEPS + 1, LOG_EVERY)) for steps in points(clone).values())
    clone.sagan("track")
    assert all(steps == list(range(LOG_EVERY, STEPS + 1, LOG_EVERY)) for steps in points(clone).values())


@pytest.mark.parametrize("store", ["down", "silent"])
def test_a_server_that_is_away_changes_nothing_for_training(clone, store):
    clone.set_param("suites.quick.training.steps", 30 if store == "down" else 31)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if store == "silent":
            listening.listen()
        away = f"http://127.0.0.1:{listening.getsockname()[1]}"
        output = clone.run(*LAUNCH, MLFLOW_TRACKING_URI=away)
    assert "2 finished" in output and "MLflow" not in output and "Traceback" not in output
    assert not followers(clone)
    assert "nothing is lost" in (clone.folder / "state/logs/mlflow.log").read_text()


def test_one_setting_switches_it_off(clone):
    clone.set_params({"suites.quick.training.steps": 32, "tracking.live": False})
    (clone.folder / "state/logs/mlflow.log").unlink(missing_ok=True)
    clone.run(*LAUNCH)
    assert not (clone.folder / "state/logs/mlflow.log").exists()

"""Runs appear while they train, and each point once, whatever happens to the training, the followers and the server."""

import dataclasses
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sagan.tracking import TrackingUnavailable, follow, sync
from tests import wait_for
from tests.tracking.conftest import everything, free_port


@contextmanager
def following(workspace, count: int = 1):
    """So many followers in this process; they have made their last look when the block has ended."""
    stop = threading.Event()
    arguments = (workspace.plan, workspace.params, workspace.paths, stop, 0.05)
    threads = [threading.Thread(target=follow, args=arguments) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(120)


def steps_of(workspace, cell, client=None) -> list[int]:
    client = client or workspace.client
    experiment = client.get_experiment_by_name("sagan-quick")
    if experiment is None:
        return []
    runs = client.search_runs([experiment.experiment_id], f"tags.`sagan.run` = '{cell.run}'")
    return [m.step for run in runs for m in client.get_metric_history(run.info.run_id, "train/loss_d")]


@pytest.mark.parametrize("followers", [1, 2])
def test_a_run_appears_while_it_trains_and_after_a_kill_and_a_resume_has_each_point_once(workspace, followers):
    """The log is cut back to the checkpoint at step 40 and written again, later."""
    cell = workspace.cells[0]
    with following(workspace, followers):
        for last in (10, 20, 70):
            workspace.log(cell, range(10, last + 1, 10))
            wait_for(lambda last=last: steps_of(workspace, cell) == list(range(10, last + 1, 10)))
        mirror = workspace.mirror(cell)
        assert (mirror["status"], mirror["tags"]["sagan.status"]) == ("RUNNING", "running")
        assert mirror["params"]["generator.attention_at"] == "[14]"
        workspace.log(cell, range(50, 51, 10), attempt=1)
        time.sleep(0.3)
        workspace.log(cell, range(60, 81, 10), attempt=1)
        wait_for(lambda: steps_of(workspace, cell) == list(range(10, 81, 10)))
        workspace.log(cell, range(90, 101, 10), attempt=1)
        workspace.result(cell)
        workspace.evaluation(cell)
        (run_id,) = everything(workspace.client)
    assert list(everything(workspace.client)) == [run_id]  # no reason to make the mirror anew
    mirror = workspace.mirror(cell)
    assert (mirror["status"], mirror["tags"]["sagan.status"]) == ("FINISHED", "finished")
    losses = [(step, value) for step, _, value in mirror["points"]["train/loss_d"]]
    assert losses == [(step, workspace.line(cell, step)["loss_d"]) for step in range(10, 101, 10)]
    assert len(mirror["points"]["curve/fid"]) == 3


@pytest.mark.parametrize("seed", [0, 1], ids=["same", "other"])
def test_a_restart_from_nothing_leaves_each_point_once(workspace, seed):
    """With the same values, or with others, for which another seed's stand: another device's."""
    cell = workspace.cells[0]
    restarted = dataclasses.replace(cell, seed=seed)
    with following(workspace):
        workspace.log(cell, range(10, 71, 10))
        wait_for(lambda: steps_of(workspace, cell) == list(range(10, 71, 10)))
        workspace.log(restarted, range(10, 21, 10), attempt=1)
        time.sleep(0.3)
        workspace.log(restarted, range(10, 81, 10), attempt=1)
        wait_for(lambda: steps_of(workspace, cell) == list(range(10, 81, 10)))
        workspace.log(restarted, range(90, 101, 10), attempt=1)
        workspace.result(cell)
    losses = [(step, value) for step, _, value in workspace.mirror(cell)["points"]["train/loss_d"]]
    assert losses == [(step, workspace.line(restarted, step)["loss_d"]) for step in range(10, 101, 10)]


def test_followers_and_sendings_in_several_processes_make_one_store_and_agree(make):
    """All start together, without a store; one is killed without mercy in the middle. None says anything."""
    workspace, alone = make("several", store=False), make("alone")
    workspace.plan.save(workspace.paths.root / "plan.json")
    script = f"""
import sys, threading
from pathlib import Path
from sagan import plan, tracking
from sagan.params import loading
from sagan.store import paths
stop, here = threading.Event(), paths.Paths(Path({str(workspace.paths.root)!r}))
planned, params = plan.Plan.load(here.root / "plan.json"), loading.load_params(here.params)
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
tracking.follow(planned, params, here, stop, 0.02)
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    first, second = (subprocess.Popen([sys.executable, "-c", script], **pipes) for _ in range(2))
    try:
        for step in range(10, 101, 10):
            for cell in workspace.cells:
                workspace.log(cell, range(step, step + 10, 10))
            if step == 50:
                wait_for((workspace.paths.root / "state/mlflow/mlflow.db").exists)
                wait_for(lambda: steps_of(workspace, workspace.cells[0]) == [10, 20, 30, 40, 50])
                first.kill()
        for cell in workspace.cells:
            workspace.result(cell)
            workspace.evaluation(cell)
        workspace.send()
        assert second.communicate() == (b"", None)
    finally:
        for process in (first, second):
            process.kill()
            process.wait()
    workspace.send()
    for cell in alone.cells:
        alone.finish(cell)
    alone.send()
    mirrors = [sorted(everything(each.client).values(), key=str) for each in (workspace, alone)]
    assert mirrors[0] == mirrors[1]


# --- servers ------------------------------------------------------------------------------------


class Server:
    """A real `mlflow server` on loopback that can be killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.client = MlflowClient(tracking_uri=self.uri)

    def start(self) -> None:
        options = {
            "--backend-store-uri": f"sqlite:///{self.folder}/server.db",
            "--host": "127.0.0.1",
            "--port": self.port,
        }
        options |= {"--artifacts-destination": self.folder / "artifacts", "--workers": 1}
        command = [sys.executable, "-m", "mlflow", "server", *(str(part) for item in options.items() for part in item)]
        outputs = {"stdout": (self.folder / "server.txt").open("a"), "stderr": subprocess.STDOUT}
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # for language models
        self.process = subprocess.Popen(command, cwd=self.folder, env=environment, start_new_session=True, **outputs)
        wait_for(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "server.txt").read_text()
        try:
            return bool(self.client.search_experiments())
        except Exception:
            return False

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def server(tmp_path, empty_store, monkeypatch):
    (tmp_path / "server").mkdir()
    shutil.copy(empty_store, tmp_path / "server" / "server.db")
    # A server that has only just started on a busy machine may take longer than a user would wait.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    server = Server(tmp_path / "server")
    server.start()
    yield server
    server.kill()


@pytest.mark.exhaustive
def test_a_server_that_is_killed_and_comes_back_gets_everything_once(server, workspace, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    cell, other = workspace.cells[0], workspace.cells[2]
    with caplog.at_level(logging.WARNING, "sagan.tracking"), following(workspace):
        workspace.log(cell, range(10, 51, 10))
        wait_for(lambda: steps_of(workspace, cell, server.client) == list(range(10, 51, 10)))
        server.kill()
        workspace.log(cell, range(60, 81, 10))
        wait_for(lambda: caplog.records)
        with pytest.raises(TrackingUnavailable):
            sync(workspace.plan, workspace.params, workspace.paths)
        server.start()
        wait_for(lambda: steps_of(workspace, cell, server.client) == list(range(10, 81, 10)))
        workspace.finish(cell)
        workspace.finish(other)
    assert len([r for r in caplog.records if r.name == "sagan.tracking"]) == 1
    before = [workspace.mirror(c, server.client) for c in (cell, other)]
    assert [len(run["points"]["train/loss_d"]) for run in before] == [10, 10]
    assert "attention/generator-14.png" in [name for name, _ in before[0]["files"]]
    report = sync(workspace.plan, workspace.params, workspace.paths)
    assert (report.sent, report.points) == ([], 0)
    assert [workspace.mirror(c, server.client) for c in (cell, other)] == before


@pytest.fixture
def postgresql():
    """The URI of an empty database in a PostgreSQL of our own."""
    pytest.importorskip("psycopg2", reason="no PostgreSQL driver: pip install psycopg2-binary")
    found = [Path(shutil.which("initdb") or "initdb"), *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    programs = [path.resolve().parent for path in found if path.exists()]
    if not programs:
        pytest.skip("no PostgreSQL on this machine: apt-get install postgresql")
    user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    folder, port = Path(tempfile.mkdtemp()), free_port()
    if user:
        shutil.chown(folder, user)

    def run(name: str, *arguments: object) -> None:
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "user": user, "cwd": folder}
        subprocess.run([programs[0] / name, "-D", folder / "data", *arguments], **quiet)

    run("initdb", "-U", "sagan", "-A", "trust")
    settings = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories={folder}"
    run("pg_ctl", "-o", settings, "-l", folder / "log", "-w", "start")
    yield f"postgresql://sagan:unused@127.0.0.1:{port}/postgres"
    run("pg_ctl", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.mark.exhaustive
def test_a_database_without_a_server_is_written_too(postgresql, workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgresql)
    workspace.finish(workspace.cells[1])
    workspace.send()
    client = MlflowClient(tracking_uri=postgresql)
    before = everything(client)
    assert len(workspace.mirror(workspace.cells[1], client)["points"]["train/loss_d"]) == 10
    assert workspace.send().points == 0
    assert everything(client) == before

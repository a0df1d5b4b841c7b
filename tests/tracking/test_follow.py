"""Runs appear while they train, and each point once, whatever happens to the training, the followers and the server."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
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

PATIENCE_S = 120


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
            thread.join(PATIENCE_S)


def steps_of(workspace, cell, client=None) -> list[int]:
    client = client or workspace.client
    experiment = client.get_experiment_by_name("sagan-quick")
    if experiment is None:
        return []
    runs = client.search_runs([experiment.experiment_id], f"tags.`sagan.run` = '{cell.run}'")
    return [m.step for run in runs for m in client.get_metric_history(run.info.run_id, "train/loss_d")]


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_appears_while_it_trains(workspace):
    cell = workspace.cells[0]
    with following(workspace):
        for last in (10, 20, 50):
            workspace.log(cell, range(10, last + 1, 10))
            wait_for(lambda last=last: steps_of(workspace, cell) == list(range(10, last + 1, 10)))
        mirror = workspace.mirror(cell)
        assert (mirror["status"], mirror["tags"]["sagan.status"]) == ("RUNNING", "running")
        assert mirror["params"]["generator.attention_at"] == "[14]"
        workspace.finish(cell)
    mirror = workspace.mirror(cell)
    assert (mirror["status"], mirror["tags"]["sagan.status"]) == ("FINISHED", "finished")
    assert len(mirror["points"]["curve/fid"]) == 3


def test_a_follower_ends_with_a_mirror_like_that_of_one_sending(make, everything):
    live, late = make("live"), make("late")
    with following(live):
        for last in range(10, 101, 10):
            live.log(live.cells[0], range(last, last + 10, 10))
            time.sleep(0.02)
        live.result(live.cells[0])
        live.evaluation(live.cells[0])
    late.finish(late.cells[0])
    late.send()
    assert list(everything(live.client).values()) == list(everything(late.client).values())


@pytest.mark.parametrize("followers", [1, 2])
def test_a_kill_and_a_resume_leave_each_point_once(workspace, everything, followers):
    """The log is cut back to the checkpoint at step 40 and written again, later."""
    cell = workspace.cells[0]
    with following(workspace, followers):
        workspace.log(cell, range(10, 71, 10))
        wait_for(lambda: steps_of(workspace, cell) == list(range(10, 71, 10)))
        workspace.log(cell, range(50, 51, 10), attempt=1)
        time.sleep(0.3)
        workspace.log(cell, range(60, 81, 10), attempt=1)
        wait_for(lambda: steps_of(workspace, cell)[-1] == 80)
        assert steps_of(workspace, cell) == list(range(10, 81, 10))
        workspace.log(cell, range(90, 101, 10), attempt=1)
        workspace.result(cell)
        workspace.evaluation(cell)
        run_id = next(iter(everything(workspace.client)))
    assert list(everything(workspace.client)) == [run_id]  # no reason to make the mirror anew
    points = workspace.mirror(cell)["points"]
    assert [step for step, _, _ in points["train/loss_d"]] == list(range(10, 101, 10))
    assert [value for _, _, value in points["train/loss_d"]] == [
        workspace.line(cell, step)["loss_d"] for step in range(10, 101, 10)
    ]


def test_a_restart_from_nothing_leaves_each_point_once(workspace):
    cell = workspace.cells[0]
    with following(workspace):
        workspace.log(cell, range(10, 71, 10))
        wait_for(lambda: steps_of(workspace, cell) == list(range(10, 71, 10)))
        workspace.log(cell, range(10, 21, 10), attempt=1)
        time.sleep(0.3)
        workspace.log(cell, range(10, 101, 10), attempt=1)
        workspace.result(cell)
    assert [step for step, _, _ in workspace.mirror(cell)["points"]["train/loss_d"]] == list(range(10, 101, 10))


def test_followers_and_sendings_in_several_processes_agree(workspace, make, everything):
    """One is killed without mercy in the middle."""
    workspace.plan.save(workspace.paths.root / "plan.json")
    script = f"""
import threading
from pathlib import Path
from sagan import plan, tracking
from sagan.params import loading
from sagan.store import paths
here = paths.Paths(Path({str(workspace.paths.root)!r}))
planned, params = plan.Plan.load(here.root / "plan.json"), loading.load_params(here.params)
print("ready", flush=True)
tracking.follow(planned, params, here, threading.Event(), 0.02)
"""
    processes = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for process in processes:
            process.stdout.readline()
        for step in range(10, 101, 10):
            for cell in workspace.cells:
                workspace.log(cell, range(step, step + 10, 10))
            if step == 50:
                wait_for(lambda: steps_of(workspace, workspace.cells[0])[-1:] == [50])
                processes[0].kill()
        for cell in workspace.cells:
            workspace.result(cell)
            workspace.evaluation(cell)
        workspace.send()
    finally:
        for process in processes:
            process.kill()
            process.wait()
    workspace.send()
    alone = make("alone")
    for cell in alone.cells:
        alone.finish(cell)
    alone.send()

    def by_run(client):
        return {run["tags"]["sagan.run"]: run for run in everything(client).values()}

    assert by_run(workspace.client) == by_run(alone.client)


# --- servers ------------------------------------------------------------------------------------


class Server:
    """A real `mlflow server` on loopback that can be killed and started again on the same port."""

    def __init__(self, folder: Path, store: str | None = None) -> None:
        self.folder, self.store = folder, store or f"sqlite:///{folder}/server.db"
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.port = unused.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        options = {"--backend-store-uri": self.store, "--artifacts-destination": self.folder / "artifacts"}
        options |= {"--host": "127.0.0.1", "--port": self.port, "--workers": 1}
        command = [sys.executable, "-m", "mlflow", "server", *(str(part) for item in options.items() for part in item)]
        with (self.folder / "server.txt").open("a") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
            )
        wait_for(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "server.txt").read_text()
        try:
            return bool(MlflowClient(tracking_uri=self.uri).search_experiments())
        except Exception:
            return False

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self.uri)


@pytest.fixture(scope="session")
def postgresql_server():
    """Makes databases in a PostgreSQL of our own, and tells their URIs."""
    pytest.importorskip("psycopg2", reason="no PostgreSQL driver: pip install psycopg2-binary")
    found = [Path(shutil.which("initdb") or "initdb"), *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    programs = [path.resolve().parent for path in found if path.exists()]
    if not programs:
        pytest.skip("no PostgreSQL on this machine: apt-get install postgresql")
    # PostgreSQL refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp())
    if user:
        shutil.chown(folder, user)
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "user": user, "cwd": folder}
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    data, settings = folder / "data", f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories={folder}"
    subprocess.run([programs[0] / "initdb", "-D", data, "-U", "sagan", "-A", "trust"], **quiet)
    subprocess.run([programs[0] / "pg_ctl", "-D", data, "-o", settings, "-l", folder / "log", "-w", "start"], **quiet)

    def make(name: str) -> str:
        subprocess.run([programs[0] / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "sagan", name], **quiet)
        return f"postgresql://sagan:unused@127.0.0.1:{port}/{name}"

    try:
        yield make
    finally:
        subprocess.run([programs[0] / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(folder)


@pytest.fixture
def postgresql(postgresql_server, request):
    """The URI of an empty PostgreSQL database."""
    return postgresql_server(f"t{abs(hash(request.node.name))}")


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request, tmp_path, empty_store, monkeypatch):
    folder = tmp_path / "server"
    folder.mkdir()
    store = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    shutil.copy(empty_store, folder / "server.db")
    # A server that has only just started on a busy machine may take longer than a user would wait.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    server = Server(folder, store)
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


@pytest.mark.exhaustive
def test_a_database_without_a_server_is_written_too(postgresql, workspace, monkeypatch, everything):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgresql)
    workspace.finish(workspace.cells[1])
    workspace.send()
    client = MlflowClient(tracking_uri=postgresql)
    before = everything(client)
    assert len(workspace.mirror(workspace.cells[1], client)["points"]["train/loss_d"]) == 10
    assert workspace.send().points == 0
    assert everything(client) == before

"""Where MLflow is, and what its absence costs."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import sysconfig
import time
from contextlib import closing

import psutil
import pytest
from mlflow import MlflowClient

from sagan.errors import UserError
from sagan.store.paths import Paths
from sagan.tracking import TrackingRefused, TrackingUnavailable, serving
from sagan.tracking.connection import connect
from sagan.tracking.serving import serve, ui_command, ui_environment
from tests.tracking.conftest import PARAMS


def refused() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{unused.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["http://user:secret@", "postgresql://user:secret@"])
def test_a_server_that_is_down_is_one_line_within_seconds(workspace, monkeypatch, scheme):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}{refused()}")
    workspace.finish(workspace.cells[0])
    start = time.monotonic()
    with pytest.raises(TrackingUnavailable) as caught:
        workspace.send()
    assert time.monotonic() - start < 10  # MLflow's own patience is minutes
    message = str(caught.value)
    assert "python -m sagan track" in message and "\n" not in message and "secret" not in message


def test_a_server_that_never_answers_is_given_up(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    workspace.finish(workspace.cells[0])
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(TrackingUnavailable):
            workspace.send()


def test_a_server_that_drips_is_given_up(workspace, monkeypatch):
    """A byte a second never is a time-out of a read."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    workspace.finish(workspace.cells[0])
    drip = """
import socket, sys, time
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
connection, _ = listening.accept()
connection.recv(9999)
connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 999\\r\\n\\r\\n")
while True:
    connection.sendall(b" ")
    time.sleep(0.2)
"""
    with subprocess.Popen([sys.executable, "-c", drip], stdout=subprocess.PIPE, encoding="utf-8") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.stdout.readline().strip()}")
        start = time.monotonic()
        with pytest.raises(TrackingUnavailable):
            workspace.send()
        assert time.monotonic() - start < 30  # of 999 bytes
        server.kill()


@pytest.mark.parametrize("status", [401, 404])
def test_a_refusal_is_an_error_with_the_whole_reason(workspace, monkeypatch, status):
    reason = json.dumps({"error_code": "PERMISSION_DENIED", "message": "this is " + "very " * 100 + "closed"})
    answer = f"""
import http.server
class Refusing(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response({status})
        self.end_headers()
        self.wfile.write({reason.encode()!r})
    do_GET = do_POST
    log_message = lambda *_: None
server = http.server.HTTPServer(("127.0.0.1", 0), Refusing)
print(server.server_port, flush=True)
server.serve_forever()
"""
    workspace.finish(workspace.cells[0])
    with subprocess.Popen([sys.executable, "-c", answer], stdout=subprocess.PIPE, encoding="utf-8") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.stdout.readline().strip()}")
        with pytest.raises(TrackingRefused, match=r"very closed.*MLFLOW_TRACKING_URI"):
            workspace.send()
        server.kill()


def test_a_database_that_another_process_writes_is_an_outage(workspace, monkeypatch):
    workspace.finish(workspace.cells[0])
    with closing(sqlite3.connect(workspace.paths.root / "state/mlflow/mlflow.db")) as database:
        database.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingUnavailable, match="database is locked"):
            workspace.send()


def test_a_store_of_another_mlflow_is_a_refusal(workspace):
    workspace.finish(workspace.cells[0])
    with closing(sqlite3.connect(workspace.paths.root / "state/mlflow/mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(TrackingRefused, match="out-of-date database schema"):
        workspace.send()


@pytest.mark.parametrize("uri", ["file:./mlruns", "tracking.example:5000", "htp://127.0.0.1:1"])
def test_an_address_that_mlflow_cannot_use_is_a_refusal(workspace, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(TrackingRefused):
        workspace.send()


def test_the_ui_leaves_nothing_when_it_is_terminated(workspace):
    workspace.finish(workspace.cells[0])
    workspace.send()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    command = [sys.executable, "-m", "sagan", "ui", "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    with subprocess.Popen(command, cwd=workspace.paths.root, env=environment, stdout=subprocess.PIPE) as ui:
        lines = [ui.stdout.readline() for _ in range(4)]
        assert lines[3].startswith(b"MLflow is at"), lines
        family = psutil.Process(ui.pid).children(recursive=True)
        assert family
        ui.terminate()
        assert ui.wait(30) == 143
    assert not psutil.wait_procs(family, timeout=10)[1]
    with socket.socket() as free:
        assert free.connect_ex(("127.0.0.1", port)) != 0


def test_mlflow_works_from_a_folder_whose_name_it_cannot_take(workspace, tmp_path):
    """An environment within a clone at `100%(done)s`."""
    packages = tmp_path / "100%(done)s" / "packages"
    packages.parent.mkdir()
    packages.symlink_to(sysconfig.get_paths()["purelib"])
    script = f"""
import sys
sys.path.insert(0, {str(packages)!r})
from pathlib import Path
from sagan.store.paths import Paths
from sagan.tracking.connection import connect
folder = Path({str(tmp_path / "50%")!r})
connect(f"sqlite:///{{folder}}/state/mlflow/mlflow.db", Paths(folder))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "50%" / "state/mlflow/mlflow.db").exists()


@pytest.mark.parametrize("content", [b"", b"no database" * 100])
@pytest.mark.parametrize("act", [lambda w: w.send(), lambda w: serve(w.params, w.paths, 0)], ids=["track", "ui"])
def test_a_damaged_store_is_one_line(workspace, content, act):
    (workspace.paths.root / "state/mlflow/mlflow.db").write_bytes(content)
    with pytest.raises(TrackingRefused, match=r"mlflow\.db refuses the runs: .*move the file away"):
        act(workspace)


@pytest.mark.exhaustive
@pytest.mark.parametrize("seconds", [0.4, 0.8, 1.2, 1.6, 2.0, 2.4])
def test_a_process_that_is_killed_as_it_makes_the_store_leaves_none_or_a_sound_one(make, seconds):
    workspace = make(store=False)
    workspace.finish(workspace.cells[0])
    script = f"""
from pathlib import Path
from sagan.store.paths import Paths
from sagan.tracking.connection import connect
folder = Path({str(workspace.paths.root)!r})
print("ready", flush=True)
connect(f"sqlite:///{{folder}}/state/mlflow/mlflow.db", Paths(folder))
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.readline()
    time.sleep(seconds)
    process.kill()
    process.wait()
    assert workspace.send().sent == [workspace.cells[0].run]


def test_the_ui_listens_to_this_machine_only_and_shows_no_password_in_ps(workspace, monkeypatch):
    command = ui_command()
    assert command[command.index("--host") + 1] == "127.0.0.1"
    uri = "postgresql://user:secret@db.example/mlflow"
    assert not [part for part in command if "secret" in part or "://" in part]
    assert ui_environment(uri, workspace.paths)["MLFLOW_BACKEND_STORE_URI"] == uri
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@tracking.example:5000")
    with pytest.raises(UserError, match="is a server already") as caught:
        serve(workspace.params, workspace.paths, 0)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "http://user:sec/ret@127.0.0.1:1",
        "http://user:sec@ret@127.0.0.1:1",
        "postgresql://user:sec@ret@127.0.0.1:1/db",
        "postgresql://127.0.0.1:1/db?user=me&password=sec-ret",
    ],
)
def test_no_part_of_a_password_is_told(workspace, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    workspace.finish(workspace.cells[0])
    with pytest.raises((TrackingUnavailable, UserError)) as caught:
        workspace.send()
    assert "sec" not in str(caught.value).replace("seconds", "") and "ret@" not in str(caught.value)


def test_a_password_in_params_yaml_is_refused_and_not_repeated(make):
    with pytest.raises(UserError, match=r"tracking\.uri.*MLFLOW_TRACKING_URI") as caught:
        make(text=PARAMS + "tracking: {uri: 'postgresql://me:secret@db.example/mlflow'}\n")
    assert "secret" not in str(caught.value)


def test_a_busy_port_is_a_line_before_anything_starts(workspace):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}: another program listens there; .*PORT={port + 1}"):
            serve(workspace.params, workspace.paths, port)


def test_the_ui_says_where_the_runs_are(workspace, monkeypatch):
    workspace.finish(workspace.cells[0])
    workspace.send()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    listen = f"import http.server as h; h.HTTPServer(('127.0.0.1', {port}), h.BaseHTTPRequestHandler).handle_request()"
    monkeypatch.setattr(serving, "ui_command", lambda *_: [sys.executable, "-c", listen])
    said = []
    assert serve(workspace.params, workspace.paths, port, said.append) == 0
    identity = workspace.client.get_experiment_by_name("sagan-quick").experiment_id
    page = f"http://127.0.0.1:{port}/#/experiments/{identity}/runs?workflowType=machine_learning"
    assert said[0] == "quick:" and said[1].endswith(f" {page}&orderByKey=metrics.%60fid%60&orderByAsc=true")
    assert f"{page}&compareRunsMode=CHART" in said[2]
    assert "every user of this machine" in said[3]


@pytest.mark.parametrize("move", [False, True])
def test_a_store_that_came_with_its_clone_is_set_aside_and_all_is_sent_anew(workspace, tmp_path, capsys, move):
    workspace.finish(workspace.cells[0])
    workspace.send()
    before = _files(workspace.paths.root)
    other = tmp_path / "other"
    (shutil.move if move else shutil.copytree)(workspace.paths.root, other)
    copy = dataclasses.replace(workspace, paths=Paths(other))
    assert copy.send().sent == [copy.cells[0].run]
    assert "came from another folder" in capsys.readouterr().err
    assert [path.name for path in sorted((other / "state/torn").glob("mlflow-*/*"))] == ["artifacts", "mlflow.db"]
    run = copy.client.search_runs([copy.client.get_experiment_by_name("sagan-quick").experiment_id])[0]
    assert run.info.artifact_uri.startswith((other / "state/mlflow/artifacts").as_uri())
    assert copy.client.list_artifacts(run.info.run_id)
    if not move:
        assert _files(workspace.paths.root) == before
    copy.send()
    assert "came from" not in capsys.readouterr().err


def test_a_store_that_clones_share_is_left_as_it_is(workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared.db")
    workspace.finish(workspace.cells[0])
    workspace.send()
    connect(f"sqlite:///{tmp_path}/shared.db", Paths(tmp_path / "elsewhere"))
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/shared.db")
    location = client.get_experiment_by_name("sagan-quick").artifact_location
    assert location.startswith(workspace.paths.root.as_uri())


def _files(root):
    """Of the folder of MLflow's files, and when each was written."""
    return {path: path.stat().st_mtime_ns for path in (root / "state/mlflow/artifacts").rglob("*")}

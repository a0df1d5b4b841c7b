"""Where MLflow is, and what its absence costs."""

from __future__ import annotations

import dataclasses
import shutil
import socket
import subprocess
import sys
import time

import pytest
from mlflow import MlflowClient

from sagan.errors import UserError
from sagan.store.paths import Paths
from sagan.tracking import TrackingUnavailable, serving
from sagan.tracking.connection import connect
from sagan.tracking.experiments import web_page
from sagan.tracking.serving import serve, ui_command


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


@pytest.mark.parametrize("content", [b"", b"no database" * 100])
@pytest.mark.parametrize("act", [lambda w: w.send(), lambda w: serve(w.params, w.paths, 0)], ids=["track", "ui"])
def test_a_damaged_store_is_one_line(workspace, content, act):
    (workspace.paths.root / "state/mlflow/mlflow.db").write_bytes(content)
    with pytest.raises(TrackingUnavailable, match=r"mlflow\.db did not take the runs"):
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


def test_the_ui_listens_to_this_machine_only(make, monkeypatch):
    workspace = make(store=False)
    command = ui_command(workspace.params, workspace.paths)
    assert (
        workspace.paths.root / "state" / "mlflow" / "mlflow.db"
    ).exists()  # not made by the server, without the lock
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert f"sqlite:///{workspace.paths.root}/state/mlflow/mlflow.db" in command
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@tracking.example:5000")
    with pytest.raises(UserError) as caught:
        ui_command(workspace.params, workspace.paths)
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
    assert said[0] == "quick:" and said[1].endswith(f" {page}")
    assert f"{page}&compareRunsMode=CHART&viewStateShareKey=seeds" in said[2]


@pytest.mark.parametrize("move", [False, True])
def test_a_store_that_came_with_its_clone_is_the_clones_own(workspace, tmp_path, capsys, move):
    workspace.finish(workspace.cells[0])
    workspace.send()
    before = _files(workspace.paths.root)
    other = tmp_path / "other"
    (shutil.move if move else shutil.copytree)(workspace.paths.root, other)
    copy = dataclasses.replace(workspace, paths=Paths(other))
    copy.finish(copy.cells[1])
    copy.send()
    assert "its files belong to this clone now" in capsys.readouterr().err
    assert not str(copy.mirror(copy.cells[0])).count(str(workspace.paths.root))
    run = copy.client.search_runs([copy.client.get_experiment_by_name("sagan-quick").experiment_id])[0]
    assert run.info.artifact_uri.startswith((other / "state/mlflow/artifacts").as_uri())
    assert copy.client.list_artifacts(run.info.run_id)
    assert not (models := copy.client.search_logged_models([run.info.experiment_id])) or all(
        model.artifact_location.startswith(other.as_uri()) for model in models
    )
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


@pytest.mark.parametrize(
    "remote, page",
    [
        ("git@host.example:owner/name.git", "https://host.example/owner/name"),
        ("https://user:token@host.example/owner/name.git", "https://host.example/owner/name"),
        ("ssh://git@host.example:2222/owner/name", "https://host.example/owner/name"),
        ("/srv/git/name.git", None),
        ("../name", None),
        ("file:///srv/git/name", None),
    ],
)
def test_the_report_is_linked_where_the_clone_has_a_host(remote, page):
    assert web_page(remote) == page

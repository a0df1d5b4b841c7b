"""Where MLflow is, and what its absence costs."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest

from sagan.errors import UserError
from sagan.tracking import TrackingUnavailable, ui_command
from sagan.tracking.experiments import web_page


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


@pytest.mark.exhaustive
@pytest.mark.parametrize("seconds", [0.4, 0.8, 1.2, 1.6, 2.0, 2.4])
def test_a_process_that_is_killed_as_it_makes_the_store_leaves_none_or_a_sound_one(make, seconds):
    workspace = make(store=False)
    workspace.finish(workspace.cells[0])
    script = f"""
from pathlib import Path
from sagan.paths import Paths
from sagan.tracking.store import connect
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

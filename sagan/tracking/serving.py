"""MLflow's pages over the tracked runs, on this machine, with links that lead straight to them."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from mlflow import MlflowClient

from sagan.errors import UserError
from sagan.names import without_secrets
from sagan.params import Params
from sagan.store.paths import Paths
from sagan.tracking.connection import artifacts_folder, available, connect, is_database, tracking_uri

UI_HOST, UI_PORT = "127.0.0.1", 5000  # for this machine only
_LEAVE_S = 5


def serve(params: Params, paths: Paths, port: int = UI_PORT, say: Callable[[str], None] = print) -> int:
    """Show the tracked runs until Ctrl-C or SIGTERM, and say where; returns the server's exit status.

    Raises:
        UserError: MLFLOW_TRACKING_URI is a server, which shows them itself, or the port is taken.
        TrackingUnavailable: the store cannot be read.
    """
    _check_free(port)
    uri = tracking_uri(params, paths)
    if not is_database(uri):
        raise UserError(f"MLFLOW_TRACKING_URI = {without_secrets(uri)}: is a server already; open it in a browser")
    with available(uri):
        # A server that makes an SQLite store itself does so without the lock.
        pages = links(connect(uri, paths), params, f"http://{UI_HOST}:{port}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    # In a session of its own: MLflow starts more processes, which end together.
    server = subprocess.Popen(ui_command(port), env=os.environ | ui_environment(uri, paths), start_new_session=True)
    try:
        if _answers(server, port):
            for line in pages or [
                "MLflow has no runs yet: `make repro` makes some, `python -m sagan track` sends them"
            ]:
                say(line)
            say(f"MLflow is at http://{UI_HOST}:{port} until Ctrl-C; every user of this machine can change runs there")
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _end(server)


def ui_command(port: int = UI_PORT) -> list[str]:
    """The command of the server, at UI_HOST and a port; what all users of the machine see of it in `ps`."""
    options = {"--host": UI_HOST, "--port": str(port), "--workers": "1", "--uvicorn-opts": "--log-level warning"}
    return [sys.executable, "-m", "mlflow", "server", *(part for option in options.items() for part in option)]


def ui_environment(uri: str, paths: Paths) -> dict[str, str]:
    """Which store the server shows; the address may hold a password."""
    return {
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_REGISTRY_STORE_URI": uri,
        "MLFLOW_ARTIFACTS_DESTINATION": artifacts_folder(paths).as_uri(),
    }


def links(client: MlflowClient, params: Params, address: str) -> list[str]:
    """Lines that lead straight to every suite that MLflow has runs of, the lowest FID first.

    Args:
        address: of the server, such as "http://127.0.0.1:5000".
    """
    lines = []
    for suite in params.suites:
        experiment = client.get_experiment_by_name(f"{params.tracking.experiment_prefix}{suite}")
        if experiment is not None and experiment.lifecycle_stage == "active":
            # Without the type, MLflow opens its pages on traces of language models, of which there are none here.
            page = f"{address}/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
            lines += [f"{suite}:", f"  runs    {page}&orderByKey=metrics.%60fid%60&orderByAsc=true"]
            lines += [f"  charts  {page}&compareRunsMode=CHART"]
    return lines


def _check_free(port: int) -> None:
    with socket.socket() as listening:
        # As the server does: an address that a server left a moment ago is free.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((UI_HOST, port))
        except OSError as error:
            reason = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror
            raise UserError(f"port {port}: {reason}; name another: make ui PORT={port + 1}") from None


def _answers(server: subprocess.Popen, port: int) -> bool:
    """Wait until the server listens; False where it ended before."""
    while server.poll() is None:
        with socket.socket() as trying:
            if trying.connect_ex((UI_HOST, port)) == 0:
                return True
        time.sleep(0.2)
    return False


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _end(server: subprocess.Popen) -> None:
    """The server and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(_LEAVE_S)

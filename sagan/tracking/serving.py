"""MLflow's pages over the tracked runs, on this machine, with links that lead straight to them."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from sagan.errors import UserError
from sagan.params import Params
from sagan.store.paths import Paths
from sagan.tracking.connection import artifacts_folder, available, connect, is_database, tracking_uri, without_password
from sagan.tracking.experiments import links

UI_HOST, UI_PORT = "127.0.0.1", 5000  # for this machine only


def serve(params: Params, paths: Paths, port: int = UI_PORT, say: Callable[[str], None] = print) -> int:
    """Show the tracked runs until Ctrl-C, and say where; returns the server's exit status.

    Raises:
        UserError: MLFLOW_TRACKING_URI is a server, which shows them itself, or the port is taken.
        TrackingUnavailable: the store cannot be read.
    """
    _check_free(port)
    uri = tracking_uri(params, paths)
    with available(uri):
        command = ui_command(params, paths, port)
        pages = links(connect(uri, paths), params, f"http://{UI_HOST}:{port}")
    server = subprocess.Popen(command)
    try:
        if _answers(server, port):
            for line in pages or [
                "MLflow has no runs yet: `make repro` makes some, `python -m sagan track` sends them"
            ]:
                say(line)
            say(f"MLflow is at http://{UI_HOST}:{port} until Ctrl-C")
        return server.wait()
    except KeyboardInterrupt:
        # From a terminal the server got it too; from elsewhere it did not.
        server.terminate()
        server.wait()
        return 0


def ui_command(params: Params, paths: Paths, port: int = UI_PORT) -> list[str]:
    """The command of the server, at UI_HOST and a port, over a store that is there.

    Raises:
        UserError: MLFLOW_TRACKING_URI is a server, which shows the runs itself.
    """
    uri = tracking_uri(params, paths)
    if not is_database(uri):
        raise UserError(f"MLFLOW_TRACKING_URI = {without_password(uri)}: is a server already; open it in a browser")
    if uri.startswith("sqlite"):
        connect(uri, paths)  # a server that makes the store itself does so without the lock
    options = {"--backend-store-uri": uri, "--artifacts-destination": artifacts_folder(paths).as_uri()}
    options |= {"--host": UI_HOST, "--port": str(port), "--workers": "1", "--uvicorn-opts": "--log-level warning"}
    return [sys.executable, "-m", "mlflow", "server", *(part for option in options.items() for part in option)]


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

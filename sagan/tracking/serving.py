"""MLflow's pages over the tracked runs, on this machine, with links that lead straight to them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

from sagan.errors import UserError
from sagan.names import without_secrets
from sagan.params import Params
from sagan.store.paths import Paths
from sagan.tracking.connection import is_database, mlflow_folder, store, tracking_uri

_HOST = "127.0.0.1"  # for this machine only


def serve(params: Params, paths: Paths, port: int) -> int:
    """Show the tracked runs until Ctrl-C or SIGTERM, and print where; returns the server's exit status.

    Raises:
        UserError: MLFLOW_TRACKING_URI is a server, which shows them itself, or the port is taken.
        TrackingUnavailable: the store cannot be read.
    """
    uri = tracking_uri(params, paths)
    if not is_database(uri):
        raise UserError(f"MLFLOW_TRACKING_URI = {without_secrets(uri)}: is a server already; open it in a browser")
    try:
        socket.create_server((_HOST, port)).close()
    except OSError as error:
        reason = os.strerror(error.errno)
        raise UserError(f"port {port}: {reason}; name another: make ui PORT={port + 1}") from None
    _print_links(params, paths, f"http://{_HOST}:{port}")
    # The store's address may hold a password, and all users of the machine see commands.
    environment = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_REGISTRY_STORE_URI": uri,
        "MLFLOW_ARTIFACTS_DESTINATION": (mlflow_folder(paths) / "artifacts").as_uri(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight more processes, for language models
    }
    command = [sys.executable, "-m", "mlflow", "server", "--host", _HOST, "--port", str(port), "--workers", "1"]
    command += ["--uvicorn-opts", "--log-level warning"]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    # In a session of its own: MLflow starts more processes, which end together.
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(server.pid, number)
                server.wait(5)


def _print_links(params: Params, paths: Paths, address: str) -> None:
    """Lines that lead straight to every suite that MLflow has runs of, the lowest FID first."""
    with store(params, paths) as client:
        known = {experiment.name: experiment.experiment_id for experiment in client.search_experiments()}
    for suite in params.suites:
        if identity := known.get(f"{params.tracking.experiment_prefix}{suite}"):
            # Without the type, MLflow opens its pages on traces of language models, of which there are none here.
            page = f"{address}/#/experiments/{identity}/runs?workflowType=machine_learning"
            print(f"{suite}:\n  runs    {page}&orderByKey=metrics.%60fid%60&orderByAsc=true")
            print(f"  charts  {page}&compareRunsMode=CHART")
    print(f"MLflow starts at {address}, until Ctrl-C; every user of this machine can change runs there", flush=True)

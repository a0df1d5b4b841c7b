"""The MLflow store: where it is, how it is opened and shown, and what its absence or its refusal costs."""

import errno
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
import sqlalchemy
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from requests import RequestException
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from sagan.errors import UserError, did_you_mean
from sagan.names import without_secrets
from sagan.params import Params
from sagan.store.locks import lock_of, release, taken
from sagan.store.paths import Paths
from sagan.tracking.content import CURRENT, PLAN_TAG

_SLOW_REQUESTS, _LOCK_PATIENCE_S, _LOCK_POLL_S = 12, 300, 0.05  # for one piece of work
_SQLITE = "sqlite:///"
_HOST = "127.0.0.1"  # of MLflow's pages: for this machine only
_OUTAGES = (ConnectionError, TimeoutError, RequestException, OperationalError)
# What databases and the network say of a trouble that waiting does not end.
_CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"
_LASTING = re.compile(
    "authentication failed|does not exist|no such|unable to open|readonly|not a database|malformed|"
    f"out-of-date database schema|{_CERTIFICATE}"
)


class TrackingUnavailable(UserError):
    """The store cannot be reached now. Its message is one line, which the command line prints as a warning."""


def tracking_uri(params: Params, paths: Paths) -> str:
    """MLFLOW_TRACKING_URI, else `tracking.uri`; a relative SQLite path starts at the clone (of a DVC experiment too).

    Raises:
        UserError: where a password ends cannot be told: parts of it would reach other hosts, and messages.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or params.tracking.uri
    if uri.startswith(_SQLITE):
        return f"{_SQLITE}{paths.workspace.root.resolve() / uri.removeprefix(_SQLITE)}"
    login = re.match(r"[\w+]+://(.*)@", uri)
    if login and re.search(r"[/?#@\s]", login[1]):
        told = f"{uri.partition('://')[0]}://***"  # not even where a blank ends it
        raise UserError(f"MLflow at {told}: write / ? # @ and blanks in a password as %2F %3F %23 %40 %20")
    return uri


def is_database(uri: str) -> bool:
    """Whether MLflow's tables are written from here, rather than by a server."""
    return re.match(r"(sqlite|postgresql|mysql|mssql)(\+\w+)?:", uri) is not None


@contextmanager
def store(params: Params, paths: Paths) -> Iterator[MlflowClient]:
    """The store for one piece of work, such as sending one run; who shares its file, or a server's clone, takes turns.

    Raises:
        TrackingUnavailable: an outage of the network, the server or the database, or no end after a minute.
        UserError: it would fail again, until someone changes something.
        OSError: of a file that it names.
    """
    uri = tracking_uri(params, paths)
    shared = Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else paths.workspace.root / "state/mlflow"
    try:
        with _turn(lock_of(shared)), _deadline(uri):
            yield _connected(uri)
    except (MlflowException, SQLAlchemyError, OSError, ModuleNotFoundError) as error:
        if isinstance(error, OSError) and error.filename:
            raise
        raise _told(error, uri) from error


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Holds a lock, without a word of a wait, which is usual; where none can be written, a reader goes on without."""
    deadline, lock = time.monotonic() + _LOCK_PATIENCE_S, None
    try:
        while (lock := taken(path)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process has {path} for {_LOCK_PATIENCE_S} s")
            time.sleep(_LOCK_POLL_S)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
    try:
        yield
    finally:
        if lock is not None:
            release(lock)


def runs_table(name: str, params: Params, paths: Paths) -> pd.DataFrame:
    """One row a finished run of an MLflow experiment: its parameters, else metrics, else tags by their names.

    Of runs that were sent from here, those that the plan holds. The first that began comes first; `run` is the run's
    id, `variant` the tag `sagan.variant`, else the parameter `variant`, else the run's name.

    Raises:
        UserError: the store cannot be read, or there is no such experiment, or no such run in it.
    """
    with store(params, paths) as client:
        known = {experiment.name: experiment.experiment_id for experiment in client.search_experiments()}
        if name not in known:
            raise UserError(f"--mlflow {name}: no such experiment{did_you_mean(name, known)}")
        order = ["attributes.start_time", "attributes.run_id"]
        runs = client.search_runs([known[name]], "attributes.status = 'FINISHED'", max_results=50_000, order_by=order)
    rows = []
    for run in runs:
        row = {"variant": run.info.run_name, **run.data.tags, **run.data.metrics, **run.data.params}
        if row.get(PLAN_TAG, CURRENT) == CURRENT and "sagan.report" not in row:
            rows.append(row | {"variant": row.get("sagan.variant", row["variant"]), "run": run.info.run_id})
    if not rows:
        raise UserError(f"--mlflow {name}: holds no finished run, or none that the plan still asks for")
    return pd.DataFrame(rows)


def serve(params: Params, paths: Paths, port: int) -> int:
    """Show the tracked runs on this machine until Ctrl-C or SIGTERM, and print where; returns the exit status.

    Raises:
        UserError: the store cannot be read, or is a server, which shows them itself; or the port is taken.
    """
    uri = tracking_uri(params, paths)
    if uri.startswith("http"):
        raise UserError(f"MLflow at {without_secrets(uri)}: is a server already; open it in a browser")
    try:
        socket.create_server((_HOST, port)).close()
    except OSError as error:
        reason = os.strerror(error.errno)
        raise UserError(f"port {port}: {reason}; name another from 1024 to 65535: make ui PORT=…") from None
    _print_links(params, paths, f"http://{_HOST}:{port}")
    # The store's address may hold a password, and all users of the machine see commands.
    environment = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_REGISTRY_STORE_URI": uri,
        "MLFLOW_ARTIFACTS_DESTINATION": (paths.workspace.root.resolve() / "state/mlflow/artifacts").as_uri(),
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


def _told(error: Exception, uri: str) -> UserError:
    """An error with the whole reason in one line: an outage, or a refusal."""
    said = str(error.orig if isinstance(error, DBAPIError) else error) or type(error).__name__
    at, reason = f"MLflow at {without_secrets(uri)}", without_secrets(" ".join(said.split()))
    status = error.get_http_status_code() if isinstance(error, MlflowException) else 0
    if (status >= 500 or status in (408, 429) or isinstance(error, _OUTAGES)) and not _LASTING.search(said):
        later = "nothing is lost: send runs later with `python -m sagan track`"
        return TrackingUnavailable(f"{at} cannot be reached ({reason}); {later}")
    remedy = "mend that, or name another store in MLFLOW_TRACKING_URI"
    if _CERTIFICATE in said:
        remedy = "name a file with the server's certificate (PEM) in MLFLOW_TRACKING_SERVER_CERT_PATH"
    elif uri.startswith(_SQLITE):
        remedy = "mend that, or move a damaged file away (a new one gets all runs)"
    return UserError(f"{at} refuses: {reason}; {remedy}, then run `python -m sagan track`")


def _timeout() -> int:
    """Seconds that MLflow waits for an answer."""
    told = os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]
    if not (told.isdecimal() and int(told)):
        raise UserError(f"MLFLOW_HTTP_REQUEST_TIMEOUT={told}: must be a whole number of seconds, 1 or more")
    return int(told)


@contextmanager
def _deadline(uri: str) -> Iterator[None]:
    """Bounds what a server may take, in the main thread: one that drips a byte a second never runs into a time-out."""
    if not uri.startswith("http") or threading.current_thread() is not threading.main_thread():
        yield
        return
    seconds = _SLOW_REQUESTS * _timeout()

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"no end after {seconds} s")

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)  # again and again: libraries may catch the first
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _connected(uri: str) -> MlflowClient:
    """A client of a store, which is made where there is none."""
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    file = Path(uri.removeprefix(_SQLITE))
    if uri.startswith(_SQLITE) and not file.exists():
        # Under another name first: half of one, from a process that was killed, is refused by MLflow.
        new = file.with_name(f"{file.name}.new")
        for left in (new, new.with_name(f"{new.name}-journal")):
            left.unlink(missing_ok=True)
        MlflowClient(tracking_uri=f"{_SQLITE}{new}").search_experiments(max_results=1)
        new.rename(file)
    elif is_database(uri) and not uri.startswith(_SQLITE):
        # One attempt, where MLflow would make ten over two minutes.
        patience = {"connect_timeout": _timeout()}
        try:
            engine = sqlalchemy.create_engine(uri, connect_args=patience, poolclass=sqlalchemy.NullPool)
        except ValueError:  # its message quotes what stands where the port does: a password, where @host is forgotten
            raise UserError(f"MLflow at {uri.partition(':')[0]}://***: holds no port that is one") from None
        with suppress(TypeError):  # of a driver that knows no such limit
            engine.connect().close()
    return MlflowClient(tracking_uri=uri)

"""The MLflow store: where it is, how it is opened, and what its absence or its refusal costs."""

from __future__ import annotations

import logging
import os
import re
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import InvalidUrlException, MlflowException
from requests import RequestException
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from sagan.errors import UserError
from sagan.names import without_secrets
from sagan.params import Params
from sagan.store.paths import Paths, main_workspace

PATIENCE_S = 5
LOCK_PATIENCE_S = 300
SQLITE = "sqlite:///"
# What MLflow, its database and the network raise; those of the network, and of locks, are OSErrors too.
_TROUBLES = (MlflowException, InvalidUrlException, SQLAlchemyError, sqlite3.Error, OSError, ModuleNotFoundError)
_OUTAGES = (ConnectionError, TimeoutError, RequestException, OperationalError, sqlite3.OperationalError)
# What databases and the network say of a trouble that waiting does not end.
_LASTING = re.compile(
    "authentication failed|does not exist|no such|unable to open|readonly|not a database|malformed|"
    "CERTIFICATE_VERIFY_FAILED|out-of-date database schema"
)


class TrackingUnavailable(Exception):
    """The store cannot be reached now. Its message is one line.

    The command line prints it as a warning and leaves with exit code 0: no run and no report
    depends on the mirror, and the next `python -m sagan track` sends what is missing.
    """


class TrackingRefused(UserError):
    """The store will not take what is sent, today or tomorrow, until someone changes something."""


def home(paths: Paths) -> Path:
    """The folder whose `state/mlflow` is written: the clone, and from DVC's copy for an experiment the workspace."""
    return main_workspace(paths.root) or paths.root.resolve()


def artifacts_folder(paths: Paths) -> Path:
    """Where files go that belong to runs in a database."""
    return home(paths) / "state" / "mlflow" / "artifacts"


def tracking_uri(params: Params, paths: Paths) -> str:
    """MLFLOW_TRACKING_URI, else `tracking.uri`; a relative SQLite path starts at `home`.

    Raises:
        UserError: where a password ends cannot be told, so that parts of it would go to other hosts and into messages.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or params.tracking.uri
    if uri.startswith(SQLITE):
        return f"{SQLITE}{home(paths) / uri.removeprefix(SQLITE)}"
    login = re.match(r"[\w+]+://(.*)@", uri)
    if login and re.search(r"[/?#@\s]", login[1]):
        raise UserError(f"MLFLOW_TRACKING_URI = {without_secrets(uri)}: write / ? # @ in a password as %2F %3F %23 %40")
    return uri


def is_database(uri: str) -> bool:
    """Whether MLflow's tables are written from here, rather than by a server."""
    return re.match(r"(sqlite|postgresql|mysql|mssql)(\+\w+)?:", uri) is not None


@contextmanager
def available(uri: str) -> Iterator[None]:
    """Turns whatever goes wrong between here and the store into one of two exceptions, each with the whole reason.

    Raises:
        TrackingUnavailable: an outage of the network, the server or the database.
        TrackingRefused: it would fail again.
    """
    try:
        yield
    except _TROUBLES as error:
        said = str(error.orig if isinstance(error, DBAPIError) else error) or type(error).__name__
        told = f"MLflow at {without_secrets(uri)}", without_secrets(" ".join(said.split()))
        if _is_outage(error):
            raise TrackingUnavailable(
                f"{told[0]} did not take the runs ({told[1]}); nothing is lost: send them later with "
                "`python -m sagan track`"
            ) from error
        remedy = "mend that, or name another store in MLFLOW_TRACKING_URI"
        if uri.startswith(SQLITE):
            remedy = "mend that, or move the file away (a new one gets all runs)"
        raise TrackingRefused(
            f"{told[0]} refuses the runs: {told[1]}; {remedy}, then run `python -m sagan track`"
        ) from error


def _is_outage(error: Exception) -> bool:
    if isinstance(error, MlflowException):
        status = error.get_http_status_code()
        is_outage = status >= 500 or status in (408, 429)
    else:
        is_outage = isinstance(error, _OUTAGES)
    return is_outage and not _LASTING.search(str(error))


@contextmanager
def deadline(uri: str, requests: int) -> Iterator[None]:
    """Gives a server the time of so many slow requests: one that sends a byte a second never runs into a time-out.

    In the main thread, which is where signals go.

    Raises:
        TimeoutError: it took longer.
    """
    seconds = requests * float(os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", PATIENCE_S))
    if not uri.startswith("http") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"no end after {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)  # again and again: libraries may catch the first
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def lock(paths: Paths) -> FileLock:
    """Held while one run is sent, so that two senders on one file system never write the same run at once."""
    folder = home(paths) / "state" / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "lock", timeout=LOCK_PATIENCE_S)


def connect(uri: str, paths: Paths) -> MlflowClient:
    """A client of an initialised store. Two processes that create an SQLite store at once corrupt it: one at a time."""
    # MLflow retries for minutes by default; here the next sending is the retry.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(PATIENCE_S))
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    if is_database(uri) and not uri.startswith("sqlite"):
        _probe(uri)
    with lock(paths):
        if uri.startswith(SQLITE):
            store = Path(uri.removeprefix(SQLITE))
            _set_aside_anothers(store, paths)
            _create(store)
        client = MlflowClient(tracking_uri=uri)
        with deadline(uri, 2):
            client.search_experiments(max_results=1)
    return client


def open_experiment(client: MlflowClient, uri: str, name: str, note: str, paths: Paths) -> Experiment:
    """The experiment of that name: made with a note, or taken back from MLflow's trash, if need be."""
    with lock(paths), deadline(uri, 4):
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            # A database holds no files, so they go under state/; a server decides for itself.
            location = (artifacts_folder(paths) / name).as_uri() if is_database(uri) else None
            tags = {"mlflow.note.content": note, "mlflow.experimentKind": "custom_model_development"}
            return client.get_experiment(client.create_experiment(name, location, tags))
        if experiment.lifecycle_stage != "active":
            client.restore_experiment(experiment.experiment_id)
        return client.get_experiment(experiment.experiment_id)


def _create(store: Path) -> None:
    """Makes an SQLite store under another name: half of one, from a process that was killed, is refused by MLflow."""
    if store.exists():
        return
    new = store.with_name(f"{store.name}.new")
    for left in (new, new.with_name(f"{new.name}-journal")):
        left.unlink(missing_ok=True)
    MlflowClient(tracking_uri=f"{SQLITE}{new}").search_experiments(max_results=1)
    new.rename(store)


def _set_aside_anothers(store: Path, paths: Paths) -> None:
    """Move away a store that came along with a copied or moved clone: it would write into the original's folder.

    MLflow keeps the places of files absolute. A store outside the clone, such as one that several clones share, stays.
    """
    if not store.exists() or not store.resolve().is_relative_to(home(paths)):
        return
    with closing(sqlite3.connect(store)) as database:
        locations = database.execute("SELECT artifact_location FROM experiments").fetchall()
    found = (re.match(r"(file://.*/state/mlflow/artifacts)/", location or "") for (location,) in locations)
    elsewhere = sorted({match[1] for match in found if match} - {artifacts_folder(paths).as_uri()})
    if not elsewhere:
        return
    aside = home(paths) / "state" / "torn" / f"mlflow-{time.time_ns()}"
    aside.mkdir(parents=True)
    for part in (store, artifacts_folder(paths)):
        if part.exists():
            part.rename(aside / part.name)
    print(
        f"sagan: MLflow's store came from another folder ({elsewhere[0]}), where it would write; it is now {aside}, "
        "and all runs are sent to a new one",
        file=sys.stderr,
    )


def _probe(uri: str) -> None:
    """One attempt to reach a database, where MLflow would make ten over two minutes."""
    engine = sqlalchemy.create_engine(uri, connect_args={"connect_timeout": PATIENCE_S})
    with engine.connect():
        pass
    engine.dispose()

"""The MLflow store: where it is, how it is opened, and what its absence costs."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

from sagan.params import Params
from sagan.store.paths import Paths, main_workspace

PATIENCE_S = 5
LOCK_PATIENCE_S = 300
SQLITE = "sqlite:///"
# What MLflow, its database and the network raise.
_TROUBLES = (MlflowException, SQLAlchemyError, sqlite3.Error, RequestException, OSError, Timeout, ModuleNotFoundError)
# Where MLflow's tables hold absolute places of files.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


class TrackingUnavailable(Exception):
    """The store cannot be reached or will not take what is sent. Its message is one line.

    The command line prints it as a warning and leaves with exit code 0: no run and no report
    depends on the mirror, and the next `python -m sagan track` sends what is missing.
    """


def home(paths: Paths) -> Path:
    """The folder whose `state/mlflow` is written: the clone, and from DVC's copy for an experiment the workspace."""
    return main_workspace(paths.root) or paths.root.resolve()


def tracking_uri(params: Params, paths: Paths) -> str:
    """MLFLOW_TRACKING_URI, else `tracking.uri`; a relative SQLite path starts at `home`."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or params.tracking.uri
    if uri.startswith(SQLITE):
        return f"{SQLITE}{home(paths) / uri.removeprefix(SQLITE)}"
    return uri


def without_password(text: str) -> str:
    """A text without the `user:password@` of the URIs in it."""
    return re.sub(r"//[^/@\s]+@", "//", text)


@contextmanager
def available(uri: str) -> Iterator[None]:
    """Turns whatever goes wrong between here and the store into the one exception for it.

    Raises:
        TrackingUnavailable: in place of the errors of MLflow, the database and the network.
    """
    try:
        yield
    except _TROUBLES as error:
        cause = without_password(" ".join(str(error).split()))
        cause = cause if len(cause) <= 200 else f"{cause[:200]}…"
        raise TrackingUnavailable(
            f"MLflow at {without_password(uri)} did not take the runs ({cause}); nothing is lost: "
            "send them later with `python -m sagan track`"
        ) from error


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
            _create(store)
            _settle(store, paths)
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    return client


def _create(store: Path) -> None:
    """Makes an SQLite store under another name: half of one, from a process that was killed, is refused by MLflow."""
    if store.exists():
        return
    new = store.with_name(f"{store.name}.new")
    for left in (new, new.with_name(f"{new.name}-journal")):
        left.unlink(missing_ok=True)
    MlflowClient(tracking_uri=f"{SQLITE}{new}").search_experiments(max_results=1)
    new.rename(store)


def _settle(store: Path, paths: Paths) -> None:
    """Make a store that came along with a copied or moved clone this clone's own: its places of files follow it.

    MLflow keeps them absolute, so that the copy would write into the original's folder. A store that lies outside the
    clone, such as one that several clones share, is left as it is.
    """
    if not store.resolve().is_relative_to(home(paths)):
        return
    here = artifacts_folder(paths).as_uri()
    with closing(sqlite3.connect(store)) as database, database:
        locations = database.execute("SELECT artifact_location FROM experiments").fetchall()
        found = (re.match(r"(file://.*/state/mlflow/artifacts)/", location or "") for (location,) in locations)
        for elsewhere in {match[1] for match in found if match} - {here}:
            for table, column in _PLACES:
                database.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (here, len(elsewhere) + 1, len(elsewhere) + 1, f"{elsewhere}/"),
                )
            print(f"sagan: MLflow's store came from {elsewhere}; its files belong to this clone now", file=sys.stderr)


def is_database(uri: str) -> bool:
    """Whether MLflow's tables are written from here, rather than by a server."""
    return re.match(r"(sqlite|postgresql|mysql|mssql)(\+\w+)?:", uri) is not None


def _probe(uri: str) -> None:
    """One attempt to reach a database, where MLflow would make ten over two minutes."""
    engine = sqlalchemy.create_engine(uri, connect_args={"connect_timeout": PATIENCE_S})
    with engine.connect():
        pass
    engine.dispose()


def artifacts_folder(paths: Paths) -> Path:
    """Where files go that belong to runs in a database."""
    return home(paths) / "state" / "mlflow" / "artifacts"

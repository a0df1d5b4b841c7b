"""Run records -> MLflow: sent as often as one likes, arriving once.

The records under `results/` are the truth, and MLflow is a mirror of them that can be made at any
time. Nothing here is called by a training process: `follow` reads the logs of runs that train
elsewhere, and `sync` completes whatever is missing. A server that is down therefore costs nothing
but the mirror.
"""

import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

# Read by MLflow when it is imported: no usage statistics are sent from here, and nothing is printed.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def _import_by_a_plain_path() -> None:
    """Let this process and its children find MLflow at a path without `%`, which alembic would take for a reference."""
    packages = Path(importlib.util.find_spec("mlflow").origin).parent.parent
    if "%" not in str(packages):
        return
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    alias = Path(folder) / "packages"
    alias.symlink_to(packages)
    sys.path.insert(0, str(alias))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(alias), os.environ.get("PYTHONPATH"))))


_import_by_a_plain_path()

from sagan.tracking.connection import TrackingRefused, TrackingUnavailable  # noqa: E402
from sagan.tracking.sending import SyncReport, follow, sync  # noqa: E402
from sagan.tracking.serving import UI_PORT, serve  # noqa: E402

__all__ = ["UI_PORT", "SyncReport", "TrackingRefused", "TrackingUnavailable", "follow", "serve", "sync"]

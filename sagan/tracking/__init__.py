"""Run records -> MLflow, which mirrors them: sent as often as one likes, arriving once (docs/mlflow.md)."""

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

# Read by MLflow: no usage statistics, nothing printed; where it would retry for minutes, the next sending is the retry.
for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}.items():
    os.environ.setdefault(_name, _value)

# alembic takes a `%` in MLflow's path for a reference: this process and its children import it through a link.
_packages = Path(importlib.util.find_spec("mlflow").origin).parent.parent
if "%" in str(_packages):
    _folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # until this process ends
    _link = f"{_folder.name}/packages"
    os.symlink(_packages, _link)
    # Just before them: what came before them still does.
    sys.path.insert(sys.path.index(str(_packages)) if str(_packages) in sys.path else len(sys.path), _link)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), _link)))

from sagan.tracking.connection import TrackingUnavailable, serve  # noqa: E402
from sagan.tracking.sending import SyncReport, follow, sync  # noqa: E402

__all__ = ["SyncReport", "TrackingUnavailable", "follow", "serve", "sync"]

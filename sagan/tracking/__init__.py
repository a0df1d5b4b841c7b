"""Run records -> MLflow: sent as often as one likes, arriving once.

The records under `results/` are the truth, and MLflow is a mirror of them that can be made at any
time. Nothing here is called by a training process: `follow` reads the logs of runs that train
elsewhere, and `sync` completes whatever is missing. A server that is down therefore costs nothing
but the mirror.
"""

import os

# Read by MLflow when it is imported: no usage statistics are sent from here, and nothing is printed.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from sagan.tracking.connection import TrackingUnavailable
from sagan.tracking.sending import SyncReport, follow, sync
from sagan.tracking.serving import UI_PORT, serve

__all__ = ["UI_PORT", "SyncReport", "TrackingUnavailable", "follow", "serve", "sync"]

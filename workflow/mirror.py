"""Runs appear in MLflow while they train: a process of its own beside Snakemake that follows the runs' logs.

    python -m workflow.mirror PLAN      # until its standard input ends

Training never waits for it. It has the lowest priority, says nothing (its words go to state/logs/mlflow.log), and
ends with the launch that started it, however that ends: the kernel closes the pipe. What it did not get to send,
`python -m sagan track` at the end of `dvc repro` does.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from sagan.params.loading import load_params
from sagan.plan import Plan
from sagan.store.paths import Paths

PATHS = Paths()
_LAST_LOOK_SECONDS = 5.0


class Mirror:
    """A follower of a plan's runs for as long as the block lasts."""

    def __init__(self, plan_file: Path, paths: Paths) -> None:
        self._plan_file = plan_file
        self._log = paths.log("mlflow")

    def __enter__(self) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workflow.mirror", str(self._plan_file)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the launch, which ends this one
            )

    def __exit__(self, *exception: object) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(_LAST_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> int:
    os.nice(19)
    stop = threading.Event()
    threading.Thread(target=_until_the_launch_ends, args=(stop,), daemon=True).start()
    # After the thread is there: these take seconds to import.
    from sagan.tracking import TrackingRefused, TrackingUnavailable, follow

    logging.basicConfig(format="%(asctime)s %(message)s")
    if stop.is_set():
        return 0
    try:
        follow(Plan.load(Path(sys.argv[1])), load_params(PATHS.params), PATHS, stop)
    except (TrackingUnavailable, TrackingRefused) as error:
        print(error, file=sys.stderr)
    return 0


def _until_the_launch_ends(stop: threading.Event) -> None:
    sys.stdin.buffer.read()
    stop.set()


if __name__ == "__main__":
    sys.exit(main())

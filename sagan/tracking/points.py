"""Points to MLflow: those that have not arrived, in requests that never split a line of the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.entities import Run as Mirror

from sagan.store.types import LogLine
from sagan.tracking import content
from sagan.tracking.content import Point

_BATCH = 1000  # points in one request: MLflow's limit


def new_lines(mirror: Mirror, log: list[LogLine]) -> list[list[Point]]:
    """The points of the lines after the last one that arrived.

    Lines are sent in order and never split between requests, and a request is one transaction: what
    has arrived is always a beginning of the log, and the latest `train/images` says how long a one.
    After a resume the log holds lines again that were sent before; they are the same but for their
    time, which would make them second points.
    """
    arrived = mirror.data.metrics.get("train/images", -1.0)
    return [content.log_points(line) for line in log if line.images > arrived]


def send_points(client: MlflowClient, mirror: Mirror, groups: Iterable[list[Point]]) -> int:
    """Sends the points of all groups, each group in one request, and returns how many there were."""
    total = 0
    for batch in _batches(groups):
        # Latest first: MLflow then moves a metric's latest value once a request, and not at every point.
        client.log_batch(mirror.info.run_id, metrics=[Metric(*point) for point in reversed(batch)])
        total += len(batch)
    return total


def _batches(groups: Iterable[list[Point]]) -> Iterator[list[Point]]:
    """Points in lists of at most _BATCH that split no group."""
    batch: list[Point] = []
    for group in groups:
        if batch and len(batch) + len(group) > _BATCH:
            yield batch
            batch = []
        batch = batch + group
    if batch:
        yield batch

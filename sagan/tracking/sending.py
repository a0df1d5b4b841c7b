"""Sending: find each run's mirror by its tags, see what is missing in it, send just that."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag
from mlflow.entities import Run as Mirror

from sagan.params import Params
from sagan.plan import Cell, Plan
from sagan.store.paths import Paths
from sagan.store.reading import is_own_file
from sagan.store.records import canonical, write_json
from sagan.tracking import content
from sagan.tracking.connection import TrackingRefused, TrackingUnavailable, store
from sagan.tracking.content import Records
from sagan.tracking.models import MODEL_TAG, drop_models, send_model
from sagan.tracking.suites import CURRENT, EXPERIMENT, PLAN_TAG, mark_former, open_experiment, send_report

LOGGER = logging.getLogger("sagan.tracking")
# MLflow's limits: points and parameters in one request, characters of a dataset's digest.
_BATCH, _PARAMS, _DATASET_DIGEST = 1000, 100, 36


@dataclass
class SyncReport:
    """What a sending did. Run keys, each once for each suite that holds the run."""

    sent: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    points: int = 0

    def __str__(self) -> str:
        there = len(self.sent) + len(self.unchanged)
        now = f"{len(self.sent)} of them sent or completed now ({self.points:,} points)"
        return f"{there} run{'' if there == 1 else 's'} there, {now}, {len(self.missing)} not on disk yet"


def sync(plan: Plan, params: Params, paths: Paths) -> SyncReport:
    """Sends every run of the plan that is on disk, whole or in part, the suites' reports, and nothing that MLflow has.

    Raises:
        TrackingUnavailable, TrackingRefused: what was sent until then stays and is not sent again.
    """
    return _look(plan, params, paths, set(), with_suites=paths.workspace == paths)


def follow(plan: Plan, params: Params, paths: Paths, stop: threading.Event, interval_s: float = 10.0) -> None:
    """Mirrors runs while they train, from another process than theirs, until `stop` is set.

    A store that goes away is warned of once (logger `sagan.tracking`) and caught up with when it is back.

    Raises:
        TrackingUnavailable, TrackingRefused: it did not take them at the end either.
    """
    done, is_warned = set(), False
    while not stop.is_set():
        try:
            _look(plan, params, paths, done)
            is_warned = False
        except (TrackingUnavailable, TrackingRefused) as error:
            if not is_warned:
                LOGGER.warning("%s", error)
            is_warned = True
        stop.wait(interval_s)
    _look(plan, params, paths, done)


def _look(plan: Plan, params: Params, paths: Paths, done: set, with_suites: bool = False) -> SyncReport:
    """Sends what is new of every cell that is not `done`; those that are sent whole are, from then on."""
    report = SyncReport()
    for suite, cells in plan.suites.items():
        with store(params, paths) as client:
            experiment = open_experiment(client, suite, params, paths)
        for cell in cells:
            if (suite, cell.run) in done:
                continue
            records = content.read(plan, cell, paths)
            if records is None:
                report.missing.append(cell.run)
                continue
            with store(params, paths) as client:
                points = _send(client, experiment, suite, records, params, paths)
            (report.unchanged if points is None else report.sent).append(cell.run)
            report.points += points or 0
            if len(records.measures) == len(cell.evaluations):
                done.add((suite, cell.run))
        if with_suites:
            with store(params, paths) as client:
                mark_former(client, experiment, cells)
                send_report(client, experiment, suite, paths)
    return report


def _send(
    client: MlflowClient, experiment: str, suite: str, records: Records, params: Params, paths: Paths
) -> int | None:
    """Completes the mirror of one run. Returns how many points were sent; None where nothing was missing.

    A mirror that is made anew keeps the plan and the experiment of the one before it. The tag `sagan.sent` comes last,
    and says that all of these records have arrived.
    """
    mirror, tags, points = _find(client, experiment, records.cell), content.tags(records, suite), 0
    is_beside, sent = paths.workspace != paths, records.digest() if records.result else "not yet"
    first = {PLAN_TAG: EXPERIMENT if is_beside else CURRENT, "sagan.experiment": os.environ.get("DVC_EXP_NAME")}
    is_sent = mirror is not None and mirror.data.tags.get("sagan.sent") == sent
    if mirror and not is_sent and _contradicts(mirror, records):
        first = {name: mirror.data.tags.get(name) for name in first}
        _discard(client, mirror)
        mirror = None
    if mirror is None:
        known = {name: value for name, value in first.items() if value}
        mirror = client.create_run(experiment, content.started(records), known | tags, records.cell.run)
    run_id = mirror.info.run_id
    _describe(client, mirror, records)
    if not is_sent:
        points = _send_points(client, mirror, records)
    if records.result and not is_sent:
        _send_files(client, run_id, records, paths)
        client.set_terminated(run_id, "FINISHED", content.ms(records.result.provenance.finished))
        tags["sagan.sent"] = sent
    if params.tracking.models and content.MAIN in records.measures and MODEL_TAG not in mirror.data.tags:
        tags |= send_model(client, mirror, records, paths)
    new = [RunTag(name, value) for name, value in tags.items() if mirror.data.tags.get(name) != value]
    if new:
        client.log_batch(run_id, tags=new)
    return points if new or points else None


def _find(client: MlflowClient, experiment: str, cell: Cell) -> Mirror | None:
    """The mirror of a cell. Any second one goes to MLflow's trash: two machines may have made one each at the same
    time, and taking back an experiment takes back every run that was ever deleted in it."""
    wanted = f"tags.`sagan.run` = '{cell.run}' and tags.`sagan.evaluation` = '{cell.evaluation}'"
    first, *others = client.search_runs([experiment], wanted, order_by=["attributes.run_id"]) or [None]
    for other in others:
        _discard(client, other)
    return first


def _discard(client: MlflowClient, mirror: Mirror) -> None:
    """To MLflow's trash, its models with it."""
    drop_models(client, mirror)
    client.delete_run(mirror.info.run_id)


def _contradicts(mirror: Mirror, records: Records) -> bool:
    """Whether the mirror shows what the records do not say, as where a run or an evaluation was made again.

    MLflow can only add points, so such a mirror is made anew. Of the log, the loss of the last line that arrived is
    compared: after a restart with other values no later line agrees. A line's times differ after every resume.
    """
    held = mirror.data.metrics
    points = content.result_points(records) if records.result else []
    if records.log and "train/images" in held:
        at = [line for line in records.log if line.images == held["train/images"]]
        if records.result and not at:
            return True
        points += [point for line in at for point in content.log_points(line) if point.key == "train/loss_d"]
    # Two machines that made the same run took other times for it.
    points = [point for point in points if not point.key.endswith(("seconds", "per_second"))]
    latest = {point.key: point.value for point in sorted(points, key=lambda p: (p.step, p.timestamp, p.value))}
    return any(not math.isclose(held.get(key, value), value) for key, value in latest.items())


def _send_points(client: MlflowClient, mirror: Mirror, records: Records) -> int:
    """Sends the lines after the last one that arrived, and the figures; returns how many points that were.

    Lines are sent in order and never split between requests, and a request is one transaction: what has arrived is
    always a beginning of the log, and the latest `train/images` says how long a one. After a resume the log holds lines
    again that were sent before; they are the same but for their time, which would make them second points.
    """
    arrived = mirror.data.metrics.get("train/images", -1.0)
    groups = [content.log_points(line) for line in records.log if line.images > arrived]
    groups += [content.result_points(records)] if records.result else []
    batches = [[]]
    for group in groups:
        if len(batches[-1]) + len(group) > _BATCH:
            batches.append([])
        batches[-1] += group
    for batch in filter(None, batches):
        # Latest first: MLflow then moves a metric's latest value once a request, and not at every point.
        client.log_batch(mirror.info.run_id, metrics=batch[::-1])
    return sum(map(len, batches))


def _describe(client: MlflowClient, mirror: Mirror, records: Records) -> None:
    """What is known before the first step: dataset, resolved configuration, and last the parameters."""
    run_id, parameters = mirror.info.run_id, [Param(*item) for item in content.parameters(records).items()]
    if len(mirror.data.params) == len(parameters):
        return
    name = f"{records.run.dataset}-{records.run.resolution}"
    source = canonical({"uri": f"data/prepared/{name}"})
    dataset = Dataset(name, records.run.dataset_digest[:_DATASET_DIGEST], "local", source)
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    client.log_dict(run_id, records.run.config, "config.json")
    for start in range(0, len(parameters), _PARAMS):
        client.log_batch(run_id, params=parameters[start : start + _PARAMS])


def _send_files(client: MlflowClient, run_id: str, records: Records, paths: Paths) -> None:
    """All records and pictures. Sent again, they replace themselves."""
    with tempfile.TemporaryDirectory() as name:
        folder, source = Path(name), paths.evaluation(records.cell.evaluation)
        write_json(folder / "run.json", records.result.content())
        for space, record in records.measures.items():
            write_json(folder / f"metrics{space and '-'}{space}.json", record.content())
        for path in source.rglob("*.png"):
            # None from elsewhere: a link in a copied result may lead to any file of this machine.
            if is_own_file(path, source):
                target = folder / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)  # also of a link to DVC's cache, which MLflow refuses
        client.log_artifacts(run_id, name)

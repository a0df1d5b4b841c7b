"""Sending: find each run's mirror by its tags, see what is missing in it, send just that."""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import Run as Mirror

from sagan.params import Params
from sagan.plan import Cell, Plan
from sagan.store.paths import Paths, main_workspace
from sagan.store.records import canonical, digest, write_json
from sagan.tracking import content
from sagan.tracking.connection import (
    TrackingRefused,
    TrackingUnavailable,
    available,
    connect,
    deadline,
    lock,
    open_experiment,
    tracking_uri,
)
from sagan.tracking.content import Point, Records
from sagan.tracking.models import drop_models, send_model
from sagan.tracking.suites import note, send_suite

DATASET_DIGEST = 36  # characters of a dataset's digest: MLflow's limit
LOGGER = logging.getLogger("sagan.tracking")
_BATCH = 1000  # points in one request: MLflow's limit
# Slow requests that a server has the time of for one run.
_REQUESTS = 12


@dataclass
class SyncReport:
    """What a sending did. Run keys, each once for each suite that holds the run."""

    sent: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    points: int = 0

    def __str__(self) -> str:
        there = len(self.sent) + len(self.unchanged)
        return (
            f"{there} run{'' if there == 1 else 's'} there, {len(self.sent)} of them sent or completed now "
            f"({self.points:,} points), {len(self.missing)} not on disk yet"
        )


@dataclass
class _Sender:
    """What is remembered between two looks at the same plan: what is open, and what files were when they were sent."""

    plan: Plan
    params: Params
    paths: Paths
    client: MlflowClient | None = None
    experiments: dict[str, str] = field(default_factory=dict)
    seen: dict[tuple[str, str], object] = field(default_factory=dict)

    def look(self) -> SyncReport:
        """Sends what is new in the files of every cell."""
        report, is_beside = SyncReport(), main_workspace(self.paths.root) is not None
        uri = tracking_uri(self.params, self.paths)
        with available(uri):
            if self.client is None:
                self.client = connect(uri, self.paths)
            for suite, cells in self.plan.suites.items():
                if suite not in self.experiments:
                    name, about = f"{self.params.tracking.experiment_prefix}{suite}", note(suite, self.params)
                    experiment = open_experiment(self.client, uri, name, about, self.paths).experiment_id
                    if not is_beside:
                        _mark_former(self.client, experiment, cells)
                    self.experiments[suite] = experiment
                for cell in cells:
                    self._look_at(uri, suite, cell, report, is_beside)
        return report

    def _look_at(self, uri: str, suite: str, cell: Cell, report: SyncReport, is_beside: bool) -> None:
        signature = content.signature(cell, self.paths)
        if self.seen.get((suite, cell.run)) == signature:
            report.unchanged.append(cell.run)
            return
        records = content.read(self.plan, cell, self.paths)
        if records is None:
            report.missing.append(cell.run)
            return
        tags, arrival = content.tags(records, suite, self.params), content.arrival_tags(is_beside)
        if not is_beside:
            tags["sagan.plan"] = content.CURRENT
        models_of = self.paths if self.params.tracking.models else None
        with lock(self.paths), deadline(uri, _REQUESTS):
            changed, points = _send(self.client, self.experiments[suite], records, tags, arrival, models_of)
        (report.sent if changed else report.unchanged).append(cell.run)
        report.points += points
        self.seen[suite, cell.run] = signature


def sync(plan: Plan, params: Params, paths: Paths) -> SyncReport:
    """Sends every run of the plan that is on disk, whole or in part, the suites' reports, and nothing that MLflow has.

    Raises:
        TrackingUnavailable, TrackingRefused: what was sent until then stays and is not sent again.
    """
    sender = _Sender(plan, params, paths)
    report = sender.look()
    if main_workspace(paths.root) is None:
        uri = tracking_uri(params, paths)
        for suite, experiment in sender.experiments.items():
            with available(uri), lock(paths), deadline(uri, _REQUESTS):
                send_suite(sender.client, experiment, suite, params, paths)
    return report


def follow(plan: Plan, params: Params, paths: Paths, stop: threading.Event, interval_s: float = 10.0) -> None:
    """Mirrors runs while they train, from another process than theirs, until `stop` is set.

    A store that goes away is warned of once (logger `sagan.tracking`) and caught up with when it is back.

    Raises:
        TrackingUnavailable, TrackingRefused: it did not take them at the end either.
    """
    sender = _Sender(plan, params, paths)
    warned = False
    while True:
        last = stop.is_set()
        try:
            sender.look()
            warned = False
        except (TrackingUnavailable, TrackingRefused) as error:
            if last:
                raise
            if not warned:
                LOGGER.warning("%s", error)
            warned = True
        if last:
            return
        stop.wait(interval_s)


def _mark_former(client: MlflowClient, experiment: str, cells: list[Cell]) -> None:
    """Runs of an experiment that the plan does not ask for any more stay, and are told apart by a tag."""
    planned = {(cell.run, cell.evaluation) for cell in cells}
    token = None
    while True:
        page = client.search_runs([experiment], "tags.`sagan.run` != ''", page_token=token)
        for mirror in page:
            tags = mirror.data.tags
            if (tags["sagan.run"], tags["sagan.evaluation"]) in planned:
                _set_tags(client, mirror, {"sagan.plan": content.CURRENT})
            elif tags.get("sagan.plan") != content.EXPERIMENT:
                _set_tags(client, mirror, {"sagan.plan": content.FORMER})
        if not (token := page.token):
            return


def _send(
    client: MlflowClient,
    experiment: str,
    records: Records,
    tags: dict[str, str],
    arrival: dict[str, str],
    models_of: Paths | None,
) -> tuple[bool, int]:
    """Completes the mirror of one run. Returns whether anything changed, and how many points were sent.

    A mirror that is made here gets the tags of its `arrival` too, one made anew those of the mirror before it.
    The tag `sagan.sent` comes last and says that all of these records have arrived; the model comes after that.
    """
    mirror = _find(client, experiment, records.cell)
    sent = records.digest()
    if mirror and records.result and mirror.data.tags.get("sagan.sent") == sent:
        model = send_model(client, mirror, records, models_of)
        return _set_tags(client, mirror, tags | model), 0
    if mirror and _contradicts(client, mirror, records):
        arrival |= {name: mirror.data.tags[name] for name in arrival if name in mirror.data.tags}
        _discard(client, mirror)
        mirror = None
    tags = tags | _origins(records)
    changed = mirror is None
    if mirror is None:
        mirror = client.create_run(experiment, records.started, arrival | tags, records.cell.run)
    changed |= _set_tags(client, mirror, tags)
    _describe(client, mirror, records)
    results = [content.result_points(records)] if records.result else []
    points = send_points(client, mirror, [*new_lines(mirror, records.log), *results])
    if records.result:
        _send_files(client, mirror, records)
        client.set_terminated(mirror.info.run_id, "FINISHED", records.finished)
        changed |= _set_tags(client, mirror, {"sagan.sent": sent})
        changed |= _set_tags(client, mirror, send_model(client, mirror, records, models_of))
    return changed or points > 0, points


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


def _origins(records: Records) -> dict[str, str]:
    """Which records the figures come from, said before the first figure is sent."""
    origins = {"sagan.trained": records.result, "sagan.measured": records.measures}
    origins |= {f"sagan.measured.{extractor}": record for extractor, record in records.also.items()}
    return {tag: digest(record.content(), 16) for tag, record in origins.items() if record}


def _contradicts(client: MlflowClient, mirror: Mirror, records: Records) -> bool:
    """Whether the mirror shows what the finished records do not say.

    MLflow can only add points, so such a mirror is made anew. It happens where a run or an evaluation
    was made again under its key: restarted from nothing after it had been followed, continued on
    another device, measured again.
    """
    if records.result is None:
        return False
    if any(mirror.data.tags.get(tag, value) != value for tag, value in _origins(records).items()):
        return True
    losses = {line.step: line.values["loss_d"] for line in records.log}
    sent = client.get_metric_history(mirror.info.run_id, "train/loss_d")
    if len(sent) > len({point.step for point in sent}) or any(losses.get(point.step) is None for point in sent):
        return True
    return any(not math.isclose(losses[point.step], point.value, rel_tol=1e-9) for point in sent)


def _describe(client: MlflowClient, mirror: Mirror, records: Records) -> None:
    """What is known before the first step: parameters, dataset, resolved configuration."""
    run_id = mirror.info.run_id
    missing = {name: value for name, value in content.parameters(records).items() if name not in mirror.data.params}
    if missing:
        client.log_batch(run_id, params=[Param(name, value) for name, value in missing.items()])
    if missing and records.result is None:
        client.log_dict(run_id, records.run.config, "config.json")
    if not mirror.inputs or not mirror.inputs.dataset_inputs:
        name = f"{records.run.dataset}-{records.run.resolution}"
        source = canonical({"uri": f"data/prepared/{name}"})
        dataset = Dataset(name, records.run.dataset_digest[:DATASET_DIGEST], "local", source)
        client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def new_lines(mirror: Mirror, log: list) -> list[list[Point]]:
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


def _send_files(client: MlflowClient, mirror: Mirror, records: Records) -> None:
    """Resolved configuration, both records and all pictures. Sent again, they replace themselves."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_json(folder / "config.json", records.run.config)
        write_json(folder / "run.json", records.result.content())
        if records.measures:
            write_json(folder / "metrics.json", records.measures.content())
        for extractor, record in records.also.items():
            write_json(folder / f"metrics-{extractor}.json", record.content())
        for relative, path in records.pictures.items():
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / relative)  # also of a link to DVC's cache, which MLflow refuses
        client.log_artifacts(mirror.info.run_id, name)


def _set_tags(client: MlflowClient, mirror: Mirror, tags: dict[str, str]) -> bool:
    """Sets the tags that are not so yet. Returns whether there were any."""
    new = {name: value for name, value in tags.items() if mirror.data.tags.get(name) != value}
    if new:
        client.log_batch(mirror.info.run_id, tags=[RunTag(name, value) for name, value in new.items()])
        mirror.data.tags.update(new)
    return bool(new)

"""Sending: find each run's mirror by its tags, see what is missing in it, send just that; and each suite's report."""

import logging
import math
import os
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag
from mlflow.entities import Run as Mirror

from sagan.analysis.tables import read_table
from sagan.errors import UserError
from sagan.params import Params
from sagan.plan import Cell, Plan
from sagan.store.paths import Paths
from sagan.store.reading import is_own_file
from sagan.store.records import canonical, digest, file_digest, write_json
from sagan.tracking import content
from sagan.tracking.connection import is_database, store
from sagan.tracking.content import CURRENT, EXPERIMENT, FORMER, PLAN_TAG, Records
from sagan.tracking.models import MODEL_TAG, copy_own, drop_models, send_model

LOGGER = logging.getLogger("sagan.tracking")
# MLflow's limits: points in one request, characters of a dataset's digest.
_BATCH, _DATASET_DIGEST = 1000, 36
# Comes last, with a digest of what was sent: all of that has arrived.
_SENT_TAG = "sagan.sent"


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
        UserError, OSError: what was sent until then stays and is not sent again.
    """
    return _look(plan, params, paths, set(), with_suites=paths.workspace == paths)


def follow(plan: Plan, params: Params, paths: Paths, stop: threading.Event, interval_s: float = 10.0) -> None:
    """Mirrors runs while they train, from another process than theirs, until `stop` is set.

    A store that goes away is warned of once (logger `sagan.tracking`) and caught up with when it is back.

    Raises:
        UserError, OSError: as of `sync`, at the end too.
    """
    done, is_warned = set(), False
    while not stop.is_set():
        try:
            _look(plan, params, paths, done)
            is_warned = False
        except (UserError, OSError) as error:
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
            experiment = _open_experiment(client, suite, params, paths)
        for cell in cells:
            if (suite, cell.run) in done:
                continue
            if (records := content.read(plan, suite, cell, paths)) is None:
                report.missing.append(cell.run)
                continue
            with store(params, paths) as client:
                points = _send(client, experiment, records, params, paths)
            (report.unchanged if points is None else report.sent).append(cell.run)
            report.points += points or 0
            if len(records.measures) == len(cell.evaluations):
                done.add((suite, cell.run))
        if with_suites:
            with store(params, paths) as client:
                _mark_former(client, experiment, cells)
                _send_report(client, experiment, suite, cells, paths)
    return report


def _send(client: MlflowClient, experiment: str, records: Records, params: Params, paths: Paths) -> int | None:
    """Completes the mirror of one run; returns how many points were sent, or None where nothing was missing."""
    cell, tags, points = records.cell, content.tags(records), 0
    wanted = f"tags.`sagan.run` = '{cell.run}' and tags.`sagan.evaluation` = '{cell.evaluation}'"
    # Several, where two machines made one each, or where an experiment came back from the trash with all of its runs.
    mirror, *others = client.search_runs([experiment], wanted, order_by=["attributes.run_id"]) or [None]
    sent = records.digest() if records.result else "not yet"
    is_sent = mirror is not None and mirror.data.tags.get(_SENT_TAG) == sent
    plan = CURRENT if paths.workspace == paths else EXPERIMENT
    first = {PLAN_TAG: plan, "sagan.experiment": os.environ.get("DVC_EXP_NAME")}
    if mirror and not is_sent and _contradicts(mirror, records):
        first = {name: mirror.data.tags.get(name) for name in first}
        others.append(mirror)
        mirror = None
    for other in others:
        drop_models(client, other)
        client.delete_run(other.info.run_id)
    if mirror is None:
        known = {name: value for name, value in first.items() if value}
        mirror = client.create_run(experiment, content.started(records), known | tags, cell.run)
    run_id = mirror.info.run_id
    _describe(client, mirror, records)
    if not is_sent:
        points = _send_points(client, mirror, records)
        if records.result:
            _send_files(client, run_id, records, paths)
            client.set_terminated(run_id, "FINISHED", content.ms(records.result.provenance.finished))
            tags[_SENT_TAG] = sent
    if params.tracking.models and content.MAIN in records.measures and MODEL_TAG not in mirror.data.tags:
        tags |= send_model(client, mirror, records, paths)
    new = [RunTag(name, value) for name, value in tags.items() if mirror.data.tags.get(name) != value]
    client.log_batch(run_id, tags=new)
    return points if new or points else None


def _contradicts(mirror: Mirror, records: Records) -> bool:
    """Whether the mirror shows what the records do not say, as where a run or an evaluation was made again."""
    held = mirror.data.metrics
    points = content.result_points(records) if records.result else []
    if records.log and "train/images" in held:
        # The last line that arrived is enough: after a restart with other values no later one agrees.
        at = [line for line in records.log if line.images == held["train/images"]]
        if records.result and not at:
            return True
        points += [point for line in at for point in content.log_points(line) if point.key == "train/loss_d"]
    # Times differ after every resume, and between two machines that made the same run.
    points = [point for point in points if not point.key.endswith(("seconds", "per_second"))]
    latest = {point.key: point.value for point in sorted(points, key=lambda p: (p.step, p.timestamp, p.value))}
    return any(not math.isclose(held.get(key, value), value) for key, value in latest.items())


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
    client.log_batch(run_id, params=parameters)


def _send_points(client: MlflowClient, mirror: Mirror, records: Records) -> int:
    """Sends whole lines after the last one that arrived, in order, and the figures; returns how many points."""
    # Why that sends no point twice, and leaves none out: docs/mlflow.md, "Each point once".
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


def _send_files(client: MlflowClient, run_id: str, records: Records, paths: Paths) -> None:
    """All records and pictures. Sent again, they replace themselves."""
    with tempfile.TemporaryDirectory() as name:
        folder, source = Path(name), paths.evaluation(records.cell.evaluation)
        write_json(folder / "run.json", records.result.content())
        for space, record in records.measures.items():
            write_json(folder / f"metrics{space and '-'}{space}.json", record.content())
        copy_own(source.rglob("*.png"), source, folder)
        client.log_artifacts(run_id, name)


def _open_experiment(client: MlflowClient, suite: str, params: Params, paths: Paths) -> str:
    """The id of a suite's experiment: made with a note, or taken back from MLflow's trash, if need be."""
    spec, uri, root = params.suites[suite], client.tracking_uri, paths.workspace.root.resolve()
    name = f"{params.tracking.experiment_prefix}{suite}"
    # A database holds no files, so they go under state/; a server decides for itself.
    place = (root / "state/mlflow/artifacts" / name).as_uri() if is_database(uri) else None
    found = client.get_experiment_by_name(name)
    if found and found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    # It came along with a copied or moved clone, and MLflow keeps the places of files absolute.
    if found and uri.startswith(f"sqlite:///{root}/") and found.artifact_location != place:
        former = f"{name}-{found.experiment_id}"
        client.rename_experiment(found.experiment_id, former)
        told = f"MLflow's {name} came from another folder, where it would write ({found.artifact_location})"
        print(f"sagan: {told}; it is now {former}, and all runs are sent to a new one", file=sys.stderr)
    elif found:
        return found.experiment_id
    note = (
        f"**{spec.title or suite}** on {spec.dataset}, baseline `{spec.baseline}`; `docs/mlflow.md` says how to search."
        f" Report: `reports/{suite}/README.md`, and the run `{suite}: report`."
    )
    tags = {"mlflow.note.content": note, "mlflow.experimentKind": "custom_model_development"}
    return client.create_experiment(name, place, tags)


def _mark_former(client: MlflowClient, experiment: str, cells: list[Cell]) -> None:
    """Runs of an experiment that the plan does not ask for any more stay, and are told apart by a tag."""
    planned = {(cell.run, cell.evaluation) for cell in cells}
    for run in client.search_runs([experiment], "tags.`sagan.run` != ''", max_results=50_000):
        tags = run.data.tags
        plan = CURRENT if (tags["sagan.run"], tags["sagan.evaluation"]) in planned else FORMER
        if tags.get(PLAN_TAG) != plan and (plan, tags.get(PLAN_TAG)) != (FORMER, EXPERIMENT):
            client.set_tag(run.info.run_id, PLAN_TAG, plan)


def _send_report(client: MlflowClient, experiment: str, suite: str, cells: list[Cell], paths: Paths) -> None:
    """A run with the report's tables, in each space the lowest FID first, and pictures, in place of the former."""
    folder = paths.report(suite)
    tables = [path for name in ("results", "effects") if (path := folder / f"{name}.csv").exists()]
    pictures = [path for path in sorted(folder.glob("figures/*")) if is_own_file(path, folder)]
    sent = digest({path.name: file_digest(path) for path in [*tables, *pictures]}, 16)
    found = client.search_runs([experiment], f"tags.`sagan.report` = '{suite}'")
    if not tables or [run.data.tags.get(_SENT_TAG) for run in found] == [sent]:
        return
    for run in found:
        client.delete_run(run.info.run_id)
    run_id = client.create_run(experiment, tags={"sagan.report": suite}, run_name=f"{suite}: report").info.run_id
    for path in tables:
        table = read_table(path, ["level", "instead_of", *(factor for cell in cells for factor in cell.levels)])
        if path.stem == "results":
            table.insert(table.columns.get_loc("run"), "fid", table.pop("fid"))  # after the columns that name a run
            table = pd.concat(rows.sort_values("fid") for _, rows in table.groupby("space", sort=False))
        client.log_table(run_id, table, f"{path.stem}.json")
    with tempfile.TemporaryDirectory() as name:
        copy_own(pictures, folder, Path(name))
        client.log_artifacts(run_id, name)
    client.set_terminated(run_id)
    client.set_tag(run_id, _SENT_TAG, sent)

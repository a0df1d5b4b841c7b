"""Sending: find the runs' mirrors by their tags, see what is missing in each, send just that; and a suite's report."""

from __future__ import annotations

import json
import logging
import math
import os
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import Run as Mirror

from sagan.params import Params
from sagan.plan import Plan
from sagan.store.paths import Paths, main_workspace
from sagan.store.reading import is_own_file
from sagan.store.records import Json, canonical, digest, file_digest, write_json
from sagan.tracking import content
from sagan.tracking.connection import TrackingRefused, TrackingUnavailable, deadline, open_experiment, store
from sagan.tracking.content import Records
from sagan.tracking.models import drop_models, send_model

LOGGER = logging.getLogger("sagan.tracking")
_DATASET_DIGEST = 36  # characters that MLflow takes
# Tags: whether the workspace's plan holds a run, DVC's experiment that made it, digests of the records that were sent.
_PLAN, _EXPERIMENT, _RECORDS = "sagan.plan", "sagan.experiment", "sagan.records"


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


def follow(plan: Plan, params: Params, paths: Paths, stop: threading.Event, interval_s: float = 10.0) -> None:
    """Mirrors runs while they train, from another process than theirs, until `stop` is set.

    A store that goes away is warned of once (logger `sagan.tracking`) and caught up with when it is back.

    Raises:
        TrackingUnavailable, TrackingRefused: it did not take them at the end either.
    """
    done: set[tuple[str, str]] = set()
    is_warned = False
    while not stop.is_set():
        try:
            sync(plan, params, paths, done)
            is_warned = False
        except (TrackingUnavailable, TrackingRefused) as error:
            if not is_warned:
                LOGGER.warning("%s", error)
            is_warned = True
        stop.wait(interval_s)
    sync(plan, params, paths, done)


def sync(plan: Plan, params: Params, paths: Paths, done: set[tuple[str, str]] | None = None) -> SyncReport:
    """Sends every run of the plan that is on disk, whole or in part, the suites' reports, and nothing that MLflow has.

    Args:
        done: of one who follows: suites and runs that were sent whole before, and need no look; those that are sent now
            are added. What takes a look at all runs is left to the sending that ends a launch.

    Raises:
        TrackingUnavailable, TrackingRefused: what was sent until then stays and is not sent again.
    """
    report, is_live, done = SyncReport(), done is not None, set() if done is None else done
    is_workspace = main_workspace(paths.root) is None
    for suite, cells in plan.suites.items():
        with store(params, paths) as client:
            experiment = open_experiment(client, suite, params, paths)
            mirrors = {} if is_live else _mirrors(client, experiment)
            for cell in cells:
                keys = cell.run, cell.evaluation
                mirror = mirrors.pop(keys, None)
                if (suite, cell.run) in done:
                    continue
                records = content.read(plan, cell, paths)
                if records is None:
                    report.missing.append(cell.run)
                    continue
                if is_live:
                    mirror = _mirrors(client, experiment, f" = '{cell.run}'").get(keys)
                tags = content.tags(records, suite) | ({_PLAN: "current"} if is_workspace else {})
                with deadline(client.tracking_uri):
                    points = _send(client, experiment, mirror, records, tags, params.tracking.models, paths)
                (report.unchanged if points is None else report.sent).append(cell.run)
                report.points += points or 0
                if len(records.measures) == len(cell.evaluations):
                    done.add((suite, cell.run))
            if is_workspace and not is_live:
                with deadline(client.tracking_uri):
                    for former in mirrors.values():
                        if former.data.tags.get(_PLAN) != "former":
                            client.set_tag(former.info.run_id, _PLAN, "former")
                    send_report(client, experiment, suite, paths)
    return report


def _mirrors(client: MlflowClient, experiment: str, run: str = " != ''") -> dict[tuple[str, str], Mirror]:
    """Mirrors in an experiment, by the keys of run and evaluation. Any second one goes to MLflow's trash.

    Two machines may have made one each; and taking back an experiment takes back every run that was deleted in it.
    """
    found: dict[tuple[str, str], Mirror] = {}
    wanted, first = f"tags.`sagan.run`{run}", ["attributes.run_id"]
    for mirror in client.search_runs([experiment], wanted, max_results=50_000, order_by=first):
        tags = mirror.data.tags
        if found.setdefault((tags["sagan.run"], tags["sagan.evaluation"]), mirror) is not mirror:
            _discard(client, mirror)
    return found


def _discard(client: MlflowClient, mirror: Mirror) -> None:
    """To MLflow's trash, its models with it."""
    drop_models(client, mirror)
    client.delete_run(mirror.info.run_id)


def _send(
    client: MlflowClient,
    experiment: str,
    mirror: Mirror | None,
    records: Records,
    tags: dict[str, str],
    models: bool,
    paths: Paths,
) -> int | None:
    """Completes the mirror of one run. Returns how many points were sent; None where nothing was missing.

    The tag `sagan.records` comes before what it has the digests of, and the status FINISHED after all of that: a
    mirror without it is looked at again.
    """
    sent: Json = json.loads(mirror.data.tags.get(_RECORDS, "{}")) if mirror else {}
    made_for = os.environ.get("DVC_EXP_NAME")
    if mirror and _contradicts(mirror, sent, records):
        made_for = mirror.data.tags.get(_EXPERIMENT)
        _discard(client, mirror)
        mirror, sent = None, {}
    # What is gone from here was sent, or is elsewhere: made anew, it has another digest.
    tags = tags | {_RECORDS: canonical(sent | records.digests())}
    if mirror is None:
        tags |= {_EXPERIMENT: made_for} if made_for else {}
        mirror = client.create_run(experiment, content.started(records), tags, records.cell.run)
    run_id, is_finished = mirror.info.run_id, mirror.info.status == "FINISHED"
    if is_whole := is_finished and mirror.data.tags.get(_RECORDS) == tags[_RECORDS]:
        points = []
    else:
        points = _missing_points(mirror, records)
        if is_finished:
            client.update_run(run_id, "RUNNING")
    new = [RunTag(name, value) for name, value in tags.items() if mirror.data.tags.get(name) != value]
    client.log_batch(run_id, tags=new)
    parameters = content.parameters(records)
    if len(mirror.data.params) < len(parameters):
        data = f"{records.run.dataset}-{records.run.resolution}"
        source = canonical({"uri": f"data/prepared/{data}"})
        dataset = Dataset(data, records.run.dataset_digest[:_DATASET_DIGEST], "local", source)
        client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
        client.log_dict(run_id, records.run.config, "config.json")
        client.log_batch(run_id, params=[Param(*item) for item in parameters.items()])
    client.log_batch(run_id, metrics=points)
    if records.result and not is_whole:
        pictures = paths.evaluation(records.cell.evaluation)
        with tempfile.TemporaryDirectory() as folder:
            content.copy(pictures.rglob("*.png"), pictures, Path(folder))
            for name, document in records.documents().items():
                write_json(Path(folder, name), document)
            client.log_artifacts(run_id, folder)
        client.set_terminated(run_id, "FINISHED", content.ms(records.result.provenance.finished))
    has_model = models and send_model(client, mirror, records, paths)
    return len(points) if new or points or has_model else None


def _contradicts(mirror: Mirror, sent: Json, records: Records) -> bool:
    """Whether the mirror shows what the records do not say, as where a run or an evaluation was made again.

    MLflow can only add points, so such a mirror is made anew. Of the log, the loss of the last line that arrived is
    compared: after a restart with other values no later line agrees. A line's times differ after every resume.
    """
    now, held = records.digests(), mirror.data.metrics
    if any(now.get(name, value) != value for name, value in sent.items()):
        return True
    at = [line.values.get("loss_d") for line in records.log if line.images == held.get("train/images")]
    if records.result and records.log and "train/images" in held and not at:
        return True
    return any(loss is not None and not math.isclose(held.get("train/loss_d", loss), loss) for loss in at)


def _missing_points(mirror: Mirror, records: Records) -> list[Metric]:
    """The lines after the last one that arrived, and the figures, which MLflow drops where it has them.

    They are sent in order, and `train/images` is the last of its line: what has arrived is always a beginning of the
    log, and the latest `train/images` says how long a one. After a resume the log holds lines again that were sent
    before; they are the same but for their time, which would make them second points.
    """
    arrived = mirror.data.metrics.get("train/images", -1.0)
    points = [point for line in records.log if line.images > arrived for point in content.log_points(line)]
    return points + (content.result_points(records) if records.result else [])


def send_report(client: MlflowClient, experiment: str, suite: str, paths: Paths) -> None:
    """A run with the report's results and effects as tables, the lowest FID first, and its pictures.

    A report that was written anew takes the place of the former.
    """
    folder = paths.report(suite)
    tables = {name: folder / f"{name}.csv" for name in ("results", "effects") if (folder / f"{name}.csv").exists()}
    pictures = [path for path in sorted(folder.glob("figures/*")) if is_own_file(path, folder)]
    sent = digest({path.name: file_digest(path) for path in [*tables.values(), *pictures]}, 16)
    found = client.search_runs([experiment], f"tags.`sagan.report` = '{suite}'")
    if not tables or [run.data.tags.get("sagan.sent") for run in found] == [sent]:
        return
    for run in found:
        client.delete_run(run.info.run_id)
    run_id = client.create_run(experiment, tags={"sagan.report": suite}, run_name=f"{suite}: report").info.run_id
    for name, path in tables.items():
        table = pd.read_csv(path)
        if name == "results":
            table.insert(table.columns.get_loc("run"), "fid", table.pop("fid"))  # after variant, seed and factors
            table = table.sort_values("fid")
        client.log_table(run_id, table, f"{name}.json")
    with tempfile.TemporaryDirectory() as copies:
        content.copy(pictures, folder, Path(copies))
        client.log_artifacts(run_id, copies)
    client.set_terminated(run_id)
    client.set_tag(run_id, "sagan.sent", sent)

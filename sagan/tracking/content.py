"""What MLflow is told of a run: pure functions from the records to parameters, tags, points and files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sagan.names import for_mlflow, for_mlflow_text
from sagan.params import Params
from sagan.plan import Cell, Evaluation, Plan, Run
from sagan.store.paths import Paths
from sagan.store.reading import is_own_file, read_evaluation, read_log, read_run
from sagan.store.records import Json, canonical, digest, file_digest
from sagan.store.types import EvaluationRecord, LogLine, RunRecord

# The tag sagan.plan: whether the plan that the workspace sent last holds this run, or an experiment beside it made it.
CURRENT, FORMER, EXPERIMENT = "current", "former", "experiment"
NETWORKS = ("generator", "discriminator")


class Point(NamedTuple):
    """One value of one metric. The timestamp, in ms, is the record's: sent again, it is the same point."""

    key: str
    value: float
    timestamp: int
    step: int


@dataclass(frozen=True)
class Records:
    """What is planned and what is on disk of one run. `result` is run.json, `measures` is metrics.json.

    `also` has metrics.json of further feature spaces, by extractor.
    """

    cell: Cell
    run: Run
    evaluation: Evaluation
    log: list[LogLine]
    result: RunRecord | None
    measures: EvaluationRecord | None
    pictures: dict[str, Path]
    also: dict[str, EvaluationRecord]

    @property
    def started(self) -> int:
        """When the first step was taken, in ms; the same while the run trains and after."""
        if self.log:
            return _ms(self.log[0].time - self.log[0].seconds)
        return _ms_of(self.result.provenance.started)

    @property
    def finished(self) -> int | None:
        return _ms_of(self.result.provenance.finished) if self.result else None

    def digest(self) -> str:
        """Of everything here that does not change once it is written."""
        pictures = {name: file_digest(path) for name, path in self.pictures.items()}
        records = [record and record.content() for record in (self.result, self.measures)]
        return digest([*records, pictures, {name: record.content() for name, record in self.also.items()}], 16)


def read(plan: Plan, cell: Cell, paths: Paths) -> Records | None:
    """The records of a cell, or None where its run has left nothing on disk yet."""
    evaluation = paths.evaluation(cell.evaluation)
    log, result = read_log(cell.run, paths), read_run(cell.run, paths).record
    if not log and result is None:
        return None
    measures = read_evaluation(cell.evaluation, paths).record if result else None
    return Records(
        cell=cell,
        run=plan.runs[cell.run],
        evaluation=plan.evaluations[cell.evaluation],
        log=log,
        result=result,
        measures=measures,
        pictures=_pictures(evaluation) if measures else {},
        also=_also(cell, paths) if result else {},
    )


def signature(cell: Cell, paths: Paths) -> list[tuple[str, int, int]]:
    """Changes whenever a record of this cell is written."""
    run, evaluation = paths.run(cell.run), paths.evaluation(cell.evaluation)
    files = [run / "log.jsonl", run / "run.json", *_pictures(evaluation).values()]
    files += [paths.evaluation(key) / "metrics.json" for key in cell.evaluations]
    stats = [(str(file), file.stat()) for file in files if file.exists()]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


# --- parameters and tags ------------------------------------------------------------------------


def parameters(records: Records) -> dict[str, str]:
    """One flat set of what determines the run and its evaluation. Equal keys give equal parameters."""
    config = records.run.config
    tree = {
        "variant": records.cell.variant,
        **config["variant"],
        "training": config["training"],
        "seed": config["seed"],
        "image": config["image"],
        "dataset_digest": records.run.dataset_digest,
        "code": records.run.code,
        "evaluation": records.evaluation.settings,
    }
    return dict(_flat(tree))


def tags(records: Records, suite: str, params: Params) -> dict[str, str]:
    """What runs are found, filtered and grouped by."""
    variant = records.run.config["variant"]
    told = {
        "run": records.cell.run,
        "evaluation": records.cell.evaluation,
        "reference": records.evaluation.reference,
        "suite": suite,
        "dataset": records.run.dataset,
        "variant": records.cell.variant,
        "seed": str(records.cell.seed),
        "backbone": variant["backbone"],
        "attention": _attention(variant),
        "spectral_norm": "+".join(n[0].upper() for n in NETWORKS if variant[n]["spectral_norm"]) or "off",
        "lr_ratio": f"{variant['optimizer']['lr_ratio']:g}",
        "status": records.result.status if records.result else "running",
    }
    told |= {f"factor.{for_mlflow(factor)}": level for factor, level in records.cell.levels.items()}
    told = {f"sagan.{name}": value for name, value in told.items()}
    return {"mlflow.runName": records.cell.run, **told, **_outcome_tags(records)}


def arrival_tags(is_beside: bool) -> dict[str, str]:
    """What a run is marked with when it is sent first: the plan that it is of, and the DVC experiment that made it.

    Args:
        is_beside: from a copy that DVC runs an experiment in.
    """
    told = {"sagan.plan": EXPERIMENT if is_beside else CURRENT}
    if name := os.environ.get("DVC_EXP_NAME"):
        told["sagan.experiment"] = name
    return told


def _outcome_tags(records: Records) -> dict[str, str]:
    if records.result is None:
        return {}
    result, provenance = records.result, records.result.provenance
    told = {name: getattr(result, name) for name in ("diverged_at", "reason")}
    told |= {name: getattr(provenance, name) for name in ("device", "device_kind", "threads", "commit", "dirty")}
    told |= {f"version.{name}": version for name, version in provenance.versions.items()}
    if records.measures:
        told |= {f"protocol.{name}": metric.name for name, metric in records.measures.metrics.items()}
        told["collapsed_at"] = records.measures.collapse.began
    for extractor, measures in records.also.items():
        told |= {f"protocol.{extractor}.{name}": metric.name for name, metric in measures.metrics.items()}
    found = {
        f"sagan.{for_mlflow(name)}": for_mlflow_text(str(value)) for name, value in told.items() if value is not None
    }
    if provenance.commit:
        found["mlflow.source.git.commit"] = provenance.commit
    return found


def _attention(variant: Json) -> str:
    placed = [
        f"{network} {','.join(map(str, variant[network]['attention_at']))}"
        for network in NETWORKS
        if variant[network]["attention_at"]
    ]
    return ", ".join(placed) or "off"


# --- points -------------------------------------------------------------------------------------


def log_points(line: LogLine) -> list[Point]:
    """The points of one logged step. A value that was not finite is null in the log and no point here."""
    values = {_log_metric(name): value for name, value in line.content().items() if name not in ("step", "time")}
    return _points(values, _ms(line.time), line.step)


def _log_metric(name: str) -> str:
    """MLflow shows what stands before the slash as a section of charts."""
    section, dot, rest = name.partition(".")
    return f"{section}/{rest}" if dot else f"train/{name}"


def result_points(records: Records) -> list[Point]:
    """The figures of a whole run: what it cost, and how good it is. They have step 0, which MLflow draws as bars."""
    result, measures = records.result, records.measures
    values = {"images_per_second": result.images_per_second, "seconds": result.seconds}
    values |= {f"parameters/{network}": count for network, count in result.parameters.items()}
    points = _points(values, records.finished, 0)
    for extractor, figures in records.also.items():
        points += [point._replace(key=f"{extractor}/{point.key}") for point in _measured_points(figures)]
    return points if measures is None else points + _evaluation_points(measures)


def _measured_points(measures: EvaluationRecord) -> list[Point]:
    """What depends on the feature space: the figures, and the curve."""
    stamp = _ms_of(measures.provenance.finished)
    values = {name: metric.value for name, metric in measures.metrics.items()}
    values |= {f"{name}_untrained": metric.value for name, metric in measures.untrained.items()}
    points = _points(values, stamp, 0)
    for at in measures.curve:
        points += _points(
            {f"curve/{name}": getattr(at, name) for name in ("fid", "recall", "diversity")}, stamp, at.step
        )
    return points


def _evaluation_points(measures: EvaluationRecord) -> list[Point]:
    values: Json = {}
    for place, layer in measures.attention.items():
        values |= {f"attention/{place}.{name}": value for name, value in layer.content().items()}
    values["evaluation/seconds"] = measures.seconds
    values["evaluation/generated_per_second"] = measures.generated_per_second
    return _measured_points(measures) + _points(values, _ms_of(measures.provenance.finished), 0)


def _points(values: Json, stamp: int, step: int) -> list[Point]:
    """Points of the values that are finite numbers: MLflow shows others as very large ones."""
    finite = {key: value for key, value in values.items() if isinstance(value, int | float) and math.isfinite(value)}
    return [Point(_name(key), float(value), stamp, step) for key, value in finite.items()]


def _name(key: str) -> str:
    """A metric's name, whose sections are divided by slashes, as MLflow takes it."""
    return "/".join(for_mlflow(part) for part in key.split("/") if part)


# --- files --------------------------------------------------------------------------------------


def _also(cell: Cell, paths: Paths) -> dict[str, EvaluationRecord]:
    found = {extractor: read_evaluation(key, paths).record for extractor, key in cell.also.items()}
    return {extractor: measures for extractor, measures in found.items() if measures is not None}


def _pictures(folder: Path) -> dict[str, Path]:
    """The PNG files of an evaluation by their relative names, none from elsewhere."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.png"))}
    return {name: path for name, path in found.items() if is_own_file(path, folder)}


# --- small things -------------------------------------------------------------------------------


def _flat(tree: Json, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{for_mlflow(name)}.")
        else:
            yield f"{prefix}{for_mlflow(name)}", value if isinstance(value, str) else canonical(value)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _ms_of(iso: str) -> int:
    return _ms(datetime.fromisoformat(iso).timestamp())

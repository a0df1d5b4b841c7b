"""What MLflow is told of a run: pure functions from the records to parameters, tags and points."""

import math
from dataclasses import dataclass
from datetime import datetime

from mlflow.entities import Metric

from sagan.names import for_mlflow, for_mlflow_metric, for_mlflow_text
from sagan.params.inheritance import leaves
from sagan.plan import Cell, Evaluation, Plan, Run
from sagan.store.paths import Paths
from sagan.store.reading import read_evaluation, read_log, read_run
from sagan.store.records import Json, canonical, digest
from sagan.store.types import EvaluationRecord, LogLine, RunRecord

MAIN = ""  # the feature space whose figures have plain names
# Whether the workspace's plan holds a run, or a DVC experiment beside the workspace made it.
PLAN_TAG, CURRENT, FORMER, EXPERIMENT = "sagan.plan", "current", "former", "experiment"


@dataclass(frozen=True)
class Records:
    """What is planned and what is on disk of one run of a suite: run.json, and metrics.json by feature space."""

    suite: str
    cell: Cell
    run: Run
    evaluation: Evaluation
    log: list[LogLine]
    result: RunRecord | None
    measures: dict[str, EvaluationRecord]

    def digest(self) -> str:
        """Of what does not change once it is written; a measurement's record holds the digests of its pictures."""
        return digest([self.result.content(), {space: record.content() for space, record in self.measures.items()}], 16)


def read(plan: Plan, suite: str, cell: Cell, paths: Paths) -> Records | None:
    """The records of a cell, or None where its run has left nothing on disk yet."""
    result = read_run(cell.run, paths).record  # before the log, which is whole once this is there
    log = read_log(cell.run, paths)
    if not log and result is None:
        return None
    keys = {MAIN: cell.evaluation, **cell.also} if result else {}
    found = {space: read_evaluation(key, paths).record for space, key in keys.items()}
    measures = {space: record for space, record in found.items() if record}
    return Records(suite, cell, plan.runs[cell.run], plan.evaluations[cell.evaluation], log, result, measures)


def started(records: Records) -> int:
    """When the first step was taken, in ms; the same while the run trains and after."""
    if records.log:
        return round((records.log[0].time - records.log[0].seconds) * 1000)
    return ms(records.result.provenance.started)


def ms(iso: str) -> int:
    """A record's time as MLflow's."""
    return round(datetime.fromisoformat(iso).timestamp() * 1000)


def parameters(records: Records) -> dict[str, str]:
    """One flat set of what determines the run and its evaluation. Equal keys give equal parameters."""
    config, run = records.run.config, records.run
    tree = {**config, **config["variant"], "variant": records.cell.variant, "evaluation": records.evaluation.settings}
    return _flat({**tree, "dataset_digest": run.dataset_digest, "code": run.code})


def tags(records: Records) -> dict[str, str]:
    """What runs are found, filtered and grouped by."""
    cell, variant, result = records.cell, records.run.config["variant"], records.result
    networks = {name: variant[name] for name in ("generator", "discriminator")}
    placed = {name: ",".join(map(str, network["attention_at"])) for name, network in networks.items()}
    told = {
        "run": cell.run,
        "evaluation": cell.evaluation,
        "suite": records.suite,
        "dataset": records.run.dataset,
        "variant": cell.variant,
        "seed": cell.seed,
        "factor": cell.levels,
        "backbone": variant["backbone"],
        "attention": ", ".join(f"{name} {at}" for name, at in placed.items() if at) or "off",
        "spectral_norm": "+".join(name[0].upper() for name in networks if networks[name]["spectral_norm"]) or "off",
        "lr_ratio": f"{variant['optimizer']['lr_ratio']:g}",
        "status": result.status if result else "running",
    }
    if result:
        made = result.provenance
        told |= {name: getattr(made, name) for name in ("device", "device_kind", "threads", "commit", "dirty")}
        told |= {"version": made.versions, "diverged_at": result.diverged_at, "reason": result.reason}
    measured = records.measures.items()
    protocols = {space: {name: metric.name for name, metric in found.metrics.items()} for space, found in measured}
    if MAIN in protocols:
        told["collapsed_at"] = records.measures[MAIN].collapse.began
    told["protocol"] = protocols.pop(MAIN, {}) | protocols
    commit = {"mlflow.source.git.commit": told["commit"]} if told.get("commit") else {}
    return {name: for_mlflow_text(text) for name, text in _flat({"sagan": told}).items() if text != "null"} | commit


def _flat(tree: Json) -> dict[str, str]:
    """The leaves of a tree as texts, by their places: `generator.attention_at`."""
    return {for_mlflow(place): of if isinstance(of, str) else canonical(of) for place, of in leaves(tree)}


def log_points(line: LogLine) -> list[Metric]:
    """The points of one logged step. A value that was not finite is null in the log and no point here."""
    values = {name: value for name, value in line.content().items() if name not in ("step", "time")}
    # What stands before a slash is a section of MLflow's page.
    named = {name.replace(".", "/", 1) if "." in name else f"train/{name}": value for name, value in values.items()}
    return _points(named, round(line.time * 1000), line.step)


def result_points(records: Records) -> list[Metric]:
    """The figures of a whole run: what it cost, and how good it is. They have step 0, which MLflow draws as bars."""
    result = records.result
    values = {"images_per_second": result.images_per_second, "seconds": result.seconds}
    values |= {f"parameters/{network}": count for network, count in result.parameters.items()}
    points = _points(values, ms(result.provenance.finished), 0)
    for space, measures in records.measures.items():
        stamp = ms(measures.provenance.finished)
        values = {name: metric.value for name, metric in measures.metrics.items()}
        values |= {f"{name}_untrained": metric.value for name, metric in measures.untrained.items()}
        values |= {f"evaluation/{name}": getattr(measures, name) for name in ("seconds", "generated_per_second")}
        for place, layer in measures.attention.items():
            values |= {f"attention/{place}.{name}": value for name, value in layer.content().items()}
        points += _points(values, stamp, 0, space)
        for at in measures.curve:
            curve = {f"curve/{name}": getattr(at, name) for name in ("fid", "recall", "diversity")}
            points += _points(curve, stamp, at.step, space)
    return points


def _points(values: Json, stamp: int, step: int, space: str = MAIN) -> list[Metric]:
    """The finite values (MLflow shows others as very large) at their record's time: a point sent again is the same."""
    finite = {key: value for key, value in values.items() if isinstance(value, int | float) and math.isfinite(value)}
    return [Metric(for_mlflow_metric(f"{space}/{key}"), float(value), stamp, step) for key, value in finite.items()]

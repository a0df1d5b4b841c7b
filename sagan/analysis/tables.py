"""Records to tidy tables: one row a run and feature space, one a snapshot, one a logged step; and their CSV files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from sagan.analysis.design import design_of
from sagan.analysis.model import Design, Effect, Report
from sagan.errors import UserError, warn_once
from sagan.metrics.table import METRICS
from sagan.names import for_csv
from sagan.params import Params
from sagan.params.run import NETWORKS
from sagan.plan import Cell, Plan
from sagan.store.paths import Paths
from sagan.store.reading import read_evaluation, read_log, read_reference, read_run
from sagan.store.records import Json
from sagan.store.types import Attention, CurvePoint, EvaluationRecord, LogLine, MetricValue, ReferenceRecord, RunRecord

# A run has worsened that ends so many times as far from the data as it once was.
WORSENED_FACTOR = 2.0
# Lines of training.csv a run.
LOG_POINTS = 200
FILES = {"runs": "results.csv", "snapshots": "curves.csv", "training": "training.csv"}


@dataclass(frozen=True)
class Row:
    """A variant with a seed in one feature space, and what of it is on disk. `set_aside` says why an evaluation that is
    there does not count; it is None then."""

    cell: Cell
    space: str
    evaluation_key: str
    reference: ReferenceRecord | None
    training: RunRecord | None
    log: list[LogLine]
    evaluation: EvaluationRecord | None
    set_aside: str | None
    fid_untrained: float | None

    def metric(self, name: str) -> float | None:
        return _value(self.evaluation and self.evaluation.metrics, name)

    def reason(self, name: str) -> str | None:
        """What a metric's status says of it where that is not "measured": why it has no figure, or a bad one."""
        found = self.evaluation and self.evaluation.metrics.get(name)
        return found.status if found and found.status != "measured" else None

    @property
    def curve(self) -> list[CurvePoint]:
        return self.evaluation.curve if self.evaluation else []

    def fate(self) -> Json:
        """`status`: measured, diverged or missing; and as 0 or 1
        - `lost`: trained to no FID at all: diverged, or its images or their features are not finite;
        - `collapsed`: at some snapshot and to the end, or all final images are the same;
        - `went_wrong`: collapsed, no better than untrained, or more than twice as far from the data as it once was.
        """
        fid, why, untrained, record = self.metric("fid"), self.reason("fid"), self.fid_untrained, self.evaluation
        ended = record or self.training
        diverged = ended is not None and ended.status == "diverged"
        status = "diverged" if diverged else "measured" if record else "missing"
        lost = status == "measured" and fid is None and not (why or "").startswith("too few images")
        is_constant = fid is not None and why is not None
        collapsed = bool(record and record.collapse.began is not None) or is_constant
        fids = [point.fid for point in self.curve if point.fid is not None]
        worsened = status == "measured" and len(fids) > 1 and fids[-1] > WORSENED_FACTOR * min(fids)
        wrong = collapsed or worsened or (fid is not None and untrained is not None and fid >= untrained)
        return {"status": status, "lost": int(diverged or lost), "collapsed": int(collapsed), "went_wrong": int(wrong)}

    def at_step(self, step: int) -> dict[str, float | None]:
        """`images` seen, `seconds` and `step_seconds` spent up to a step, from the log; None where it does not say."""
        found: dict[str, float | None] = dict.fromkeys(("images", "seconds", "step_seconds"))
        steps = [0, *(line.step for line in self.log), *([self.training.steps] if self.training else [])]
        for name in found:
            values = [0.0, *(getattr(end, name) for end in (*self.log, self.training) if end)]
            if len(steps) > 1 and None not in values:
                found[name] = float(np.interp(step, steps, values))
        return found | {"images": None if found["images"] is None else round(found["images"])}


@dataclass(frozen=True)
class Tables:
    """What a report is made of."""

    # results.csv: variant, seed, a column for each factor (empty outside of the grid), space, status, lost, every
    # metric, step_seconds (of one step), load, device, ...; of layers `gamma.<layer>`, and `entropy.<layer>` over a
    # uniform map's.
    runs: pd.DataFrame
    snapshots: pd.DataFrame  # curves.csv: the same keys and step, images, seconds, step_seconds (so far), fid, ...
    training: pd.DataFrame  # training.csv: the runs' logs, thinned
    costs: pd.DataFrame | None = None  # costs.csv: step_seconds of quiet runs by variant and round (`seed`)


@dataclass(frozen=True)
class Analysis:
    """A report with the tables it is of. `is_here`: the runs are on this machine, with their pictures."""

    report: Report
    effects: list[Effect]
    tables: Tables
    is_here: bool = False

    @property
    def design(self) -> Design:
        return self.report.design


def collect(suite: str, plan: Plan, params: Params, paths: Paths) -> list[Row]:
    """Everything on disk about a suite of the plan, in the order of `params.yaml`, one feature space after another."""
    logs = {cell.run: read_log(cell.run, paths) for cell in plan.suites[suite]}
    trained = {run: read_run(run, paths).record for run in logs}
    rows = []
    for space in params.suites[suite].evaluation.spaces:
        cells = [(cell, cell.also.get(space, cell.evaluation)) for cell in plan.suites[suite]]
        reference = read_reference(plan.evaluations[cells[0][1]].reference, paths).record
        found = {key: read_evaluation(key, paths).record for _, key in cells}
        untrained = {key: _value(of and of.untrained, "fid") for key, of in found.items()}
        # The untrained generator is measured at seed 0 alone, for all runs of its recipe.
        of_recipe = {cell.variant: untrained[key] for cell, key in cells if cell.seed == 0}
        for cell, key in cells:
            set_aside = _other_weights(found[key], reference, paths) if found[key] and reference else None
            evaluation = None if set_aside else found[key]
            fid = of_recipe.get(cell.variant) if untrained[key] is None else untrained[key]
            records = (reference, trained[cell.run], logs[cell.run], evaluation)
            rows.append(Row(cell, space, key, *records, set_aside, fid if evaluation else None))
    return rows


def _value(metrics: Mapping[str, MetricValue] | None, name: str) -> float | None:
    return metrics[name].value if metrics and name in metrics else None


def _other_weights(evaluation: EvaluationRecord, reference: ReferenceRecord, paths: Paths) -> str | None:
    """Why an evaluation's figures do not compare with the others: another machine trained the network that measured."""
    protocols = [evaluation.curve_protocol, *(metric.protocol for metric in evaluation.metrics.values())]
    here = reference.weights_digest
    others = {protocol.get("weights_digest") for protocol in protocols} - {None, here}
    if here is None or not others:
        return None
    folder = paths.evaluation(evaluation.key).relative_to(paths.root).as_posix()
    brought = paths.reference(reference.key).relative_to(paths.root).as_posix()
    told = ", ".join(sorted(digest[:12] for digest in others))
    return (
        f"measured with other weights ({told}) than the reference here has ({here[:12]}): delete {folder} and run "
        f"`dvc repro`, or bring {brought} from where it was measured"
    )


def read_suite(suite: str, plan: Plan, params: Params, paths: Paths) -> tuple[Design, list[Row], Tables]:
    """A suite's design, its records on disk and their tables, the further feature spaces below the first."""
    design, rows = design_of(suite, plan, params), collect(suite, plan, params, paths)
    grid = params.grids.get(design.grid, {})

    def keys(row: Row) -> Json:
        levels = grid.get(row.cell.variant, dict.fromkeys(design.factors))
        return {"variant": row.cell.variant, "seed": row.cell.seed, **levels, "space": row.space}

    figures = ("fid", "recall", "diversity")
    snapshots = [
        keys(row) | {"step": point.step} | row.at_step(point.step) | {name: getattr(point, name) for name in figures}
        for row in rows
        for point in row.curve
    ]
    # Maps are the same in each space, of which some may have the last snapshots alone.
    starts = {row.cell.run: point.attention for row in rows for point in row.curve if point.step == 0}
    training = [line for row in rows if row.space == design.space for line in _training(row)]
    first = ["variant", "seed", "step", "images", "seconds"]
    columns = ["step", "images", "seconds", "step_seconds", *figures]
    logged = sorted({name for line in training for name in line} - {*first, "step_seconds"})
    runs = pd.DataFrame([keys(row) | _run(row, starts.get(row.cell.run, {})) for row in rows])
    tables = Tables(
        runs,
        pd.DataFrame(snapshots, columns=["variant", "seed", *design.factors, "space", *columns]),
        pd.DataFrame(training, columns=[*first, *logged]),
        _costs(paths.report(suite), runs),
    )
    return design, rows, tables


def _run(row: Row, start: Attention) -> Json:
    run, evaluation = row.training, row.evaluation
    layers: Json = {}
    for layer, entry in (evaluation.attention if evaluation else {}).items():
        layers |= {f"gamma.{layer}": entry.gamma, f"entropy.{layer}": entry.share}
    layers |= {f"entropy_untrained.{layer}": entry.share for layer, entry in start.items()}
    best, matched = evaluation and evaluation.best, evaluation.matched if evaluation else {}
    counts = [metric.protocol.get("generated_count") for metric in evaluation.metrics.values()] if matched else []
    of_fewer = {} if matched.get("count") in counts else matched.get("generated", {})
    digest, copies = run and run.files.get("generator.safetensors"), evaluation and evaluation.memorisation
    loads = [line.load for line in row.log if line.load is not None]
    return {
        "run": row.cell.run,
        "evaluation": row.evaluation_key,
        **row.fate(),
        "collapsed_at": evaluation and evaluation.collapse.began,
        "diverged_at": run and run.diverged_at,
        **{metric: row.metric(metric) for metric in METRICS},
        **{f"{name}_matched": found["value"] for name, found in of_fewer.items()},
        "fid_untrained": row.fid_untrained,
        "fid_best": best and best.fid.value,
        "best_step": best and best.step,
        # Nothing is nearer than 0: where 1 % of the held-out images are training images too, copies go unseen.
        "nearer_than_held_out": copies.closer if copies and copies.held_out_p01 != 0 else None,
        **{name: run and getattr(run, name) for name in ("steps", "images", "images_per_second", "seconds")},
        "step_seconds": run.step_seconds / run.steps if run and run.step_seconds and run.steps else None,
        "load": median(loads) if loads else None,
        "generated_per_second": evaluation and evaluation.generated_per_second,
        "evaluation_seconds": evaluation and evaluation.seconds,
        **{f"parameters_{network}": run and run.parameters.get(network) for network in NETWORKS},
        "generator_sha256": digest and digest.sha256,
        "device": run and run.provenance.device,
        "threads": run and run.provenance.threads,
        **layers,
    }


def _training(row: Row) -> list[Json]:
    """About `LOG_POINTS` lines of the log, the first and the last among them; of sigmas each network's largest."""
    lines, every = [], -(-len(row.log) // LOG_POINTS) or 1
    for line in [*row.log[:-1:every], *row.log[-1:]]:
        kept = {k: v for k, v in line.content().items() if k != "time" and not k.startswith("sigma.")}
        for network in NETWORKS:
            sigmas = [v for k, v in line.values.items() if k.startswith(f"sigma.{network}.") and v is not None]
            if sigmas:
                kept[f"sigma_max.{network}"] = max(sigmas)
        lines.append({"variant": row.cell.variant, "seed": row.cell.seed, **kept})
    return lines


def write_tables(tables: Tables, folder: Path) -> None:
    """results.csv, curves.csv and training.csv; costs.csv is a user's."""
    for name, file in FILES.items():
        table = getattr(tables, name)
        # Of records, which may have been copied from elsewhere; other texts are names of params.yaml.
        texts = {column: table[column].map(for_csv) for column in ("device", "generator_sha256") if column in table}
        table.assign(**texts).to_csv(folder / file, index=False, lineterminator="\n")


def read_tables(folder: Path, factors: list[str]) -> Tables:
    """The tables that a report left. FileNotFoundError where one is not there."""
    tables = {name: read_table(folder / file, factors) for name, file in FILES.items()}
    return Tables(**tables, costs=_costs(folder, tables["runs"]))


def effects_table(rows: list[Effect]) -> pd.DataFrame:
    """effects.csv."""
    return pd.DataFrame([row.model_dump() for row in rows], columns=list(Effect.model_fields))


def read_effects(folder: Path) -> list[Effect]:
    """A report's effects.csv; FileNotFoundError where there is none."""
    rows = pd.read_csv(folder / "effects.csv", dtype=str, keep_default_na=False).to_dict("records")
    return [Effect(**{name: text for name, text in row.items() if text}) for row in rows]


def _costs(folder: Path, runs: pd.DataFrame) -> pd.DataFrame | None:
    """costs.csv, of a suite's runs: a row is of the variant which has its run now. None without any."""
    if not (file := folder / "costs.csv").exists():
        return None
    costs = read_table(file)
    if lacks := {"run", "seed", "step_seconds"} - {*costs}:
        warn_once(
            f"{file}: has no column {min(lacks)!r}, and does not count; `python -m benchmarks.costs SUITE` writes it"
        )
        return None
    # What stands before a key's hash is a label.
    hashes, known = (of["run"].str.rsplit("-", n=1).str[-1] for of in (costs, runs))
    costs["variant"] = hashes.map(dict(zip(known, runs["variant"], strict=True)))
    return costs.drop(columns="run").dropna(subset="variant")


def read_table(path: Path, factors: Sequence[str] = ()) -> pd.DataFrame:
    """A table of which levels such as "none" are words: only an empty field is nothing.

    Raises:
        UserError: it is no table, or `step_seconds` of it are no numbers.
    """
    types = dict.fromkeys(["variant", "space", "run", "evaluation", "device", "status", *factors], str)
    try:
        return pd.read_csv(path, dtype=types | {"step_seconds": float}, keep_default_na=False, na_values=[""])
    except ValueError as error:
        raise UserError(f"{path}: not a valid table ({str(error).strip()}); correct it or delete it") from error

"""Tidy tables: one row a run and feature space, one a snapshot, one a logged step; and their CSV files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import pandas as pd

from sagan.analysis.design import design_of
from sagan.analysis.metrics import METRICS
from sagan.analysis.model import Design, Effect, Report
from sagan.analysis.rows import Row, collect
from sagan.names import for_csv
from sagan.params import Params
from sagan.plan import Plan
from sagan.store.paths import Paths
from sagan.store.records import Json

# Lines of training.csv a run.
LOG_POINTS = 200
NETWORKS = ("generator", "discriminator")
Cells = Mapping[str, Mapping[str, str]]  # variant -> factor -> level


@dataclass(frozen=True)
class Tables:
    """What a report is made of.

    Attributes:
        runs: results.csv: variant, seed, a column for each factor, space, status, lost, every metric, step_seconds
            (seconds of a step), load, device, ... Of layers `gamma.<layer>`; `entropy.<layer>` over a uniform map's.
        snapshots: curves.csv: the same keys and step, images, seconds, step_seconds (spent so far), fid, ...
        training: training.csv: the runs' logs, thinned.
        costs: costs.csv, where there is one: step_seconds of quiet runs by variant and round (`seed`).
    """

    runs: pd.DataFrame
    snapshots: pd.DataFrame
    training: pd.DataFrame
    costs: pd.DataFrame | None = None


@dataclass(frozen=True)
class Analysis:
    """A report with the tables it is of. `records`: where they are on this machine, for pictures."""

    report: Report
    effects: list[Effect]
    tables: Tables
    records: list[Row] | None = None

    @property
    def design(self) -> Design:
        return self.report.design


FILES = {"runs": "results.csv", "snapshots": "curves.csv", "training": "training.csv"}


def read_suite(suite: str, plan: Plan, params: Params, paths: Paths) -> tuple[Design, list[Row], Tables]:
    """A suite's design, its records on disk and their tables. UserError as of `design_of` and `collect`."""
    design, rows = design_of(suite, plan, params), collect(suite, plan, params, paths)
    tables = tables_of(rows, params.grids.get(design.grid, {}))
    return design, rows, replace(tables, costs=_costs(paths.report(suite)))


def tables_of(rows: list[Row], cells: Cells) -> Tables:
    """The tables of a suite's records, the further feature spaces below the first."""
    runs = [_run(row) for row in rows]
    snapshots = [
        {"variant": row.variant, "seed": row.seed, "space": row.space, "step": point.step}
        | row.at_step(point.step)
        | {name: getattr(point, name) for name in ("fid", "recall", "diversity")}
        for row in rows
        for point in row.curve
    ]
    training = [line for row in rows if row.space == rows[0].space for line in _training(row)]
    first = ["variant", "seed", "step", "images", "seconds"]
    keys = ["variant", "seed", "space", "step", "images", "seconds", "step_seconds", "fid", "recall", "diversity"]
    logged = sorted({name for line in training for name in line} - set(keys))
    return Tables(
        with_factors(pd.DataFrame(runs), cells),
        with_factors(pd.DataFrame(snapshots, columns=keys), cells),
        pd.DataFrame(training, columns=[*first, *logged]),
    )


def with_factors(table: pd.DataFrame, cells: Cells) -> pd.DataFrame:
    """With a column for each factor behind the seed, empty for a variant outside of the grid."""
    factors = list(next(iter(cells.values()), {}))
    table = table.drop(columns=factors, errors="ignore")
    for place, name in enumerate(factors, start=2):
        levels = table["variant"].map({variant: of[name] for variant, of in cells.items()}).astype(object)
        table.insert(place, name, levels)
    return table


def write_tables(tables: Tables, folder: Path) -> None:
    for name, file in FILES.items():
        table = getattr(tables, name)
        # Of records, which may have been copied from elsewhere; other texts are names of params.yaml.
        texts = {column: table[column].map(for_csv) for column in ("device", "generator_sha256") if column in table}
        table.assign(**texts).to_csv(folder / file, index=False, lineterminator="\n")
    if tables.costs is not None:
        tables.costs.to_csv(folder / "costs.csv", index=False, lineterminator="\n")


def read_tables(folder: Path, factors: list[str]) -> Tables:
    """The tables that a report left. FileNotFoundError where one is not there."""
    return Tables(**{name: _read(folder / file, factors) for name, file in FILES.items()}, costs=_costs(folder))


def _costs(folder: Path) -> pd.DataFrame | None:
    return _read(folder / "costs.csv") if (folder / "costs.csv").exists() else None


def _read(path: Path, factors: Sequence[str] = ()) -> pd.DataFrame:
    """A table of which levels such as "none" are words: only an empty field is nothing."""
    words = dict.fromkeys(["variant", "space", "run", "evaluation", "device", "status", *factors], str)
    return pd.read_csv(path, dtype=words, keep_default_na=False, na_values=[""])


def _run(row: Row) -> Json:
    run, evaluation = row.training, row.evaluation
    layers: Json = {}
    for layer, entry in (evaluation.attention if evaluation else {}).items():
        layers |= {f"gamma.{layer}": entry.gamma, f"entropy.{layer}": entry.share}
    for point in (point for point in row.curve if point.step == 0):
        layers |= {f"entropy_untrained.{layer}": entry.share for layer, entry in point.attention.items()}
    best = evaluation and evaluation.best
    digest = run and run.files.get("generator.safetensors")
    return {
        **{
            "variant": row.variant,
            "seed": row.seed,
            "space": row.space,
            "run": row.run,
            "evaluation": row.evaluation_key,
        },
        "status": row.status,
        **{name: int(getattr(row, name)) for name in ("lost", "collapsed", "went_wrong")},
        "collapsed_at": evaluation and evaluation.collapse.began,
        "diverged_at": run and run.diverged_at,
        **{metric: row.metric(metric) for metric in METRICS},
        "fid_untrained": row.fid_untrained,
        "fid_best": best and best.fid.value,
        "best_step": best and best.step,
        "nearer_than_held_out": evaluation and evaluation.memorisation.closer,
        **{name: run and getattr(run, name) for name in ("steps", "images", "images_per_second", "seconds")},
        "step_seconds": run.step_seconds / run.steps if run and run.step_seconds and run.steps else None,
        "load": median(row.loads) if row.loads else None,
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
        lines.append({"variant": row.variant, "seed": row.seed, **kept})
    return lines

"""Runs of any code base: a table with a column for each factor and one for a metric. Nothing here knows of GANs."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sagan.analysis.effects import Effects, all_effects
from sagan.analysis.model import Design, Factor, metric_of
from sagan.errors import UserError, did_you_mean
from sagan.metrics.table import METRICS

# A column that tells runs of one cell apart, by the names that are usual.
RUN_COLUMNS = ("run", "run_id", "seed")
# Columns of the tables that `all_effects` takes, which a factor's would overwrite.
OURS = {"seed", "run", "step", "step_seconds", "space", "status", "lost", "device", "threads", "quiet"}


def read_results(path: Path) -> pd.DataFrame:
    """A CSV file as text, in which only an empty field and nan are nothing. UserError where it is none."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=["", "nan", "NaN", "NAN"])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, IsADirectoryError) as error:
        raise UserError(f"{path}: no CSV: {' '.join(str(error).split())}") from None


def analyse_results(
    table: pd.DataFrame,
    source: str,
    factors: Sequence[str],
    metric: str,
    time: str | None = None,
    step: str | None = None,
    run: str | None = None,
    lower_is_better: bool | None = None,
) -> tuple[Effects, list[str]]:
    """The effect of each level of each factor against its first, per step and, with times of snapshots, per second; and
    what of the table does not count and why.

    Args:
        source: what messages call the table. All else are its columns.
        factors: of `name=level` this level is what the others replace.
        time: seconds that the training has spent at a row; without steps it counts as that of one step.
        step: rows are snapshots, several a run.

    Raises:
        UserError: a column is missing or holds no numbers, a factor has one level, runs have no common step, or it is
            open which way is better.
    """
    names = [name.partition("=")[0] for name in factors]
    for name in [*names, metric, *filter(None, (time, step, run))]:
        if name not in table:
            raise UserError(f"{source}: no column {name!r}{did_you_mean(name, table.columns)}")
    if taken := OURS.union(METRICS, ["variant"] if len(names) > 1 else [], [metric]).intersection(names):
        raise UserError(f"{source}: column {min(taken)!r} cannot be a factor: the analysis uses that name; rename it")
    if metric not in METRICS and lower_is_better is None:
        raise UserError(f"--metric {metric}: say --lower-is-better or --higher-is-better")
    rows, notes = _rows(table, source, names, metric, time, step, run)
    steps, runs = rows["step"].value_counts(), len(rows[["variant", "seed"]].drop_duplicates())
    if not (common := steps[steps == runs].index.max()) > 0:
        raise UserError(f"{source}: no step at which all runs have a figure under {metric!r}")
    if common < rows["step"].max():
        notes.append(f"compared at step {int(common)}, the last at which all runs have a figure")
    rows = rows[rows["step"] <= common]
    better = {None: None, True: "lower", False: "higher"}[lower_is_better]
    known = metric_of(metric, better)
    is_log = known.scale == "log" and known.better == "lower" and (rows[metric].dropna() > 0).all()
    design = Design(
        suite=source,
        variants={},
        baseline="",
        questions=names,
        factors={of: _factor([*rows[of].unique()], said, source) for of, said in zip(names, factors, strict=True)},
        spaces=[""],
        metric=metric,
        better=better,
        scale="log" if is_log else "linear",
        steps=int(rows["step"].max()),
    )
    last = rows.sort_values("step", kind="stable").groupby(["variant", "seed"], sort=False).tail(1)
    cells = set(map(tuple, rows[names].to_numpy()))
    for cell in itertools.product(*(of.levels for of in design.factors.values())):
        if cell not in cells:
            named = ", ".join(f"{name}={level}" for name, level in zip(names, cell, strict=True))
            notes.append(f"no run of {named}: settings of the other factors without a pair are left out")
    return all_effects(design, last, rows), notes


def _rows(table: pd.DataFrame, source: str, factors: list[str], metric: str, time, step, run):
    """The rows as `all_effects` takes them, and what was left out."""
    rows = table[factors].map(str, na_action="ignore")
    rows = rows.assign(step=1, step_seconds=np.nan, space="", status="measured", lost=0, device="", threads="")
    for name, column in ((metric, metric), ("step", step), ("step_seconds", time)):
        if column:
            rows[name] = _numbers(table, column, source)
    run = run or next((name for name in RUN_COLUMNS if name in table), None)
    if step and run is None:
        raise UserError(f"{source}: with --step, rows of one run belong together; --run COLUMN tells runs apart")
    rows["run"] = table[run].astype(str) if step else np.arange(len(table))
    without_level, without_figure = rows[factors].isna().any(axis=1), rows[metric].isna()
    left_out = {"a level": without_level.sum(), "a figure": (~without_level & without_figure).sum()}
    notes = [f"{n} row{'s' if n > 1 else ''} without {what} left out" for what, n in left_out.items() if n]
    if without_figure.all():
        raise UserError(f"{source}: no figure under {metric!r}")
    rows = rows[~without_level & (~without_figure if step else True)]
    rows = rows.assign(variant=rows[factors].agg(", ".join, axis=1))
    rows["seed"] = rows.groupby("variant")["run"].transform(lambda of: pd.factorize(of)[0])
    doubled = rows.duplicated(["variant", "seed", "step"])
    if doubled.any():
        raise UserError(f"{source}: two rows of one run at step {rows.loc[doubled, 'step'].iloc[0]:g}")
    return rows, notes


def _factor(levels: list[str], said: str, source: str) -> Factor:
    """A factor whose first level is the one that is said, or else the table's first."""
    name, _, first = said.partition("=")
    if first and first not in levels:
        raise UserError(f"--factor {said}: no such level{did_you_mean(first, levels)}")
    if len(levels) < 2:
        raise UserError(f"{source}: {name} has one level ({', '.join(levels) or 'none'}); an effect needs two")
    return Factor(title=name, levels={level: level for level in ([first] if first else []) + levels})


def _numbers(table: pd.DataFrame, column: str, source: str) -> pd.Series:
    """A column as numbers; what is not finite is nothing."""
    numbers = pd.to_numeric(table[column], errors="coerce")
    words = table[column][numbers.isna() & table[column].notna()]
    if len(words):
        raise UserError(f"{source}: {column}, line {words.index[0] + 2}: {words.iloc[0]!r} is no number")
    return numbers.replace([np.inf, -np.inf], np.nan)

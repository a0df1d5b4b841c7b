"""What a step costs, from the tables: the ratio of two levels' seconds, of runs on one kind of machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sagan.analysis.contrasts import Contrast, Weights, cell_figures, contrast
from sagan.analysis.model import Cost

# Processes that want a core, for each core. A suite that has two cores to itself gives 0.6 to 1.2 (the 27 runs of
# `quick`); beside other work it was 2 and more.
LOAD = 1.5
HARDWARE = ["device", "threads"]


def step_costs(runs: pd.DataFrame, snapshots: pd.DataFrame, costs: pd.DataFrame | None = None) -> pd.DataFrame:
    """Seconds of a step of each run: a table variant, seed, factors, hardware, `step_seconds`.

    Of a run it is the fastest stretch between two of its snapshots (its start is one), by the clock of the steps alone:
    other work on the machine only ever slows a step, so that it is the least disturbed. Records of quiet runs (`costs`:
    variant, seed, step_seconds, and device and threads where they differ) replace these where there are any.
    """
    if "step_seconds" not in snapshots and costs is None:
        return runs.iloc[:0].assign(step_seconds=[])
    space = runs["space"].iloc[0]
    keys = ["variant", "seed"]
    one = snapshots[(snapshots["space"] == space) & (snapshots["step"] > 0)]
    start = one[keys].drop_duplicates().assign(step=0, step_seconds=0.0)
    one = pd.concat([start, one[[*keys, "step", "step_seconds"]]]).sort_values([*keys, "step"])
    spent = one.groupby(keys)[["step", "step_seconds"]].diff()
    rates = one[keys].assign(step_seconds=spent["step_seconds"] / spent["step"]).dropna()
    fastest = rates[rates["step_seconds"] > 0].groupby(keys, as_index=False)["step_seconds"].min()
    of = runs[runs["space"] == space].drop(columns="step_seconds", errors="ignore")
    if costs is None:
        return of.merge(fastest, on=keys, how="inner")
    quiet = of.drop(columns=[name for name in HARDWARE if name in costs and name in of]).drop(columns="seed")
    return costs.merge(quiet.drop_duplicates("variant"), on="variant", how="inner")


@dataclass(frozen=True)
class StepCost:
    """Logarithm of the ratio of two levels' seconds a step; the machine; and the cheaper level's seconds a step, a
    geometric mean over its cells."""

    found: Contrast
    machine: str
    cheaper_seconds: float

    def told(self, busy: bool) -> Cost:
        low, high = self.found.interval()
        return Cost(
            ratio=math.exp(self.found.estimate), low=math.exp(low), high=math.exp(high), machine=self.machine, busy=busy
        )


def cost_contrast(costs: pd.DataFrame, factors: Sequence[str], weights: Weights) -> StepCost | None:
    """Of the kind of machine that ran most of the runs, among those that ran all cells; None where none did."""
    if costs.empty or not weights:
        return None
    known = [name for name in HARDWARE if name in costs]
    kinds = costs.fillna(dict.fromkeys(known, "")).groupby(known) if known else [((), costs)]
    for kind, runs in sorted(kinds, key=lambda group: -len(group[1])):
        figures = cell_figures(runs.assign(lost=False), factors, "step_seconds", True, True)
        found = contrast(figures, weights)
        if found is not None:
            cheaper = [figures[cell].mean() for cell, weight in weights.items() if weight * found.estimate <= 0]
            return StepCost(found, _machine(kind), math.exp(float(np.mean(cheaper))))
    return None


def _machine(kind: tuple) -> str:
    if len(kind) < 2:
        return str(kind[0]) if kind else ""
    device, threads = kind
    count = int(float(threads)) if threads != "" else 1
    return f"{device}, {count} thread{'s' if count > 1 else ''}"

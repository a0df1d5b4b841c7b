"""The same question at other budgets: at each snapshot, and at equal time.

At equal time both levels have spent what the cheaper one needs for its step N. The dearer one is then at step N / K for
a cost ratio K > 1, between two of its snapshots: log FID is interpolated over log step, within what was measured.
Everything is at one count of images, the snapshots'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sagan.analysis.contrasts import Cell, Contrast, Weights, cell_figures, contrast
from sagan.analysis.metrics import Metric
from sagan.analysis.model import Why

# Between two snapshots further apart than this nothing is interpolated.
WIDEST_GAP = 2.0
FEWEST_SNAPSHOTS = 2
# Curvature where two snapshots do not show it: a gap of a factor 4 errs by 7 % in `quick` and `mnist-cpu`.
USUAL_CURVATURE = 0.07 / math.log(2) ** 2


@dataclass(frozen=True)
class Curves:
    """The snapshots of the runs of some cells: steps float64 [S], and y float64 [runs, S], NaN where not measured."""

    steps: np.ndarray
    runs: pd.DataFrame
    y: np.ndarray
    factors: tuple[str, ...]
    metric: Metric

    @property
    def _cells(self) -> list[Cell]:
        return list(self.runs[list(self.factors)].astype(str).itertuples(index=False, name=None))

    def at(self, places: Mapping[Cell, float]) -> np.ndarray:
        """y of each run at the step of its cell, float64 [runs]; NaN where that was not measured."""
        logs = np.log(self.steps)
        found = []
        for cell, y in zip(self._cells, self.y, strict=True):
            there, place = np.isfinite(y), math.log(places[cell]) if cell in places else math.nan
            inside = there.any() and logs[there][0] - 1e-9 <= place <= logs[there][-1] + 1e-9
            found.append(np.interp(place, logs[there], y[there]) if inside else math.nan)
        return np.array(found)

    def figures(self, y: np.ndarray):
        """Figures by cell of one value a run."""
        return cell_figures(self.runs.assign(y=y), self.factors, "y", False, self.metric.better == "lower")

    def mean(self, weights: Weights, sign: int) -> np.ndarray:
        """The mean over cells on one side of a contrast, float64 [S]; NaN where a cell was not measured."""
        means = []
        for cell, weight in weights.items():
            if weight * sign > 0:
                of = self.y[[name == cell for name in self._cells]]
                count = np.isfinite(of).sum(axis=0)
                means.append(np.where(count, np.nansum(of, axis=0) / np.maximum(count, 1), math.nan))
        return np.mean(means, axis=0)


def curves(runs: pd.DataFrame, snapshots: pd.DataFrame, factors: Sequence[str], metric: Metric) -> Curves:
    """The snapshots after step 0 of a table of runs."""
    keys, name = ["variant", "seed"], metric.name
    known = snapshots[snapshots["step"] > 0] if name in snapshots else snapshots.iloc[:0].assign(**{name: []})
    wide = known.pivot_table(index=keys, columns="step", values=name, aggfunc="first", dropna=False)
    of = wide.reindex(pd.MultiIndex.from_frame(runs[keys])).to_numpy(dtype=float)
    y = np.log(np.where(of > 0, of, np.nan)) if metric.scale == "log" else of
    return Curves(wide.columns.to_numpy(dtype=float), runs, y, tuple(factors), metric)


@dataclass(frozen=True)
class AtTime:
    """A contrast at equal time, with the cost ratio's uncertainty in it.

    Attributes:
        alone: without that uncertainty.
        widening: by how much interpolation may be wrong, on the scale of y.
        budget: seconds. `figures`: by cell, of which the contrast is.
    """

    found: Contrast
    alone: Contrast
    widening: float
    figures: Mapping[Cell, np.ndarray]
    y: np.ndarray


def at_time(of: Curves, weights: Weights, cost: Contrast, step: float) -> AtTime | Why:
    """What a level does where both have spent what the cheaper one needs for a step; or why that cannot be said.

    The cost ratio's uncertainty enters by the delta method: along the dearer level's curve, whose mean slope at the
    place is dy / dlog step, an error of log K moves the effect by slope times as much, independent of the figures'.
    """
    ratio, dear = math.exp(abs(cost.estimate)), 1 if cost.estimate > 0 else -1
    place = step / ratio
    places = {cell: place if weight * dear > 0 else step for cell, weight in weights.items()}
    mean = of.mean(weights, dear)
    steps, mean = of.steps[np.isfinite(mean)], mean[np.isfinite(mean)]
    if len(steps) < FEWEST_SNAPSHOTS or not is_near(steps, place):
        return "too few snapshots"
    y = of.at(places)
    figures = of.figures(y)
    alone = contrast(figures, weights)
    if alone is None:
        return "too few runs"
    logs = np.log(steps)
    last = min(max(int(np.searchsorted(logs, math.log(place))), 1), len(logs) - 1)
    slope = float((mean[last] - mean[last - 1]) / (logs[last] - logs[last - 1]))
    found = alone
    for variance, freedom in cost.parts:
        found = found.plus(slope**2 * variance, freedom)
    return AtTime(found, alone, interpolation_error(steps, mean, place), figures, y)


def is_near(steps: np.ndarray, place: float) -> bool:
    """Whether a place lies between two snapshots that are near enough to interpolate."""
    below, above = steps[steps <= place * (1 + 1e-9)], steps[steps >= place * (1 - 1e-9)]
    return bool(len(below) and len(above)) and above[0] <= WIDEST_GAP * below[-1] * (1 + 1e-9)


def interpolation_error(steps: np.ndarray, mean: np.ndarray, place: float) -> float:
    """By how much interpolation may err at a step: the error of leaving snapshots out, scaled to the gap.

    Linear interpolation between a and b errs by half the curvature times (x - a)(b - x). Each inner snapshot that is
    left out shows one such error; the largest curvature among them counts. Two snapshots have the usual one.

    Args:
        steps: of the snapshots, float [S]. mean: y at each, over cells, float [S].
    """
    logs, x = np.log(steps), math.log(place)
    curvature = 0.0 if len(logs) > 2 else USUAL_CURVATURE
    for k in range(1, len(logs) - 1):
        a, b = logs[k - 1], logs[k + 1]
        error = np.interp(logs[k], [a, b], [mean[k - 1], mean[k + 1]]) - mean[k]
        curvature = max(curvature, abs(float(error)) / ((logs[k] - a) * (b - logs[k])))
    near = int(np.clip(np.searchsorted(logs, x), 1, len(logs) - 1))
    return curvature * max(0.0, (x - logs[near - 1]) * (logs[near] - x))


def worth(of: Curves, weights: Weights, effect: float) -> float | None:
    """How many times the steps a level is worth: the horizontal distance of the mean curves at their end.

    The better side reaches the worse one's end at some step before its own. Above 1 where the level saves steps; None
    where the better side's curve was not measured so far up.

    Args:
        effect: of the level, on the scale of y.
    """
    gains = (effect < 0) == (of.metric.better == "lower")
    mean = of.mean(weights, 1 if gains else -1)
    if of.metric.better == "higher":
        mean = -mean
    target, ends = mean[-1] + abs(effect), np.minimum.accumulate(mean)
    if not np.isfinite(mean).all() or target > ends[0]:
        return None
    log_step = np.interp(-target, -ends, np.log(of.steps))
    times = float(of.steps[-1] / math.exp(log_step))
    return times if gains else 1 / times

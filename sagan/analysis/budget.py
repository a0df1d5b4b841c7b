"""The same question at other budgets: at each snapshot, and at equal time; and which variant is best at a budget.

The method: docs/statistics.md, "Per second". At equal time the dearer level is at step N / K for a cost ratio K > 1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from sagan.analysis.contrasts import FEWEST, Asked, Cell, Contrast, Weights, cells_of, contrast, figures_of, scaled
from sagan.analysis.model import At, Design, Ranking, Standing, metric_of
from sagan.metrics.table import Metric

# Between two snapshots further apart than this nothing is interpolated.
WIDEST_GAP = 2.0
FEWEST_SNAPSHOTS = 2
# Curvature where two snapshots do not show it: a gap of a factor 4 errs by 7 % in `quick` and `mnist-cpu`.
USUAL_CURVATURE = 0.07 / math.log(2) ** 2
HARDWARE = ["device", "threads"]
KEYS = ["variant", "seed"]


def step_costs(runs: pd.DataFrame, snapshots: pd.DataFrame, quiet: pd.DataFrame | None = None) -> pd.DataFrame:
    """Seconds of a step of each run: a table variant, seed, factors, hardware, `step_seconds`, `quiet`.

    Of a run it is the fastest stretch between two of its snapshots (its start is one), by the clock of the steps alone,
    since other work on the machine only ever slows a step. Records of quiet runs (variant, seed, step_seconds, and
    device and threads where they differ; `side` where reports are compared) stand beside these.
    """
    space = runs["space"].iloc[0]
    of = runs[runs["space"] == space].drop(columns="step_seconds", errors="ignore")
    one = snapshots[(snapshots["space"] == space) & (snapshots["step"] > 0)].sort_values("step")
    clock = one[["step", "step_seconds"]]
    spent = clock.groupby([one[name] for name in KEYS]).diff().fillna(clock)
    rates = one[KEYS].assign(step_seconds=spent["step_seconds"] / spent["step"])
    fastest = rates[rates["step_seconds"] > 0].groupby(KEYS, as_index=False)["step_seconds"].min()
    own = of.merge(fastest, on=KEYS).assign(quiet=False)
    if quiet is None:
        return own
    on = [name for name in ("side", "variant") if name in quiet]
    known = of[[*on, *of.columns.difference(quiet.columns)]].drop_duplicates(on)
    return pd.concat([quiet.merge(known, on=on).assign(quiet=True), own], ignore_index=True)


class StepCost(NamedTuple):
    """Log ratio of two levels' seconds a step, the machine, and the cheaper level's geometric mean over its cells."""

    found: Contrast
    machine: str
    cheaper_seconds: float

    def seconds(self, step: float) -> float:
        """What the cheaper level has spent at a step."""
        return round(float(step) * self.cheaper_seconds, 3)


def cost_contrast(of: Asked, costs: pd.DataFrame) -> StepCost | None:
    """Of quiet runs where these have all cells, since other work would count on one side alone, else of the runs' own;
    of the kind of machine that ran most of them, among those that ran all cells. None where none did."""
    costs = costs[costs["variant"].isin(of.runs["variant"])]
    kinds = costs.fillna(dict.fromkeys(HARDWARE, "")).groupby(["quiet", *HARDWARE])
    for (_, device, threads), runs in sorted(kinds, key=lambda kind: (not kind[0][0], -len(kind[1]))):
        figures = figures_of(runs.assign(lost=False), of.factors, metric_of("step_seconds"))
        if (found := contrast(figures, of.weights, FEWEST)) is not None:
            cheaper = [figures[cell].mean() for cell, weight in of.weights.items() if weight * found.estimate <= 0]
            count = int(float(threads or 1))
            machine = f"{device}, {count} thread{'s' if count > 1 else ''}" if device else ""
            return StepCost(found, machine, math.exp(float(np.mean(cheaper))))
    return None


@dataclass(frozen=True)
class Curves:
    """The snapshots of the runs of some cells: steps float64 [S], and y float64 [runs, S], NaN where not measured."""

    steps: np.ndarray
    runs: pd.DataFrame
    y: np.ndarray
    factors: Sequence[str]
    metric: Metric

    def at(self, places: Mapping[Cell, float]) -> np.ndarray:
        """y of each run at the step of its cell, float64 [runs]; NaN where that was not measured."""
        logs, found = np.log(self.steps), []
        for cell, y in zip(cells_of(self.runs, self.factors), self.y, strict=True):
            there, place = np.isfinite(y), math.log(places[cell]) if cell in places else math.nan
            inside = there.any() and logs[there][0] - 1e-9 <= place <= logs[there][-1] + 1e-9
            found.append(np.interp(place, logs[there], y[there]) if inside else math.nan)
        return np.array(found)

    def figures(self, y: np.ndarray) -> dict[Cell, np.ndarray]:
        return figures_of(self.runs, self.factors, self.metric, y)

    def mean(self, weights: Weights, sign: int) -> np.ndarray:
        """The mean over cells on one side of a contrast, float64 [S]; NaN where a cell was not measured."""
        names, side = cells_of(self.runs, self.factors), [cell for cell, weight in weights.items() if weight * sign > 0]
        of = [np.ma.masked_invalid(self.y[[name == cell for name in names]]) for cell in side]
        return np.mean([y.mean(axis=0).filled(math.nan) for y in of], axis=0)


def curves(runs: pd.DataFrame, snapshots: pd.DataFrame, factors: Sequence[str], metric: Metric) -> Curves:
    """The snapshots after step 0 of a table of runs of one space."""
    known = snapshots[(snapshots["step"] > 0) & snapshots["space"].isin(runs["space"])]
    known = known.reindex(columns=[*KEYS, "step", metric.name])
    wide = known.pivot_table(index=KEYS, columns="step", values=metric.name, aggfunc="first", dropna=False)
    y = wide.reindex(pd.MultiIndex.from_frame(runs[KEYS])).apply(scaled, metric=metric)
    return Curves(wide.columns.to_numpy(dtype=float), runs, y.to_numpy(dtype=float), factors, metric)


class AtTime(NamedTuple):
    """A contrast at equal time, with the cost ratio's uncertainty; interpolation's error; y of each run."""

    found: Contrast
    widening: float
    y: np.ndarray


def at_time(of: Curves, weights: Weights, cost: Contrast, step: float) -> AtTime | str:
    """What a level does where both have spent what the cheaper one needs for a step; or why that cannot be said."""
    ratio, dear = math.exp(abs(cost.estimate)), 1 if cost.estimate > 0 else -1
    place = step / ratio
    mean = of.mean(weights, dear)
    steps, mean = of.steps[np.isfinite(mean)], mean[np.isfinite(mean)]
    if len(steps) < FEWEST_SNAPSHOTS or not is_near(steps, place):
        return "too few snapshots"
    y = of.at({cell: place if weight * dear > 0 else step for cell, weight in weights.items()})
    if (found := contrast(of.figures(y), weights)) is None:
        return "too few runs"
    slope, error = interpolated(steps, mean, place)
    # The delta method: an error of log K moves the effect by slope times as much, independent of the figures'.
    parts = tuple((slope**2 * variance, freedom) for variance, freedom in cost.parts)
    return AtTime(replace(found, parts=found.parts + parts), error, y)


def is_near(steps: np.ndarray, place: float) -> bool:
    """Whether a place lies between two snapshots that are near enough to interpolate."""
    below, above = steps[steps <= place * (1 + 1e-9)], steps[steps >= place * (1 - 1e-9)]
    return bool(len(below) and len(above)) and above[0] <= WIDEST_GAP * below[-1] * (1 + 1e-9)


def interpolated(steps: np.ndarray, mean: np.ndarray, place: float) -> tuple[float, float]:
    """The slope over log step at a place, and by how much interpolation may err there.

    Linear interpolation between a and b errs by half the curvature times (x - a)(b - x). Each inner snapshot that is
    left out shows one such error; the largest curvature among them counts. Two snapshots have the usual one. `mean` is
    y at each of the steps, over cells, float [S].
    """
    logs, x = np.log(steps), math.log(place)
    a, at, b = logs[:-2], logs[1:-1], logs[2:]
    errors = (mean[2:] - mean[:-2]) / (b - a) * (at - a) + mean[:-2] - mean[1:-1]
    curvature = float(np.max(np.abs(errors) / ((at - a) * (b - at)), initial=0.0 if len(a) else USUAL_CURVATURE))
    near = int(np.clip(np.searchsorted(logs, x), 1, len(logs) - 1))
    slope = float((mean[near] - mean[near - 1]) / (logs[near] - logs[near - 1]))
    return slope, curvature * max(0.0, (x - logs[near - 1]) * (logs[near] - x))


def worth(of: Curves, weights: Weights, effect: float) -> float | None:
    """How many times the steps a level with this effect on y is worth: the horizontal distance of the mean curves.

    The better side reaches the worse one's end at some step before its own. Above 1 where the level saves steps; None
    where the better side's curve was not measured so far up.
    """
    gains = (effect < 0) == (of.metric.better == "lower")
    mean = of.metric.sign * of.mean(weights, 1 if gains else -1)
    target, ends = mean[-1] + abs(effect), np.minimum.accumulate(mean)
    if not np.isfinite(mean).all() or target > ends[0]:
        return None
    log_step = np.interp(-target, -ends, np.log(of.steps))
    times = float(of.steps[-1] / math.exp(log_step))
    return times if gains else 1 / times


def rankings(design: Design, runs: pd.DataFrame, snapshots: pd.DataFrame, spent: pd.DataFrame) -> list[Ranking]:
    """All variants that are ranked, per step at the end, and where the cheapest one's time is over, by geometric mean
    seconds of a step (`spent`: as of `step_costs`) where all ran on one kind of machine."""
    of = runs[(runs["space"] == design.space) & ~runs["variant"].isin(design.unranked)]
    quiet = spent[spent["quiet"]]
    spent = quiet if of["variant"].isin(quiet["variant"]).all() else spent[~spent["quiet"]]
    figures = figures_of(of, ["variant"], design.main)
    found = [_ranking(design, "steps", figures, design.unranked)]
    one_kind = len(spent.drop_duplicates(HARDWARE)) == 1
    seconds = np.exp(np.log(spent["step_seconds"]).groupby(spent["variant"]).mean()) if one_kind else ()
    along = curves(of, snapshots, ["variant"], design.main)
    if design.no_shorter is None and len(seconds) > 1 and len(along.steps) >= FEWEST_SNAPSHOTS:
        time = float(along.steps[-1]) * min(seconds)
        places = {(name,): time / each for name, each in seconds.items() if is_near(along.steps, time / each)}
        figures = {cell: y for cell, y in along.figures(along.at(places)).items() if cell in places}
        without = [name for name in design.variants if (name,) not in places]
        found.append(_ranking(design, "time", figures, without))
    return [ranking for ranking in found if len(ranking.standings) > 1]


def _ranking(design: Design, at: At, figures: Mapping[Cell, np.ndarray], left_out: list[str]) -> Ranking:
    """Subset selection (Gupta 1965): a variant is excluded where any other is surely better by Welch's t."""
    metric = design.main
    known = {cell[0]: metric.sign * y for cell, y in figures.items() if len(y)}
    order = sorted(known, key=lambda name: (known[name].mean(), name))
    level = design.alpha / max(1, len(order) - 1)  # one-sided; by Boole the true best is excluded with at most alpha

    def standing(name: str) -> Standing:
        mean = metric.sign * float(known[name].mean())
        to_others = (contrast(known, {name: 1.0, other: -1.0}, FEWEST) for other in order if other != name)
        return Standing(
            variant=name,
            mean=math.exp(mean) if metric.scale == "log" else mean,
            may_be_best=not any(found and found.interval(2 * level)[0] > 0 for found in to_others),
        )

    return Ranking(at=at, standings=[standing(name) for name in order], left_out=left_out)

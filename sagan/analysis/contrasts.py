"""Contrasts of cell means, with Satterthwaite's interval from the cells' own spreads.

The unit of evidence is a run. A cell is one combination of factor levels, and its replicates are runs. Figures are
logarithms where a metric is a distance, so that an effect is the logarithm of a ratio.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from sagan.analysis.metrics import Metric

# A cell with fewer figures has no spread, and makes no answer.
FEWEST = 2

Cell = tuple[str, ...]  # one level a factor
Figures = Mapping[Cell, np.ndarray]  # float64 [runs]
Weights = Mapping[Cell, float]


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of independent means, on the figures' scale.

    Attributes:
        estimate: the sum.
        parts: (variance, degrees of freedom) of each mean's share in it.
        runs: how many figures there are in all; `fewest` in one cell.
    """

    estimate: float
    parts: tuple[tuple[float, float], ...]
    runs: int
    fewest: int

    @property
    def error(self) -> float:
        """The standard error."""
        return math.sqrt(sum(variance for variance, _ in self.parts))

    @property
    def freedom(self) -> float:
        """Of the variance, by Satterthwaite (1946)."""
        squares = sum(variance**2 / freedom for variance, freedom in self.parts)
        return self.error**4 / squares if squares else sum(freedom for _, freedom in self.parts)

    def interval(self, level: float = 0.05, widening: float = 0.0) -> tuple[float, float]:
        """Student's, which misses the truth with probability `level`; both ends moved outwards by `widening`."""
        reach = float(stats.t.isf(level / 2, self.freedom)) * self.error + widening
        return self.estimate - reach, self.estimate + reach

    def plus(self, variance: float, freedom: float) -> Contrast:
        """The same with one more independent source of error."""
        return Contrast(self.estimate, (*self.parts, (variance, freedom)), self.runs, self.fewest)


def contrast(figures: Figures, weights: Weights) -> Contrast | None:
    """The sum of weight * cell mean; None where a cell that counts has fewer than two figures, or none counts."""
    counted = {cell: weight for cell, weight in weights.items() if weight}
    if not counted or any(len(figures.get(cell, ())) < FEWEST for cell in counted):
        return None
    of = {cell: figures[cell] for cell in counted}
    return Contrast(
        estimate=math.fsum(weight * float(of[cell].mean()) for cell, weight in counted.items()),
        parts=tuple(
            (w**2 * float(of[cell].var(ddof=1)) / len(of[cell]), len(of[cell]) - 1.0) for cell, w in counted.items()
        ),
        runs=sum(map(len, of.values())),
        fewest=min(map(len, of.values())),
    )


def cell_figures(
    runs: pd.DataFrame, factors: Sequence[str], value: str, log: bool = False, lower_is_better: bool = True
) -> Figures:
    """The figures of each cell, in the order of the table.

    A lost run takes the worst figure of the design. A run without a figure that is not lost is left out, and its cell
    stays, without figures where it has no other run.

    Args:
        runs: one row a run, with a column for each factor, `value`, and where runs were lost a column `lost`.
    """
    y = pd.to_numeric(runs[value]).astype(float)
    if log:
        y = np.log(y.where(y > 0))
    lost = runs["lost"].astype(bool) if "lost" in runs else pd.Series(False, index=runs.index)
    measured = y[~lost].dropna()
    worst = (measured.max() if lower_is_better else measured.min()) if len(measured) else 0.0
    y = y.mask(lost, worst)
    cells = runs[list(factors)].astype(str).itertuples(index=False, name=None)
    grouped: dict[Cell, list[float]] = {}
    for cell, figure in zip(cells, y, strict=True):
        grouped.setdefault(cell, []).extend([] if math.isnan(figure) else [float(figure)])
    return {cell: np.array(found) for cell, found in grouped.items()}


def figures_of(runs: pd.DataFrame, factors: Sequence[str], metric: Metric) -> Figures:
    """`cell_figures` of a metric."""
    return cell_figures(runs, factors, metric.name, metric.scale == "log", metric.better == "lower")


def effect_weights(cells: Sequence[Cell], place: int, level: str, instead_of: str) -> Weights:
    """Of one level of the factor at `place` instead of another, averaged over the settings of the other factors.

    A setting that lacks a cell at either level does not count.
    """
    there = set(cells)
    pairs = [
        (cell, other)
        for cell in cells
        if cell[place] == level and (other := (*cell[:place], instead_of, *cell[place + 1 :])) in there
    ]
    weights: dict[Cell, float] = {}
    for cell, other in pairs:
        weights[cell], weights[other] = 1 / len(pairs), -1 / len(pairs)
    return weights


def interaction_weights(
    cells: Sequence[Cell], places: tuple[int, int], levels: tuple[tuple[str, str], tuple[str, str]]
) -> Weights:
    """How much one factor's effect changes with another's level: both at (level, instead_of)."""
    weights: dict[Cell, float] = {}
    (one, other), ((level, instead_of), (high, low)) = places, levels
    for setting, sign in ((high, 1), (low, -1)):
        at = [cell for cell in cells if cell[other] == setting]
        for cell, weight in effect_weights(at, one, level, instead_of).items():
            weights[cell] = sign * weight
    complete = {w > 0 for w in weights.values()} == {True, False} and {cell[other] for cell in weights} == {high, low}
    return weights if complete else {}


def wins(figures: Figures, weights: Weights, lower_is_better: bool) -> tuple[int, int]:
    """In how many of all pairs of runs, matched in the other factors, the level that is asked for is better.

    Args:
        weights: as of `effect_weights`, whose cells come in pairs.
    """
    won = count = 0
    ordered = list(weights)
    for cell, other in zip(ordered[::2], ordered[1::2], strict=True):
        for y, z in itertools.product(figures[cell], figures[other]):
            won, count = won + int(y < z if lower_is_better else y > z), count + 1
    return won, count

"""Contrasts of cell means, with Satterthwaite's interval from the cells' own spreads.

The unit of evidence is a run. A cell is one combination of factor levels, and its replicates are runs. Figures are
logarithms where a metric is a distance, so that an effect is the logarithm of a ratio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from sagan.metrics.table import Metric

# A cell with fewer figures has no spread, and makes no answer.
FEWEST = 2
# A single pair of cells with fewer runs a side says next to nothing; nor could a look at fewer seeds.
FEWEST_SEEDS = 3

Cell = tuple[str, ...]  # one level a factor
Figures = Mapping[Cell, np.ndarray]  # float64 [runs]
Weights = Mapping[Cell, float]


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of independent means, on the figures' scale, of so many runs. `parts` are (variance, degrees of
    freedom) of each mean's share in it."""

    estimate: float
    parts: tuple[tuple[float, float], ...]
    runs: int = 0

    @property
    def error(self) -> float:
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


def contrast(figures: Figures, weights: Weights, fewest_of_pair: int = FEWEST_SEEDS) -> Contrast | None:
    """The sum of weight * cell mean; None where a cell has fewer than two figures, or of two fewer than three."""
    fewest = fewest_of_pair if len(weights) == 2 else FEWEST
    if not weights or any(len(figures.get(cell, ())) < fewest for cell in weights):
        return None
    of = [(weight, figures[cell]) for cell, weight in weights.items()]
    return Contrast(
        estimate=math.fsum(weight * float(y.mean()) for weight, y in of),
        parts=tuple((weight**2 * float(y.var(ddof=1)) / len(y), len(y) - 1.0) for weight, y in of),
        runs=sum(len(y) for _, y in of),
    )


def percent(logarithm: float) -> float:
    """The change that the logarithm of a ratio is."""
    return 100 * math.expm1(logarithm)


def shown(value: float, metric: Metric) -> float:
    """A contrast in the unit of effects.csv."""
    return percent(value) if metric.scale == "log" else value


def scaled(values: pd.Series, metric: Metric) -> pd.Series:
    """Figures on the scale on which effects of a metric are estimated."""
    y = pd.to_numeric(values).astype(float)
    return np.log(y.where(y > 0)) if metric.scale == "log" else y


def cells_of(runs: pd.DataFrame, factors: Sequence[str]) -> list[Cell]:
    """The cell of each run."""
    return list(runs[list(factors)].astype(str).itertuples(index=False, name=None))


def figures_of(
    runs: pd.DataFrame, factors: Sequence[str], metric: Metric, y: Sequence[float] | None = None
) -> dict[Cell, np.ndarray]:
    """The figures of each cell, in the order of the table: `y` of each run, scaled, or else the metric's column.

    A lost run takes the worst figure of the design. A run without a figure that is not lost is left out.
    """
    y = scaled(runs[metric.name], metric) if y is None else pd.Series(y, index=runs.index)
    lost = runs["lost"].astype(bool)
    measured = y[~lost].dropna()
    worst = measured.max() if metric.better == "lower" else measured.min()
    y = y.mask(lost, worst)
    cells = pd.Series(cells_of(runs, factors), index=runs.index, dtype=object)
    return {cell: of.dropna().to_numpy() for cell, of in y.groupby(cells, sort=False)}


def effect_weights(cells: Sequence[Cell], place: int, level: str, instead_of: str) -> dict[Cell, float]:
    """Of one level of the factor at `place` instead of another, averaged over the settings of the other factors.

    Cells come in pairs, the level's first. A setting that lacks a cell at either level does not count.
    """
    there = set(cells)
    pairs = [
        (cell, other)
        for cell in cells
        if cell[place] == level and (other := (*cell[:place], instead_of, *cell[place + 1 :])) in there
    ]
    return {cell: sign / len(pairs) for pair in pairs for cell, sign in zip(pair, (1, -1), strict=True)}


def pairs_of(figures: Figures, weights: Weights) -> list[tuple[np.ndarray, np.ndarray]]:
    """The figures at the level and at the other one, for each setting of the other factors."""
    cells = list(weights)
    return [(figures[cell], figures[other]) for cell, other in zip(cells[::2], cells[1::2], strict=True)]

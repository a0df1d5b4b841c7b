"""What a design can find before it is trained: by the spread of runs within a cell."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
from scipy import optimize, stats

POWER = 0.8
# Spread of log FID within a cell where nothing of the kind was measured: the committed suites have 5 to 12 %.
TYPICAL_SPREAD = 0.075
# Nobody trains more.
MANY_SEEDS = 100


def within(figures: Mapping[tuple, np.ndarray]) -> float | None:
    """The standard deviation of a run within its cell, pooled over cells; None where no cell has two."""
    freedom = sum(max(len(y) - 1, 0) for y in figures.values())
    squares = math.fsum(float(((y - y.mean()) ** 2).sum()) for y in figures.values() if len(y))
    return math.sqrt(squares / freedom) if freedom else None


def power(size: float, spread: float, cells: int, seeds: int, level: float) -> float:
    """How often a main effect's deciding interval is clear of 0, 0 to 1, where cells spread alike (noncentral t).

    Args:
        size: of the true effect, on the scale of log FID; positive.
        spread: standard deviation of a run within its cell.
        cells: of a factor with two levels.
        seeds: runs a cell, at least 2.
        level: two-sided; alpha over the number of questions.
    """
    if spread == 0:
        return 1.0
    freedom = cells * (seeds - 1)
    critical = stats.t.isf(level / 2, freedom)
    return float(stats.nct.sf(critical, freedom, size * math.sqrt(cells * seeds) / (2 * spread)))


def detectable(spread: float, cells: int, seeds: int, level: float, share: float = POWER) -> float:
    """The effect, on the scale of log FID, that is found in this share of cases; arguments as in `power`."""
    if spread == 0:
        return 0.0
    sizes = (spread * 2**k for k in itertools.count())
    largest = next(size for size in sizes if power(size, spread, cells, seeds, level) > share)
    return float(optimize.brentq(lambda size: power(size, spread, cells, seeds, level) - share, 0.0, largest))


def seeds_needed(size: float, spread: float, cells: int, level: float, share: float = POWER) -> int:
    """The fewest seeds a cell, three or more, that find an effect in this share of cases."""
    fewest = 3
    most = next(n for n in (fewest * 2**k for k in itertools.count()) if power(size, spread, cells, n, level) >= share)
    while fewest < most:
        middle = (fewest + most) // 2
        if power(size, spread, cells, middle, level) >= share:
            most = middle
        else:
            fewest = middle + 1
    return most

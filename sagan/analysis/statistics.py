"""Statistics over training seeds: means with intervals, spreads, the Pareto front. Pure functions.

The unit is a training seed, never a split of one run's samples: splits say how well one generator
was measured, seeds say what a recipe gives. What two recipes differ by: `sagan.analysis.factorial`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
FEWEST_FOR_INTERVAL = 3
# With so many seeds a spread three times as wide is found more often than not.
FEWEST_FOR_SPREAD = 8

BySeed = Mapping[int, float]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds. `sd` needs two seeds and the interval three; they are None below."""

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    minimum: float
    maximum: float
    count: int

    def times(self, factor: float) -> Estimate:
        """The same in another unit."""
        parts = (self.mean, self.sd, self.low, self.high, self.minimum, self.maximum)
        return Estimate(*(part and factor * part for part in parts), self.count)


@dataclass(frozen=True)
class SpreadRatio:
    """How many times as far from their mean one recipe's figures lie as another's; p two-sided, None with few seeds."""

    ratio: float
    p: float | None
    count: int


def estimate(values: Sequence[float], least: float = -math.inf) -> Estimate | None:
    """Mean, sample standard deviation, range and Student's 95 % interval of figures over seeds; None without any.

    Args:
        least: what no figure can be below, such as 0 of a distance; nor is the interval.
    """
    if not values:
        return None
    mean, count, low, high = float(np.mean(values)), len(values), None, None
    sd = float(np.std(values, ddof=1)) if count > 1 else None
    if count >= FEWEST_FOR_INTERVAL:
        reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * sd / math.sqrt(count)
        low, high = max(least, mean - reach), mean + reach
    return Estimate(mean, sd, low, high, min(values), max(values), count)


def spread_ratio(pairs: Sequence[tuple[BySeed, BySeed]]) -> SpreadRatio | None:
    """The spread over seeds of one recipe over that of another; of several such pairs the geometric mean.

    Spread is the mean distance from the mean. p is that of a t-test over the seeds' jackknife pseudo-values of the
    logarithm (Miller 1968, "Jackknifing variances"): pairs of any scale are pooled, and it holds whether or not equal
    seeds go together. docs/metrics.md has its simulated size and power; 5 seeds find a tripled spread in 23 %, which is
    why there is no p below 8. None where fewer than three seeds have all figures, or where figures are equal.

    Args:
        pairs: (treated, control), each seed -> figure. Only seeds that are in all of them count.
    """
    seeds = sorted(set.intersection(*(set(side) for pair in pairs for side in pair)))
    count = len(seeds)
    if count < FEWEST_FOR_INTERVAL:
        return None
    figures = np.array([[[side[seed] for seed in seeds] for side in pair] for pair in pairs])

    def spreads(of: np.ndarray) -> np.ndarray:
        return np.abs(of - of.mean(axis=-1, keepdims=True)).mean(axis=-1)

    without = np.stack([spreads(np.delete(figures, seed, axis=-1)) for seed in range(count)])
    if without.min() == 0:
        return None
    treated, control = np.log(spreads(figures)).mean(axis=0)
    jackknifed = np.log(without).mean(axis=1)
    pseudo = count * (treated - control) - (count - 1) * (jackknifed[:, 0] - jackknifed[:, 1])
    p = float(stats.ttest_1samp(pseudo, 0).pvalue) if count >= FEWEST_FOR_SPREAD else None
    return SpreadRatio(float(np.exp(treated - control)), p, count)


def pareto_front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The names that no other beats in both coordinates (lower is better), by the first coordinate."""
    front: list[str] = []
    best = math.inf
    for name, (_, quality) in sorted(points.items(), key=lambda item: (*item[1], item[0])):
        if quality < best:
            front.append(name)
            best = quality
    return front

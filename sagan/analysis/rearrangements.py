"""Exact p-values from rearranging runs between two sides within strata. Pure functions of numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

# The strata are enumerated in two halves: so many rearrangements may each half have.
ENUMERATED = 100_000
DRAWN = 99_999
# Sums that differ by rounding alone are equal: relative to the largest value.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PValue:
    """A two-sided p. `exact` is false where rearrangements were drawn: then it is (b + 1) / (B + 1), B = 99,999."""

    value: float
    exact: bool


@dataclass(frozen=True)
class _Stratum:
    """Centred values of both sides, sorted, and the scale from the smaller side's sum to first mean - second mean."""

    values: np.ndarray
    size: int
    scale: float

    @property
    def count(self) -> int:
        return math.comb(len(self.values), self.size)

    def differences(self, chosen: np.ndarray) -> np.ndarray:
        return self.values[chosen].sum(axis=1) * self.scale


def rearrangement_p(strata: Sequence[tuple[Sequence[float], Sequence[float]]]) -> PValue:
    """Two-sided p of the sum over strata of mean(first) - mean(second).

    Null: within each stratum every division of its values into sides of these sizes is as likely (Fisher's
    randomisation test, stratified). Exact while each half of the strata has at most 100,000 rearrangements, since
    the sums of two halves are counted by sorting one of them; else drawn with a fixed seed (Phipson & Smyth 2010).
    Neither the order of values within a side nor a swap of the sides in all strata changes it.

    Args:
        strata: (first, second) of each stratum, both with at least one value.
    """
    prepared = [_stratum(first, second) for first, second in strata]
    observed = math.fsum(float(np.mean(first) - np.mean(second)) for first, second in strata)
    largest = max(abs(value) for sides in strata for side in sides for value in side)
    threshold = abs(observed) - _ROUNDING * largest
    if threshold <= 0:
        return PValue(1.0, True)
    halves = _halves(prepared)
    if max(math.prod(stratum.count for stratum in half) for half in halves) <= ENUMERATED:
        return PValue(_enumerated(halves, threshold), True)
    drawn = sum(
        stratum.differences(_drawn_subsets(len(stratum.values), stratum.size, place))
        for place, stratum in enumerate(prepared)
    )
    return PValue(float((np.sum(np.abs(drawn) >= threshold) + 1) / (DRAWN + 1)), False)


def _stratum(first: Sequence[float], second: Sequence[float]) -> _Stratum:
    values = np.sort(np.concatenate([first, second]).astype(float))
    size = min(len(first), len(second))
    scale = (1 / len(first) + 1 / len(second)) * (1 if len(first) == size else -1)
    return _Stratum(values - values.mean(), size, scale)


def _halves(strata: list[_Stratum]) -> tuple[list[_Stratum], list[_Stratum]]:
    """The strata in two groups with about as many rearrangements each."""
    halves: tuple[list[_Stratum], list[_Stratum]] = ([], [])
    for stratum in sorted(strata, key=lambda s: -s.count):
        min(halves, key=lambda half: math.prod(s.count for s in half)).append(stratum)
    return halves


def _enumerated(halves: tuple[list[_Stratum], list[_Stratum]], threshold: float) -> float:
    """The share of all pairs of sums with |a + b| >= threshold > 0."""
    a, b = (np.sort(_sums(half)) for half in halves)
    above = len(b) - np.searchsorted(b, threshold - a, side="left")
    below = np.searchsorted(b, -threshold - a, side="right")
    return int(above.sum() + below.sum()) / (len(a) * len(b))


def _sums(half: list[_Stratum]) -> np.ndarray:
    sums = np.zeros(1)
    for stratum in half:
        sums = np.add.outer(sums, stratum.differences(_subsets(len(stratum.values), stratum.size))).ravel()
    return sums


@lru_cache(maxsize=16)
def _subsets(count: int, size: int) -> np.ndarray:
    """Every choice of `size` of `count` places, int64 [choices, size]."""
    chosen = itertools.chain.from_iterable(itertools.combinations(range(count), size))
    return np.fromiter(chosen, dtype=np.int64).reshape(-1, size)


@lru_cache(maxsize=16)
def _drawn_subsets(count: int, size: int, place: int) -> np.ndarray:
    """Random choices of `size` of `count` places, int16 [DRAWN, size]; other ones for each stratum's place."""
    rng = np.random.default_rng([count, size, place])
    places = np.tile(np.arange(count, dtype=np.int16), (DRAWN, 1))
    return rng.permuted(places, axis=1)[:, :size].copy()

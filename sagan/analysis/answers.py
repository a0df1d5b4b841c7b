"""What a suite's runs answer to its questions, and how many more would do.

Each question has two tests. *Difference*: the permutation p of its `effect`. *No difference worth having*: two
one-sided t-tests. Both can be sure: "helps, by less than is worth having". Their nulls (no effect at all; an effect
worth having) exclude each other, so that Holm's correction takes a question as one group of both: a suite has a false
answer, of either kind, with at most the level's probability, the second kind as far as Student's t holds. Corrected
each kind apart, a suite could err with twice that.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from scipy import optimize, stats

from sagan.analysis.factorial import FEWEST_A_SIDE, Effect
from sagan.analysis.families import holm_of_groups

SMALLEST_EFFECT = 0.05
POWER = 0.8


@dataclass(frozen=True)
class Answer:
    """What is said of one question at one level.

    Attributes:
        effect: the evidence.
        direction: helps or hurts, where the difference is sure. Of the second level instead of the first.
        negligible: whether it is sure that the ratio lies within a factor of 1 + smallest_effect.
        p_difference, p_negligible: of the two tests, after Holm; 0 where an earlier look was sure.
        seeds_needed: seeds a cell that find smallest_effect in 80 % of cases at this spread, were it the least sure of
            the questions; None where the spread is not known, or where there is an answer.
        smallest_effect: share of FID that is worth having.
    """

    effect: Effect
    direction: Literal["helps", "hurts"] | None
    negligible: bool
    p_difference: float
    p_negligible: float
    seeds_needed: int | None
    smallest_effect: float = SMALLEST_EFFECT

    @property
    def decided(self) -> bool:
        return self.direction is not None or self.negligible


def answers(
    effects: Mapping[str, Effect],
    level: float = 0.05,
    smallest_effect: float = SMALLEST_EFFECT,
    different: Collection[str] = (),
    negligible: Collection[str] = (),
) -> dict[str, Answer]:
    """The answers to a suite's questions, each on log FID.

    Args:
        effects: question -> its effect.
        smallest_effect: share of FID that is worth having, 0.05 for 5 %.
        different, negligible: questions for which an earlier look was sure of that.
    """
    adjusted = holm_of_groups(
        {
            question: (
                0.0 if question in different else effect.p if effect.decidable else 1.0,
                0.0 if question in negligible else negligible_p(effect, smallest_effect),
            )
            for question, effect in effects.items()
        }
    )
    given = {}
    for question, effect in effects.items():
        p_difference, p_negligible = adjusted[question]
        direction = {1: "helps", -1: "hurts", 0: None}[effect.improvement] if p_difference <= level else None
        small = p_negligible <= level
        needed = None
        if direction is None and not small and effect.spread is not None:
            needed = seeds_needed(math.log1p(smallest_effect), effect.spread, effect.cells, level / len(effects))
        given[question] = Answer(effect, direction, small, p_difference, p_negligible, needed, smallest_effect)
    return given


def negligible_p(effect: Effect, smallest_effect: float = SMALLEST_EFFECT) -> float:
    """p of "the ratio is 1 + smallest_effect or more, or its inverse or less": two one-sided t-tests (Schuirmann 1987).

    At most one of the two halves can be true, so that each is tested at the full level: p <= level is the same as the
    interval of confidence 1 - 2 * level lying inside +-log(1 + smallest_effect). That of 1 - level would be sound, and
    waste half of the level. 1 where runs were lost, since survivors do not show what they would have been.
    """
    if effect.lost or effect.standard_error is None or effect.estimate is None or not effect.decidable:
        return 1.0
    room = math.log1p(smallest_effect) - abs(effect.estimate)
    if effect.standard_error == 0:
        return 0.0 if room > 0 else 1.0
    return float(stats.t.sf(room / effect.standard_error, effect.freedom))


def power(size: float, spread: float, cells: int, seeds: int, level: float) -> float:
    """How often the t-test finds an effect, 0 to 1 (noncentral t).

    Args:
        size: of the true effect, on the scale of y; positive.
        spread: standard deviation of a run within its cell.
        cells: L.
        seeds: runs a cell, at least 2.
        level: two-sided; a suite's level over its number of questions is the hardest that Holm asks for.
    """
    if spread == 0:
        return 1.0
    freedom = cells * (seeds - 1)
    critical = stats.t.isf(level / 2, freedom)
    return float(stats.nct.sf(critical, freedom, size * math.sqrt(cells * seeds) / (2 * spread)))


def detectable(spread: float, cells: int, seeds: int, level: float, share: float = POWER) -> float:
    """The effect, on the scale of y, that so many seeds a cell find in this share of cases; arguments as in `power`."""
    if spread == 0:
        return 0.0
    sizes = (spread * 2**k for k in itertools.count())
    largest = next(size for size in sizes if power(size, spread, cells, seeds, level) > share)
    return float(optimize.brentq(lambda size: power(size, spread, cells, seeds, level) - share, 0.0, largest))


def seeds_needed(size: float, spread: float, cells: int, level: float, share: float = POWER) -> int:
    """The fewest seeds a cell that find an effect in this share of cases; at least five in a single comparison."""
    fewest = FEWEST_A_SIDE if cells == 2 else 2
    most = next(n for n in (fewest * 2**k for k in itertools.count()) if power(size, spread, cells, n, level) >= share)
    while fewest < most:
        middle = (fewest + most) // 2
        if power(size, spread, cells, middle, level) >= share:
            most = middle
        else:
            fewest = middle + 1
    return most

"""What may be said of a difference, in a word or two, and how many seeds it takes to say it surely."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sagan.analysis import statistics
from sagan.analysis.rows import SuiteRecords
from sagan.analysis.statistics import Difference

Judgement = Literal[
    "better",
    "likely better",
    "worse",
    "likely worse",
    "same",
    "runs lost",
    "too few seeds",
    "not decided",
    "no data",
]
SURE = 0.05


@dataclass(frozen=True)
class Losses:
    """How many of the runs that were trained on the two sides of a comparison gave no FID, such as diverged ones."""

    treated: int
    treated_runs: int
    control: int
    control_runs: int

    def __bool__(self) -> bool:
        return self.treated + self.control > 0


@dataclass(frozen=True)
class Unsure:
    """What keeps judgements at "likely" for lack of seeds.

    `everywhere` says whether of all comparisons, `smallest_p` is the least that the unsure ones can have, `comparisons`
    the number in the largest table, and `seeds` how many would do.
    """

    everywhere: bool
    smallest_p: float
    comparisons: int
    seeds: int


def losses(records: SuiteRecords, treated: Sequence[str], control: Sequence[str]) -> Losses:
    """What the variants on the two sides of a comparison lost."""
    counts = []
    for side in (treated, control):
        rows = [row for variant in side for row in records.of(variant) if row.status != "missing"]
        counts += [sum(row.lost for row in rows), len(rows)]
    return Losses(*counts)


def judge(difference: Difference | None, p_holm: float | None, any_lost: bool) -> Judgement:
    """A difference of FIDs (lower is better) in a word or two.

    `runs lost`: a side's figures are those of its survivors, and a variant must not win by losing its bad runs.
    `better` and `worse` need four seeds, an interval that does not reach zero, and p <= 0.05 after Holm's
    correction; without the last they are `likely`.
    """
    if any_lost:
        return "runs lost"
    if difference is None:
        return "no data"
    mean = difference.estimate.mean
    if mean == difference.estimate.minimum == difference.estimate.maximum == 0:
        return "same"
    if difference.estimate.count < statistics.FEWEST_FOR_P:
        return "too few seeds"
    sure = p_holm is not None and p_holm <= SURE
    if difference.estimate.high < 0:
        return "better" if sure else "likely better"
    if difference.estimate.low > 0:
        return "worse" if sure else "likely worse"
    return "not decided"


def smallest_p(seeds: int, paired: bool) -> float:
    """The least exact two-sided p that so many seeds a side can give: of sign flips, or of divisions in two."""
    return 2 / (2**seeds if paired else math.comb(2 * seeds, seeds))


def can_be_sure(seeds: int, paired: Sequence[bool]) -> list[bool]:
    """Which of a table's comparisons could be judged surely with so many seeds, were every difference at its clearest.

    Args:
        paired: for each comparison, whether its seeds pair.
    """
    if seeds < statistics.FEWEST_FOR_P:
        return [False] * len(paired)
    return [p <= SURE for p in statistics.holm([smallest_p(seeds, pairs) for pairs in paired])]


def seeds_to_be_sure(paired: Sequence[bool]) -> int:
    """The fewest seeds with which all of a table's comparisons could be judged surely."""
    return next(seeds for seeds in itertools.count(statistics.FEWEST_FOR_P) if all(can_be_sure(seeds, paired)))


def unsure(seeds: int, *tables: Sequence[bool]) -> Unsure | None:
    """Which comparisons of some tables cannot be judged surely with so many seeds; None where all can.

    Args:
        tables: for each comparison of each table, whether its seeds pair.
    """
    judged = [(pairs, sure) for table in tables for pairs, sure in zip(table, can_be_sure(seeds, table), strict=True)]
    found = [pairs for pairs, sure in judged if not sure]
    if not found:
        return None
    return Unsure(
        everywhere=len(found) == len(judged),
        smallest_p=smallest_p(seeds, paired=any(found)),
        comparisons=max(map(len, tables)),
        seeds=max(seeds_to_be_sure(table) for table in tables if table),
    )

"""A factorial design of two-level factors: effects, intervals, permutation tests, interactions.

The unit of evidence is a run. A figure y is log FID, so that an effect is the logarithm of a ratio; other metrics
are taken on their own scale, and an effect is a difference. L cells with n runs each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from sagan.analysis.rearrangements import rearrangement_p

# Of a single comparison: three a side cannot give p below 0.1, five reach 0.008.
FEWEST_A_SIDE = 5

Cell = tuple[str, ...]
Runs = Mapping[Cell, Mapping[int, float | None]]


@dataclass(frozen=True)
class Factorial:
    """The runs of a full factorial of two-level factors; a block, such as a learning rate, is one more factor.

    A variant against a baseline is a design with one factor. ValueError where a factor has not two levels, where the
    cells are not the product of the levels, and where a figure is NaN or infinite.

    Args:
        factors: name -> (level, other level); an effect is that of the second level instead of the first.
        runs: cell (one level a factor, in the order of `factors`) -> seed -> y, None where the run gave no figure.
        lower_is_better: of y; a lost run takes the worst figure of the design in p.
    """

    factors: Mapping[str, tuple[str, str]]
    runs: Runs
    lower_is_better: bool = True

    def __post_init__(self) -> None:
        for name, levels in self.factors.items():
            if len(set(levels)) != 2 or len(levels) != 2:
                raise ValueError(f"factor '{name}' has {len(levels)} levels ({', '.join(levels)}); an effect needs two")
        wanted = set(self.cells)
        if wanted != set(self.runs):
            missing, unknown = sorted(wanted - set(self.runs)), sorted(set(self.runs) - wanted)
            raise ValueError(f"not a full factorial: cells missing {missing}, not of these factors {unknown}")
        for cell, by_seed in self.runs.items():
            for seed, y in by_seed.items():
                if y is not None and not math.isfinite(y):
                    raise ValueError(f"{cell}, seed {seed}: {y} is no figure; a lost run is None")

    @property
    def cells(self) -> list[Cell]:
        """In the order of the factors and their levels, the last factor fastest."""
        return list(itertools.product(*self.factors.values()))

    @property
    def lost(self) -> int:
        """How many runs gave no figure."""
        return sum(y is None for by_seed in self.runs.values() for y in by_seed.values())

    def first(self, seeds: int) -> Factorial:
        """The same design with seeds 0 to seeds - 1 alone."""
        kept = {cell: {s: y for s, y in by_seed.items() if s < seeds} for cell, by_seed in self.runs.items()}
        return replace(self, runs=kept)

    def has(self, seeds: int) -> bool:
        """Whether every cell has the runs of seeds 0 to seeds - 1, finished or lost."""
        return all(by_seed.keys() >= set(range(seeds)) for by_seed in self.runs.values())

    def finished(self, cell: Cell) -> np.ndarray:
        """The figures of a cell's finished runs in the order of their seeds, float64 [runs]."""
        by_seed = self.runs[cell]
        return np.array([by_seed[seed] for seed in sorted(by_seed) if by_seed[seed] is not None], dtype=float)


@dataclass(frozen=True)
class Contrast:
    """A sum of +-cell means with what is known of it.

    `estimate` is of the finished runs, on the scale of y; None where a cell has none. `standard_error` and `spread`
    (the pooled standard deviation of a run within its cell) are None where no cell has two; `freedom` is sum(n - 1).
    """

    estimate: float | None
    standard_error: float | None
    spread: float | None
    freedom: int

    @property
    def ratio(self) -> float | None:
        """exp(estimate), where y is a logarithm."""
        return None if self.estimate is None else math.exp(self.estimate)

    def interval(self, confidence: float = 0.95) -> tuple[float, float] | None:
        """Student's interval on the scale of y."""
        if self.estimate is None or self.standard_error is None:
            return None
        reach = float(stats.t.ppf((1 + confidence) / 2, self.freedom)) * self.standard_error
        return self.estimate - reach, self.estimate + reach

    def student_p(self) -> float:
        """Of "it is 0", two-sided, where runs of a cell are normal; 1 where there is no standard error or it is 0."""
        if self.estimate is None or not self.standard_error:
            return 1.0
        return float(2 * stats.t.sf(abs(self.estimate) / self.standard_error, self.freedom))


@dataclass(frozen=True)
class Effect(Contrast):
    """What a factor's second level does instead of its first, on average over the settings of the others.

    Attributes:
        p, exact: of the permutation test; whether all rearrangements were counted.
        improvement: the sign of better: 1 where the tested difference is an improvement, -1, or 0.
        cells: L.
        fewest: the least number of runs in a cell, lost ones among them.
        lost: lost runs in all cells. With any, `estimate` is of survivors, and p and `improvement` have the lost
            ones at the worst figure.
    """

    p: float
    exact: bool
    factor: str
    levels: tuple[str, str]
    improvement: int
    cells: int
    fewest: int
    lost: int

    @property
    def decidable(self) -> bool:
        """Whether there are enough runs for an answer: five a side where there is a single comparison."""
        return self.cells > 2 or self.fewest >= FEWEST_A_SIDE


@dataclass(frozen=True)
class Interaction(Contrast):
    """How the first factor's effect changes when the second goes from its first level to its second.

    Attributes:
        p: Student's; 1 where runs were lost, since survivors do not show what they would have been.
        at: the first factor's effect at the second's first level, and at its second, each with the spread of its own
            cells.
    """

    p: float
    factors: tuple[str, str]
    at: tuple[Contrast, Contrast]


def effect(design: Factorial, factor: str) -> Effect:
    """A factor's main effect, (2 / L) * sum of +-cell means, and its permutation test.

    Standard error (2 / L) s sqrt(sum 1 / n), which is 2 s / sqrt(L n) with equal n; s^2 is the pooled variance within
    cells. p rearranges runs between the two levels within each setting of the other factors: exact for the hypothesis
    that the factor changes nothing in any setting. Where it helps in some and hurts in others by as much, rearranged
    runs spread more than the effect does, and p is too large rather than too small. ValueError where a cell has no run.
    """
    place = list(design.factors).index(factor)
    levels = design.factors[factor]
    empty = [cell for cell in design.cells if not design.runs[cell]]
    if empty:
        raise ValueError(f"the effect of '{factor}' needs a run in each cell; none in {empty}")
    tested = _with_lost(design)
    strata = []
    for cell in design.cells:
        if cell[place] == levels[1]:
            strata.append((tested[cell], tested[(*cell[:place], levels[0], *cell[place + 1 :])]))
    difference = math.fsum(float(np.mean(second) - np.mean(first)) for second, first in strata)
    p = rearrangement_p(strata)
    signs = {cell: 1 if cell[place] == levels[1] else -1 for cell in design.cells}
    finished = {cell: design.finished(cell) for cell in design.cells}
    return Effect(
        **vars(_contrast(finished, signs, 2 / len(design.cells))),
        p=p.value,
        exact=p.exact,
        factor=factor,
        levels=levels,
        improvement=int(np.sign(-difference if design.lower_is_better else difference)),
        cells=len(design.cells),
        fewest=min(map(len, tested.values())),
        lost=design.lost,
    )


def interactions(design: Factorial) -> list[Interaction]:
    """Each pair of factors: (4 / L) * sum of +-cell means; nothing where a cell has no finished run.

    p is Student's with the spread pooled over cells, as in an analysis of variance: an interaction, unlike a main
    effect, has no rearrangement of runs that leaves the other effects as they are.
    """
    finished = {cell: design.finished(cell) for cell in design.cells}
    if not all(map(len, finished.values())):
        return []
    scale, found = 4 / len(finished), []
    for (i, one), (j, other) in itertools.combinations(enumerate(design.factors), 2):
        signs = {cell: 1 if cell[i] == design.factors[one][1] else -1 for cell in finished}
        at = [{cell: sign * (cell[j] == level) for cell, sign in signs.items()} for level in design.factors[other]]
        change = _contrast(finished, {cell: at[1][cell] - at[0][cell] for cell in finished}, scale)
        low, high = (_contrast({c: finished[c] for c in half if half[c]}, half, scale) for half in at)
        p = 1.0 if design.lost else change.student_p()
        found.append(Interaction(**vars(change), p=p, factors=(one, other), at=(low, high)))
    return found


def _with_lost(design: Factorial) -> dict[Cell, np.ndarray]:
    """Figures of all runs, a lost one at the worst of the design (0 where all are lost)."""
    finished = {cell: design.finished(cell) for cell in design.cells}
    everything = np.concatenate(list(finished.values()))
    worst = 0.0 if not len(everything) else float(everything.max() if design.lower_is_better else everything.min())
    return {
        cell: np.concatenate([figures, np.full(len(design.runs[cell]) - len(figures), worst)])
        for cell, figures in finished.items()
    }


def _contrast(figures: Mapping[Cell, np.ndarray], signs: Mapping[Cell, int], scale: float) -> Contrast:
    """scale * sum of sign * cell mean over `figures`."""
    freedom = sum(max(len(y) - 1, 0) for y in figures.values())
    squares = math.fsum(float(((y - y.mean()) ** 2).sum()) for y in figures.values() if len(y))
    spread = math.sqrt(squares / freedom) if freedom else None
    if min(map(len, figures.values())) == 0:
        return Contrast(None, None, spread, freedom)
    estimate = scale * math.fsum(signs[cell] * float(y.mean()) for cell, y in figures.items())
    squared = sum(signs[cell] ** 2 / len(y) for cell, y in figures.items())
    error = None if spread is None else scale * spread * math.sqrt(squared)
    return Contrast(estimate, error, spread, freedom)

"""Contrasts of cell means with Satterthwaite's interval, and what one interval decides, look by look.

docs/statistics.md tells the method. Figures are logarithms where a metric is a distance.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
import pandas as pd
from scipy import stats

from sagan.analysis.model import Design, Effect, Look, Row
from sagan.metrics.table import Metric

# A cell with fewer figures has no spread, and makes no answer.
FEWEST = 2
# A single pair of cells with fewer runs a side says next to nothing; nor could a look at fewer seeds.
FEWEST_SEEDS = 3

Cell = tuple[str, ...]  # one level a factor
Figures = Mapping[Cell, np.ndarray]  # float64 [runs]
Weights = Mapping[Cell, float]
Names = tuple[str, str, str]  # question, level, instead_of


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
    def spreads(self) -> bool:
        """Whether figures differ by more than rounding."""
        return self.error > 1e-9

    def interval(self, level: float = 0.05, widening: float = 0.0) -> tuple[float, float]:
        """Student's, by Satterthwaite's degrees of freedom (1946), which misses the truth with probability `level`;
        both ends moved outwards by `widening`."""
        squares = sum(variance**2 / freedom for variance, freedom in self.parts)
        freedom = self.error**4 / squares if squares else sum(freedom for _, freedom in self.parts)
        reach = float(stats.t.isf(level / 2, freedom)) * self.error + widening
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


@dataclass(frozen=True)
class Asked:
    """One comparison of two levels in a metric, over the cells of some runs, which have a column for each of `factors`
    and are of one space; the level of its deciding interval; and the factors with which it surely interacts."""

    design: Design
    names: Names
    factors: list[str]
    runs: pd.DataFrame
    metric: Metric
    share: float
    depends: list[str] = field(default_factory=list)

    @property
    def named(self) -> dict[str, str]:
        """What is compared, as fields of a row."""
        return dict(zip(("question", "level", "instead_of"), self.names, strict=True))

    @cached_property
    def figures(self) -> Figures:
        return figures_of(self.runs, self.factors, self.metric)

    @cached_property
    def weights(self) -> dict[tuple, float]:
        return self.weights_over(list(self.figures))

    def weights_over(self, cells: list[tuple]) -> dict[tuple, float]:
        return effect_weights(cells, self.factors.index(self.names[0]), *self.names[1:])

    @cached_property
    def found(self) -> Contrast | None:
        """The effect at the end; None without a spread, as of lost runs alone, which have one figure."""
        found = contrast(self.figures, self.weights)
        return found if found and found.spreads else None

    def row(self, found: Contrast | None, level: float | None, widening: float = 0.0, **where) -> Effect:
        """The row of effects.csv of a contrast, without figures where there is none, and without a verdict where there
        is no level. `where`: what of the row is not per step at the end."""
        design, metric = self.design, self.metric
        told = {"metric": metric.name, "space": self.runs["space"].iloc[0], "at": "steps", "budget": design.steps or 0}
        told |= self.named | where | {"scale": "ratio" if metric.scale == "log" else "difference"}
        if found is not None:
            told |= {"runs": found.runs} | row_of(found, level, partial(shown, metric=metric), widening)
        if found is not None and level is not None:
            # An average of two opposite effects is no small one; a difference has no size that is worth having.
            worth = 100 * design.smallest_effect if metric.scale == "log" and not self.depends else 0.0
            told["answer"] = verdict(told["decide_low"], told["decide_high"], metric.better == "lower", worth)
        return Effect(**told)


def row_of(found: Contrast, level: float | None, show: Callable[[float], float], widening: float = 0.0) -> Row:
    """A contrast as fields of a row: the estimate, its 95 % interval, and where there is a level the deciding one."""
    told = {"estimate": found.estimate}
    told["low"], told["high"] = found.interval(widening=widening)
    if level is not None:
        told["decide_low"], told["decide_high"] = found.interval(level, widening)
    return {name: show(value) for name, value in told.items()}


def verdict(low: float, high: float, lower_is_better: bool, worth_having: float) -> str:
    """What a deciding interval says; `worth_having` is 0 where no size is too small to be worth having."""
    small = max(-low, high) < worth_having
    if low > 0 or high < 0:
        way = "helps" if (high < 0) == lower_is_better else "hurts"
        return f"{way}, by less than is worth having" if small else way
    return "no difference worth having" if small else "not decided"


def doubling_looks(least: int, most: int, alpha: float) -> list[Look]:
    """Looks at least, 2 least, 4 least, ... seeds, none above `most`, at alpha / 2, alpha / 4, ...

    Looks at fewer than `FEWEST_SEEDS` are not taken and cost nothing; one that is left alone has the whole of alpha.
    """
    seeds = [least * 2**j for j in range((most // least).bit_length())]
    taken = [count for count in seeds if count >= FEWEST_SEEDS] or seeds[-1:]
    if len(taken) == 1:
        return [Look(seeds=taken[0], level=alpha)]
    return [Look(seeds=count, level=alpha / 2**j) for j, count in enumerate(taken, start=1)]


def interactions(design: Design, figures: Figures, level: float) -> list[Row]:
    """How far each effect, first of what is asked, changes with each other factor's level, simultaneous over all such
    pairs: rows question, level, instead_of, by, by_level, by_instead_of; estimate, low, high, decide_low, decide_high
    of the change, in percent of a ratio; and whether it is sure."""
    factors = sorted(design.factors.items(), key=lambda factor: factor[0] not in design.questions)
    levels = [(name, level, of.first) for name, of in factors for level in list(of.levels)[1:]]
    pairs = [(one, other) for one, other in itertools.combinations(levels, 2) if one[0] != other[0]]
    cells, names, found = list(figures), list(design.factors), []
    for one, other in pairs:
        place, by = names.index(one[0]), names.index(other[0])
        high, low = (effect_weights([cell for cell in cells if cell[by] == at], place, *one[1:]) for at in other[1:])
        of = contrast(figures, high | {cell: -weight for cell, weight in low.items()}) if high and low else None
        if of is None:
            continue
        columns = ("question", "level", "instead_of", "by", "by_level", "by_instead_of")
        told: Row = dict(zip(columns, (*one, *other), strict=True))
        told |= row_of(of, level / len(pairs), partial(shown, metric=design.main))
        found.append(told | {"sure": told["decide_low"] > 0 or told["decide_high"] < 0})
    return found


@dataclass(frozen=True)
class Replay:
    """What the looks say of the runs that there are."""

    runs: pd.DataFrame  # the grid's rows of the last look that was taken, in the main space; none before the first
    look: Look | None
    seeds_asked: int  # how many each cell is asked for now
    interactions: list[Row] = field(default_factory=list)
    # Each question with its row, whose first answer stands, and the seeds of an earlier look that gave it.
    answers: dict[Names, tuple[Asked, Effect, int | None]] = field(default_factory=dict)


def replay(design: Design, runs: pd.DataFrame) -> Replay:
    """Takes the looks in turn while their runs are there and a question is open.

    First answers stand, and sizes are of the last look. It depends on the runs that there are alone.
    """
    grid, factors = in_grid(runs, design, design.space), list(design.factors)
    seeds = sorted(grid["seed"].unique())
    looks = design.looks or [Look(seeds=len(seeds), level=design.alpha)]
    state, decided = Replay(grid.iloc[:0], None, looks[0].seeds), {}
    for look in looks:
        of = grid[grid["seed"].isin(seeds[: look.seeds])]
        if len(seeds) < look.seeds or (of["status"] == "missing").any():
            return replace(state, seeds_asked=look.seeds)
        state = Replay(of, look, look.seeds, interactions(design, figures_of(of, factors, design.main), look.level))
        sure = [{one["question"], one["by"]} for one in state.interactions if one["sure"]]
        for names in design.contrasts:
            depends = sorted(set().union(*(pair - {names[0]} for pair in sure if names[0] in pair)))
            asked = Asked(design, names, factors, of, design.main, look.level / len(design.contrasts), depends)
            effect = asked.row(asked.found, asked.share)
            if effect.answer not in ("", "not decided"):
                decided.setdefault(names, (effect, look.seeds))
            first, at = decided.get(names, (effect, look.seeds))
            kept = {name: getattr(first, name) for name in ("decide_low", "decide_high", "answer")}
            state.answers[names] = asked, effect.model_copy(update=kept), at if at < look.seeds else None
        if len(decided) == len(design.contrasts):
            break
    return state


def in_grid(table: pd.DataFrame, design: Design, space: str) -> pd.DataFrame:
    """The rows of the grid's cells in one feature space."""
    of = table[table["space"] == space]
    return of[of[list(design.factors)].notna().all(axis=1)] if design.factors else of.iloc[:0]

"""One interval decides: from what is asked of some runs to rows of effects.csv with answers, look by look."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import pandas as pd

from sagan.analysis.contrasts import FEWEST_SEEDS, Contrast, Figures, contrast, effect_weights, figures_of, shown
from sagan.analysis.model import Design, Effect, Look, Row
from sagan.metrics.table import Metric

OPEN = ("", "not decided")
Names = tuple[str, str, str]  # question, level, instead_of


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
        """The effect at the end; None of lost runs alone, which have one figure."""
        found = contrast(self.figures, self.weights)
        return found if found and found.error else None

    def row(self, found: Contrast | None, level: float | None, widening: float = 0.0, **where) -> Effect:
        """The row of effects.csv of a contrast, without figures where there is none, and without a verdict where there
        is no level. `where`: what of the row is not per step at the end."""
        design, metric = self.design, self.metric
        told = {"metric": metric.name, "space": self.runs["space"].iloc[0], "at": "steps", "budget": design.steps or 0}
        told |= self.named | where | {"scale": "ratio" if metric.scale == "log" else "difference"}
        if found is not None:
            told |= {"estimate": shown(found.estimate, metric), "runs": found.runs}
            told |= ends(found.interval(widening=widening), metric)
        if found is not None and level is not None:
            told |= ends(found.interval(level, widening), metric, "decide_")
            # An average of two opposite effects is no small one; a difference has no size that is worth having.
            worth = 100 * design.smallest_effect if metric.scale == "log" and not self.depends else 0.0
            told["answer"] = verdict(told["decide_low"], told["decide_high"], metric.better == "lower", worth)
        return Effect(**told)


def ends(interval: tuple[float, float], metric, prefix: str = "") -> dict[str, float]:
    """An interval as fields of a row."""
    return {f"{prefix}{name}": shown(end, metric) for name, end in zip(("low", "high"), interval, strict=True)}


def verdict(low: float, high: float, lower_is_better: bool, worth_having: float) -> str:
    """What a deciding interval says.

    Clear of 0, the level helps or hurts. Inside +-`worth_having`, it makes no difference worth having; 0 where there is
    no such size. So any false statement needs an interval that misses the truth.
    """
    small = max(-low, high) < worth_having
    if low > 0 or high < 0:
        way = "helps" if (high < 0) == lower_is_better else "hurts"
        return f"{way}, by less than is worth having" if small else way
    return "no difference worth having" if small else "not decided"


def doubling_looks(least: int, most: int, alpha: float) -> list[Look]:
    """Looks at least, 2 least, 4 least, ... seeds, none above `most`, at alpha / 2, alpha / 4, ...

    The errors of all looks sum to less than alpha, whenever one stops. Looks at fewer than `FEWEST_SEEDS` are not taken
    and cost nothing; one that is left alone has the whole of alpha. A `most` between two looks ends at the lower one.
    """
    seeds = [least * 2**j for j in range((most // least).bit_length())]
    taken = [count for count in seeds if count >= FEWEST_SEEDS] or seeds[-1:]
    if len(taken) == 1:
        return [Look(seeds=taken[0], level=alpha)]
    return [Look(seeds=count, level=alpha / 2**j) for j, count in enumerate(taken, start=1)]


def interactions(design: Design, figures: Figures, level: float) -> list[Row]:
    """How far each effect changes with each other factor's level, simultaneous over all such pairs: rows question,
    level, instead_of, by, by_level, by_instead_of; estimate, low, high, decide_low, decide_high of the change, in
    percent of a ratio; and whether it is sure."""
    levels = [(name, level, of.first) for name, of in design.factors.items() for level in list(of.levels)[1:]]
    pairs = [(one, other) for place, one in enumerate(levels) for other in levels[place + 1 :] if one[0] != other[0]]
    cells, names, metric, found = list(figures), list(design.factors), design.main, []
    for one, other in pairs:
        place, by = names.index(one[0]), names.index(other[0])
        high, low = (effect_weights([cell for cell in cells if cell[by] == at], place, *one[1:]) for at in other[1:])
        of = contrast(figures, high | {cell: -weight for cell, weight in low.items()}) if high and low else None
        if of is None:
            continue
        columns = ("question", "level", "instead_of", "by", "by_level", "by_instead_of", "estimate")
        told = dict(zip(columns, (*one, *other, shown(of.estimate, metric)), strict=True))
        least, most = decide = of.interval(level / len(pairs))
        told |= ends(of.interval(), metric) | ends(decide, metric, "decide_")
        found.append(told | {"sure": least > 0 or most < 0})
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
    """Takes the looks in turn while their runs are there and a question is open. First answers stand.

    It depends on the runs that there are alone, and not on when it is made or what was interrupted. Look j is judged at
    its level over the number of questions: by Boole it errs with at most alpha / 2^j, and all of them with less than
    alpha. The size of an effect is that of the last look, since one that ends a question early is large by luck too.
    """
    grid = in_grid(runs, design, design.space)
    seeds = sorted(grid["seed"].unique())
    looks = design.looks or [Look(seeds=len(seeds), level=design.alpha)]
    state = Replay(grid.iloc[:0], None, looks[0].seeds)
    for look in looks:
        of = grid[grid["seed"].isin(seeds[: look.seeds])]
        if len(seeds) < look.seeds or (of["status"] == "missing").any():
            return replace(state, seeds_asked=look.seeds)
        state = _taken(design, of, look, state)
        if all(effect.answer not in OPEN for _, effect, _ in state.answers.values()):
            break
    return state


def _taken(design: Design, runs: pd.DataFrame, look: Look, before: Replay) -> Replay:
    factors, answers = list(design.factors), {}
    crossed = interactions(design, figures_of(runs, factors, design.main), look.level)
    sure = [{of["question"], of["by"]} for of in crossed if of["sure"]]
    for names in design.contrasts:
        depends = sorted(set().union(*(pair - {names[0]} for pair in sure if names[0] in pair)))
        one = Asked(design, names, factors, runs, design.main, look.level / len(design.contrasts), depends)
        effect, at = one.row(one.found, one.share), None
        _, first, at_first = before.answers.get(names, (None, effect, None))
        if before.look and first.answer not in OPEN:
            decided = {name: getattr(first, name) for name in ("decide_low", "decide_high", "answer")}
            effect, at = effect.model_copy(update=decided), at_first or before.look.seeds
        answers[names] = one, effect, at
    return Replay(runs, look, look.seeds, crossed, answers)


def in_grid(table: pd.DataFrame, design: Design, space: str) -> pd.DataFrame:
    """The rows of the grid's cells in one feature space."""
    of = table[table["space"] == space]
    return of[of[list(design.factors)].notna().all(axis=1)] if design.factors else of.iloc[:0]

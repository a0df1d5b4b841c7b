"""One interval decides: from a contrast to a row of effects.csv with its answer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from sagan.analysis.contrasts import Cell, Contrast, Figures, Weights, contrast, effect_weights, interaction_weights
from sagan.analysis.metrics import Metric, metric_of
from sagan.analysis.model import Design, Effect, Interaction, Look, Verdict

# A look at fewer seeds could hardly decide anything, and a single pair with fewer runs makes no answer.
FEWEST_SEEDS = 3


def main_metric(design: Design) -> Metric:
    """The metric of the answers."""
    return metric_of(design.metric, design.better, design.scale)


def percent(logarithm: float) -> float:
    """The change that the logarithm of a ratio is."""
    return 100 * math.expm1(logarithm)


def shown(value: float, metric: Metric) -> float:
    """A contrast in the unit of effects.csv."""
    return percent(value) if metric.scale == "log" else value


def verdict(effect: Effect, lower_is_better: bool, smallest_effect: float, depends: bool = False) -> Verdict:
    """What the deciding interval of an effect says.

    Clear of 0, the level helps or hurts. Inside +-`smallest_effect`, a ratio makes no difference worth having, unless
    it surely `depends` on another factor: an average of two opposite effects is none. So any false statement needs an
    interval that misses the truth.
    """
    low, high = effect.decide_low, effect.decide_high
    if low is None or high is None:
        return ""
    small = effect.scale == "ratio" and max(-low, high) < 100 * smallest_effect
    if low > 0 or high < 0:
        way = "helps" if (high < 0) == lower_is_better else "hurts"
        return f"{way}, by less than is worth having" if small and not depends else way  # type: ignore[return-value]
    return "no difference worth having" if small and not depends else "not decided"


def row(
    asked: Effect,
    found: Contrast | None,
    metric: Metric,
    design: Design,
    level: float | None,
    widening: float = 0.0,
    depends: bool = False,
) -> Effect:
    """The row of what was asked, with estimate, intervals and answer; without any where nothing was found.

    Args:
        asked: a row without figures.
        level: of the deciding interval; None where there is no verdict.
    """
    if found is None:
        return asked
    low, high = (shown(end, metric) for end in found.interval(widening=widening))
    filled = {"estimate": shown(found.estimate, metric), "low": low, "high": high, "runs": found.runs}
    if level is not None:
        ends = found.interval(level, widening)
        filled |= dict(zip(("decide_low", "decide_high"), (shown(end, metric) for end in ends), strict=True))
    effect = asked.model_copy(update=filled)
    answer = verdict(effect, metric.better == "lower", design.smallest_effect, depends)
    return effect.model_copy(update={"answer": answer})


def trusted(found: Contrast | None, weights: Weights) -> Contrast | None:
    """A contrast, but none of a single pair of cells with fewer than three runs a side, which says next to nothing."""
    return None if found is not None and len(weights) == 2 and found.fewest < FEWEST_SEEDS else found


def contrasts_asked(design: Design) -> list[tuple[str, str, str]]:
    """(question, level, instead_of): each level of each factor that is asked for against its first."""
    return [
        (question, level, design.factors[question].first)
        for question in design.questions
        for level in list(design.factors[question].levels)[1:]
    ]


def weights_of(design: Design, cells: Sequence[Cell], question: str, level: str, instead_of: str):
    """The weights of a question's contrast over the cells of the grid."""
    return effect_weights(cells, list(design.factors).index(question), level, instead_of)


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


def interaction_pairs(design: Design) -> list[tuple[tuple[str, str, str], tuple[str, str, str]]]:
    """Each pair of factors, each at (factor, level, its first level)."""
    levels = [
        (name, level, factor.first) for name, factor in design.factors.items() for level in list(factor.levels)[1:]
    ]
    return [(one, other) for place, one in enumerate(levels) for other in levels[place + 1 :] if one[0] != other[0]]


def interactions(design: Design, figures: Figures, metric: Metric, level: float) -> list[Interaction]:
    """All two-factor interactions on the main metric, simultaneous over them."""
    pairs, names, found = interaction_pairs(design), list(design.factors), []
    for one, other in pairs:
        places = names.index(one[0]), names.index(other[0])
        weights = interaction_weights(list(figures), places, (one[1:], other[1:]))
        if (of := contrast(figures, weights)) is None:
            continue
        low, high = of.interval()
        decide = of.interval(level / len(pairs))
        found.append(
            Interaction(
                **dict(zip(("question", "level", "instead_of"), one, strict=True)),
                **dict(zip(("by", "by_level", "by_instead_of"), other, strict=True)),
                estimate=shown(of.estimate, metric),
                low=shown(low, metric),
                high=shown(high, metric),
                decide_low=shown(decide[0], metric),
                decide_high=shown(decide[1], metric),
                sure=decide[0] > 0 or decide[1] < 0,
            )
        )
    return found


def in_grid(table: pd.DataFrame, design: Design, space: str) -> pd.DataFrame:
    """The rows of the grid's cells in one feature space."""
    of = table[table["space"] == space]
    return of[of[list(design.factors)].notna().all(axis=1)] if design.factors else of.iloc[:0]


def first_seeds(table: pd.DataFrame, seeds: int) -> pd.DataFrame:
    """The rows of the first so many seeds, in the order of the suite's."""
    return table[table["seed"].isin(sorted(table["seed"].unique())[:seeds])]

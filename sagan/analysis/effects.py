"""Which ingredient helps, by how much, how surely, at what cost: comparisons of variants in words and figures."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from statistics import median

from sagan.analysis import statistics
from sagan.analysis.ingredients import INGREDIENTS, level_of, only_ingredient, oriented
from sagan.analysis.judgement import Judgement, Losses, judge, losses
from sagan.analysis.rearrangements import rearrangement_p
from sagan.analysis.rows import SuiteRecords
from sagan.analysis.statistics import Difference
from sagan.records import Json

# Up to so many variants are compared each with each: 435 pairs. Of a hundred it would be 4,950.
PAIRWISE_UP_TO = 30


@dataclass(frozen=True)
class Cost:
    """Extra training time per generator step in percent, from runs on like hardware, paired by seed."""

    median: float
    minimum: float
    maximum: float
    count: int


@dataclass(frozen=True)
class Effect:
    """What `level` of an ingredient does to the FID, compared with `other`.

    `treated` and `control` are variants, or for a grid's main effect lists of them that differ in
    nothing else, cell by cell. Of an interaction both are empty, and what all cells lost counts as treated.
    `paired` says whether it is tested within seeds, as an interaction is.
    """

    ingredient: str
    level: str
    other: str
    where: str
    treated: tuple[str, ...]
    control: tuple[str, ...]
    difference: Difference | None
    cost: Cost | None
    lost: Losses
    paired: bool
    interaction: bool = False
    p_holm: float | None = None
    judgement: Judgement = "no data"


def baseline_effects(records: SuiteRecords) -> dict[str, Effect]:
    """Every other variant against the baseline."""
    effects = [
        _pair(records, "variant", other, records.baseline, other, records.baseline)
        for other in records.variants
        if other != records.baseline
    ]
    return {effect.level: effect for effect in _judged(effects)}


def ingredient_effects(records: SuiteRecords) -> list[Effect]:
    """The effect of each ingredient with the others held: a grid's main effects, and pairs that differ in it alone.

    With more than PAIRWISE_UP_TO variants only pairs with the baseline.
    """
    effects = [effect for grid in records.grids for effect in _grid_effects(records, grid)]
    in_grids = {variant for cells in records.grids.values() for variant in cells}
    variants = records.variants
    pairs = itertools.combinations(variants, 2)
    if len(variants) > PAIRWISE_UP_TO:
        pairs = ((records.baseline, other) for other in variants if other != records.baseline)
    for first, second in pairs:
        ingredient = only_ingredient(records, first, second)
        if ingredient is None or {first, second} <= in_grids:
            continue
        treated, control = oriented(records, ingredient, first, second)
        level, other = (level_of(records.config(name), ingredient) for name in (treated, control))
        effects.append(_pair(records, ingredient, level, other, treated, control))
    return _judged(effects)


def headline_effects(effects: list[Effect], baseline: str) -> list[Effect]:
    """For each ingredient and pair of levels, the best evidence: a grid's main effect, else the baseline's pair."""

    def rank(effect: Effect) -> tuple:
        touches_baseline = baseline in (*effect.treated, *effect.control)
        return (effect.judgement == "no data", len(effect.treated) == 1, not touches_baseline)

    best: dict[tuple[str, str, str], Effect] = {}
    for effect in sorted((e for e in effects if not e.interaction), key=rank):
        best.setdefault((effect.ingredient, effect.level, effect.other), effect)
    order = list(INGREDIENTS)
    known = [e for e in best.values() if e.ingredient in order]
    return sorted(known, key=lambda e: order.index(e.ingredient)) + [
        e for e in best.values() if e.ingredient not in order
    ]


def extra_time(records: SuiteRecords, treated: tuple[str, ...], control: tuple[str, ...]) -> Cost | None:
    """Extra training seconds per generator step in percent; None where no pair of runs shares device and threads."""
    percents = []
    for variant, other in zip(treated, control, strict=True):
        controls = {row.seed: row for row in records.of(other)}
        for row in records.of(variant):
            pair = controls.get(row.seed)
            if pair and row.seconds_per_step and pair.seconds_per_step and row.hardware == pair.hardware:
                percents.append(100 * (row.seconds_per_step / pair.seconds_per_step - 1))
    if not percents:
        return None
    return Cost(median(percents), min(percents), max(percents), len(percents))


def _pair(records: SuiteRecords, ingredient: str, level: str, other: str, treated: str, control: str) -> Effect:
    difference = statistics.difference(records.figures(treated), records.figures(control))
    return Effect(
        ingredient=ingredient,
        level=level,
        other=other,
        where=f"{treated} against {control}",
        treated=(treated,),
        control=(control,),
        difference=difference,
        cost=extra_time(records, (treated,), (control,)),
        lost=losses(records, (treated,), (control,)),
        paired=False,
    )


def _grid_effects(records: SuiteRecords, grid: str) -> list[Effect]:
    cells = records.grids[grid]
    reference = reference_levels(records, cells)
    effects = []
    figures = {variant: records.figures(variant) for variant in cells}
    for contrast in statistics.factorial_contrasts(figures, cells, reference):
        difference = statistics.difference_by_seed(contrast.by_seed)
        treated, control = _sides(cells, contrast) if len(contrast.factors) == 1 else ((), ())
        if treated and difference and difference.p is not None:
            sides = [
                (list(figures[t].values()), list(figures[c].values())) for t, c in zip(treated, control, strict=True)
            ]
            difference = replace(difference, p=rearrangement_p(sides).value)
        ingredient, level, other = _in_words(records, contrast, treated, control)
        effects.append(
            Effect(
                ingredient=ingredient,
                level=level,
                other=other,
                where=f"all cells of {grid}",
                treated=treated,
                control=control,
                difference=difference,
                cost=extra_time(records, treated, control),
                lost=losses(records, treated or tuple(cells), control),
                paired=not treated,
                interaction=not treated,
            )
        )
    return effects


def _sides(cells: Json, contrast: statistics.Contrast) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The cells at a factor's two levels, in an order in which they differ in nothing else."""
    factor, level, other = contrast.factors[0], contrast.levels[0], contrast.others[0]
    by_levels = {frozenset(levels.items()): variant for variant, levels in cells.items()}
    treated = tuple(variant for variant, levels in cells.items() if levels[factor] == level)
    control = tuple(by_levels[frozenset({**cells[variant], factor: other}.items())] for variant in treated)
    return treated, control


def reference_levels(records: SuiteRecords, cells: Json) -> dict[str, str]:
    """The level of each factor whose effect is asked for: on rather than off; of several, the baseline's."""
    start = records.baseline if records.baseline in cells else next(iter(cells))
    reference = dict(cells[start])
    for factor in reference:
        for variant, levels in cells.items():
            others_held = {f for f in levels if levels[f] != cells[start][f]} == {factor}
            ingredient = only_ingredient(records, start, variant) if others_held else None
            if ingredient and len({cell[factor] for cell in cells.values()}) == 2:
                reference[factor] = cells[oriented(records, ingredient, start, variant)[0]][factor]
    return reference


def _in_words(
    records: SuiteRecords, contrast: statistics.Contrast, treated: tuple[str, ...], control: tuple[str, ...]
) -> tuple[str, str, str]:
    """(ingredient, level, other): what a factor switches, or the factor's own names where it is no one ingredient."""
    ingredients = {only_ingredient(records, *pair) for pair in zip(treated, control, strict=True)}
    if len(ingredients) == 1 and (ingredient := ingredients.pop()):
        return (
            ingredient,
            level_of(records.config(treated[0]), ingredient),
            level_of(records.config(control[0]), ingredient),
        )
    if len(contrast.factors) == 1:
        return contrast.factors[0], contrast.levels[0], contrast.others[0]
    return f"interaction of {' and '.join(contrast.factors)}", ", ".join(contrast.levels), ", ".join(contrast.others)


def _judged(effects: list[Effect]) -> list[Effect]:
    """The effects of one table with Holm's correction over all of them, and what that leaves to be said."""
    corrected = statistics.holm([effect.difference and effect.difference.p for effect in effects])
    return [
        replace(effect, p_holm=p, judgement=judge(effect.difference, p, bool(effect.lost)))
        for effect, p in zip(effects, corrected, strict=True)
    ]

"""Two sides that differ in one thing: what it does to FID, how surely, at what cost.

A factor of a grid and a single variant against the baseline are compared alike: both are a factorial design of runs
on log FID (`sagan.analysis.factorial`), and an effect is a change in percent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median, variance

from sagan.analysis.answers import Answer, answers
from sagan.analysis.circular import ranked
from sagan.analysis.differences import INGREDIENTS, level_of, only_ingredient, oriented
from sagan.analysis.factorial import Effect, Factorial, effect
from sagan.analysis.metrics import METRICS, Metric
from sagan.analysis.rows import Row, SuiteRecords

# A cost is believed where runs of one cell agree to this, as a standard deviation of the logarithm ...
AGREEMENT = 0.1
# ... and where no machine had more work than this: processes that want a core, for each core. A suite that has two
# cores to itself gives 0.6 to 1.2 (the 27 runs of `quick`); beside other work it was 2 and more.
LOAD = 1.5

Levels = Mapping[str, str]  # factor -> level


@dataclass(frozen=True)
class StepCost:
    """What one side takes for a step, in percent of the other; `doubt` says why it is not to be believed."""

    percent: float
    low: float | None
    high: float | None
    doubt: str | None


@dataclass(frozen=True)
class Comparison:
    """One level of something instead of another.

    Attributes:
        name: what is compared: a factor of a grid, a variant, or the ingredient that a single pair tests.
        ingredient: what the two sides differ in, where that is one ingredient alone.
        treated, control: variants, those at one place alike but for what is compared.
        answer: None before the first look. `answered_at` is the seeds of the look that gave it, where later ones were
            taken.
        effect: what size and interval are of: all runs of the last look.
        cost: None where no run says what its steps took.
        is_ranked: whether the treated variant is compared at all.
    """

    name: str
    level: str
    other: str
    ingredient: str | None
    treated: tuple[str, ...]
    control: tuple[str, ...]
    answer: Answer | None
    effect: Effect | None
    cost: StepCost | None
    answered_at: int | None = None
    is_ranked: bool = True

    @property
    def percent(self) -> float | None:
        """The change of FID; `low` and `high` are its 95 % interval, and None where the spread is not known."""
        return percent(self.effect.estimate) if self.effect else None

    @property
    def low(self) -> float | None:
        return percents(self.effect.interval())[0] if self.effect else None

    @property
    def high(self) -> float | None:
        return percents(self.effect.interval())[1] if self.effect else None

    @property
    def is_borne_out(self) -> bool:
        """Whether the size over all runs agrees with an answer that an earlier look gave; true of other answers."""
        if not self.answered_at or self.effect.estimate is None:
            return True
        sign = {"helps": 1, "hurts": -1}.get(self.answer.direction, self.effect.improvement)
        is_small = abs(self.effect.estimate) <= math.log1p(self.answer.smallest_effect)
        return self.effect.improvement == sign and (is_small or not self.answer.negligible)

    @property
    def seeds(self) -> int:
        """Of each variant."""
        return self.effect.fewest if self.effect else 0

    @property
    def title(self) -> str:
        """The ingredient, where it has a name of its own."""
        return self.ingredient if self.ingredient in INGREDIENTS else self.name.replace("_", " ")

    @property
    def where(self) -> str:
        """Which variants were compared, where they are a single pair."""
        return f"{self.treated[0]} against {self.control[0]}" if len(self.treated) == 1 else ""


def against_baseline(records: SuiteRecords) -> dict[str, Comparison]:
    """Every other variant against the baseline, with Holm's correction over them."""
    others = [variant for variant in records.variants if variant != records.baseline]
    pairs = {variant: (variant, records.baseline) for variant in others}
    return _pairs(records, pairs)


def single_ingredients(records: SuiteRecords) -> list[Comparison]:
    """The same pairs as `against_baseline` where one ingredient separates them: that ingredient, more against less."""
    others = [variant for variant in records.variants if variant != records.baseline]
    found = {variant: only_ingredient(records, records.baseline, variant) for variant in others}
    pairs = {
        variant: oriented(records, ingredient, records.baseline, variant) if ingredient else (variant, records.baseline)
        for variant, ingredient in found.items()
    }
    compared = _pairs(records, pairs)
    order = list(INGREDIENTS)
    kept = [
        replace(comparison, name=comparison.ingredient) for comparison in compared.values() if comparison.ingredient
    ]
    return sorted(kept, key=lambda c: order.index(c.ingredient) if c.ingredient in order else len(order))


def _pairs(records: SuiteRecords, pairs: Mapping[str, tuple[str, str]]) -> dict[str, Comparison]:
    effects, fair = {}, ranked(records)
    for name, (treated, control) in pairs.items():
        if {treated, control} <= set(fair.variants) and all(
            _runs(records, variant, METRICS["fid"]) for variant in (treated, control)
        ):
            effects[name] = _with_pooled_spread(effect(pair_design(records, treated, control), "variant"), fair)
    given = answers(effects, records.suite.alpha, records.suite.smallest_effect)
    return {name: _of_pair(records, *pair, given.get(name)) for name, pair in pairs.items()}


def _with_pooled_spread(found: Effect, records: SuiteRecords) -> Effect:
    """A pair's effect with its interval from the spread of runs within all variants of the suite, as a grid's has it.

    Two variants with few seeds say next to nothing of their own spread.
    """
    logs = {v: [y for y in _runs(records, v, METRICS["fid"]).values() if y is not None] for v in records.variants}
    freedom = sum(len(y) - 1 for y in logs.values() if y)
    if not freedom or not all(logs[variant] for variant in found.levels):
        return found
    spread = math.sqrt(sum((len(y) - 1) * variance(y) for y in logs.values() if len(y) > 1) / freedom)
    error = spread * math.sqrt(sum(1 / len(logs[variant]) for variant in found.levels))
    return replace(found, spread=spread, freedom=freedom, standard_error=error)


def _of_pair(records: SuiteRecords, treated: str, control: str, answer: Answer | None) -> Comparison:
    ingredient = only_ingredient(records, treated, control)
    level, other = (level_of(records.config(v), ingredient) if ingredient else v for v in (treated, control))
    cells = {treated: {"variant": treated}, control: {"variant": control}}
    cost = step_cost(records, cells, {"variant": (control, treated)}, "variant")
    return Comparison(
        name=treated,
        level=level,
        other=other,
        ingredient=ingredient,
        treated=(treated,),
        control=(control,),
        answer=answer,
        effect=answer and answer.effect,
        cost=cost,
        is_ranked=treated not in records.unranked,
    )


def percent(logarithm: float | None) -> float | None:
    """The change that a logarithm of a ratio is."""
    return None if logarithm is None else 100 * math.expm1(logarithm)


def percents(interval: tuple[float, float] | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (percent(interval[0]), percent(interval[1]))


def pair_design(records: SuiteRecords, treated: str, control: str, metric: Metric = METRICS["fid"]) -> Factorial:
    """The runs of two variants as a design with one factor, `variant`. ValueError as of `Factorial`."""
    runs = {(variant,): _runs(records, variant, metric) for variant in (control, treated)}
    return Factorial({"variant": (control, treated)}, runs, lower_is_better=metric.better == "lower")


def grid_design(records: SuiteRecords, cells: Mapping[str, Levels], metric: Metric = METRICS["fid"]) -> Factorial:
    """The runs of a grid as a factorial of a metric, its second levels those that are asked for.

    Seeds are counted from 0 in the suite's order. A run that is not there, or has too few images, is left out.
    Logarithms where the metric's scale is one. ValueError as of `Factorial`.
    """
    factors = {}
    for factor, level in reference_levels(records, cells).items():
        others = [other for other in dict.fromkeys(cell[factor] for cell in cells.values()) if other != level]
        factors[factor] = (*others, level)
    runs = {
        tuple(levels[factor] for factor in factors): _runs(records, variant, metric)
        for variant, levels in cells.items()
    }
    return Factorial(factors, runs, lower_is_better=metric.better == "lower")


def _runs(records: SuiteRecords, variant: str, metric: Metric) -> dict[int, float | None]:
    places = {seed: place for place, seed in enumerate(sorted({row.seed for row in records.rows}))}
    rows = [row for row in records.of(variant) if row.lost or row.metric(metric.name) is not None]
    return {places[row.seed]: _figure(row, metric) for row in rows}


def _figure(row: Row, metric: Metric) -> float | None:
    value = None if row.lost else row.metric(metric.name)
    if value is None or metric.scale == "linear":
        return value
    return math.log(value) if value > 0 else None


def reference_levels(records: SuiteRecords, cells: Mapping[str, Levels]) -> dict[str, str]:
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


def sides(cells: Mapping[str, Levels], factor: str, level: str, other: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The cells at a factor's two levels, in an order in which they differ in nothing else."""
    by_levels = {frozenset(levels.items()): variant for variant, levels in cells.items()}
    treated = tuple(variant for variant, levels in cells.items() if levels[factor] == level)
    control = tuple(by_levels[frozenset({**cells[variant], factor: other}.items())] for variant in treated)
    return treated, control


def step_cost(
    records: SuiteRecords, cells: Mapping[str, Levels], factors: Mapping[str, tuple[str, str]], factor: str
) -> StepCost | None:
    """From the seconds of the steps alone; of runs on one kind of machine."""
    rows = [row for variant in cells for row in records.of(variant) if row.step_seconds]
    if len({row.hardware for row in rows}) != 1:
        return None
    runs = {
        tuple(levels[f] for f in factors): {
            row.seed: math.log(row.step_seconds) for row in records.of(variant) if row.step_seconds
        }
        for variant, levels in cells.items()
    }
    try:
        found = effect(Factorial(factors, runs), factor)
    except ValueError:
        return None
    low, high = percents(found.interval())
    doubt = "the machine had other work" if is_busy(rows) else None
    if found.spread is not None and found.spread > AGREEMENT:
        doubt = "runs of one variant disagree"
    return StepCost(percent(found.estimate), low, high, doubt)


def is_busy(rows: Sequence[Row]) -> bool:
    """Whether a machine had other work during half of a run."""
    loads = [[line.load for line in row.log if line.load is not None] for row in rows]
    return any(median(found) > LOAD for found in loads if found)

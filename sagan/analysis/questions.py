"""The answers to a suite's questions: does this factor of the grid help, by how much, how surely, at what cost?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, variance

from sagan.analysis.answers import detectable, seeds_needed
from sagan.analysis.comparisons import (
    Comparison,
    Levels,
    grid_design,
    pair_design,
    percent,
    percents,
    sides,
    step_cost,
)
from sagan.analysis.differences import level_of, only_ingredient
from sagan.analysis.factorial import Effect, Factorial, effect, interactions
from sagan.analysis.families import holm
from sagan.analysis.looks import Look, Replay, doubling_looks, one_look, replay
from sagan.analysis.metrics import METRICS, Metric
from sagan.analysis.rows import Row, SuiteRecords
from sagan.params.suites import UntilDecided


@dataclass(frozen=True)
class MetricEffect:
    """A factor's effect on a metric: percent where `metric.scale` is "log", else a difference in the title's unit.

    `p` is Holm's, over all metrics but FID and all questions; on FID it is the answer's. `better` says of a sure effect
    which way.
    """

    metric: Metric
    factor: str
    size: float
    low: float | None
    high: float | None
    p: float
    better: bool | None


@dataclass(frozen=True)
class Conditional:
    """A factor's effect on FID at one level of another factor, in percent."""

    level: str
    percent: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Crossing:
    """How far one factor's effect on FID changes with the level of another, in percent.

    Attributes:
        effect_of, on_level_of: the two factors, in words. The effect is of the first's `level` instead of `other`; the
            change of it is from the second's other level to its level.
        p: Holm's over all pairs of factors; `sure` at the last look's level.
        at: the first's effect at the second's level and at its other level.
    """

    effect_of: str
    level: str
    other: str
    on_level_of: str
    percent: float | None
    low: float | None
    high: float | None
    p: float
    sure: bool
    at: tuple[Conditional, Conditional]


@dataclass(frozen=True)
class Power:
    """What `seeds` seeds a cell find in 80 % of cases, and what it takes to find the smallest effect worth having."""

    factor: str
    percent: float
    seeds: int
    needed: int
    hours: float | None


@dataclass(frozen=True)
class Questions:
    """Everything that a suite's grid says of its questions; `waits` says in words why there are no answers.

    Metrics and interactions are of the runs of the last look that was taken, at its level.
    `sampling` is the share, in percent, of the variance of runs within a cell that comes from the images that were
    sampled of each, and not from training; None where runs were not measured with several sets of z.
    """

    grid: str
    cells: int
    answered: list[Comparison]
    metrics: list[MetricEffect]
    interactions: list[Crossing]
    power: list[Power]
    state: Replay | None
    waits: str | None
    sampling: float | None = None

    @property
    def last_look(self) -> Look | None:
        return self.state.taken[-1] if self.state and self.state.taken else None

    @property
    def sure_interactions(self) -> list[Crossing]:
        return [found for found in self.interactions if found.sure]

    @property
    def shown_metrics(self) -> list[Metric]:
        return list(dict.fromkeys(effect.metric for effect in self.metrics))


def questions(records: SuiteRecords) -> Questions | None:
    """The suite's questions, answered as far as its runs go; None where it asks none, or no grid has its factors."""
    asked = records.suite.questions
    for grid, cells in records.grids.items():
        if asked and set(asked) <= next(iter(cells.values())).keys():
            return _answered(records, grid, cells, asked)
    return None


def looks_of(records: SuiteRecords) -> tuple[Look, ...]:
    """When the suite's seeds are looked at, and at which level."""
    suite = records.suite
    if isinstance(suite.seeds, UntilDecided):
        return doubling_looks(suite.seeds.least, suite.seeds.most, suite.alpha)
    return one_look(len(suite.seed_list()), suite.alpha)


def _answered(records: SuiteRecords, grid: str, cells: Mapping[str, Levels], asked: list[str]) -> Questions:
    try:
        fid = grid_design(records, cells)
    except ValueError as error:
        return Questions(grid, len(cells), [], [], [], [], None, str(error))
    state = replay({factor: (fid, factor) for factor in asked}, looks_of(records), records.suite.smallest_effect)
    waits = None if state.given else f"runs of {state.seeds} seeds in each of the {len(cells)} cells of {grid}"
    compared_by = {factor: _of(records, cells, fid, factor, state) for factor in fid.factors}
    return Questions(
        grid=grid,
        cells=len(cells),
        answered=[compared_by[factor] for factor in asked],
        metrics=_metric_effects(records, cells, state) if state.taken else [],
        interactions=_crossings(compared_by, fid, state.taken[-1]) if state.taken else [],
        power=[power for f in state.effects if (power := _power(records, cells, f, state))],
        state=state,
        waits=waits,
        sampling=_sampling(records, cells, state.effects[asked[0]]) if state.taken else None,
    )


def _of(records: SuiteRecords, cells: Mapping[str, Levels], fid: Factorial, factor: str, state: Replay) -> Comparison:
    other, level = fid.factors[factor]
    treated, control = sides(cells, factor, level, other)
    separate = {only_ingredient(records, *pair) for pair in zip(treated, control, strict=True)}
    ingredient = separate.pop() if len(separate) == 1 else None
    if ingredient:
        level, other = (level_of(records.config(side[0]), ingredient) for side in (treated, control))
    given = state.given.get(factor)
    return Comparison(
        name=factor,
        level=level,
        other=other,
        ingredient=ingredient,
        treated=treated,
        control=control,
        answer=given and given.answer,
        effect=state.effects.get(factor),
        cost=step_cost(records, cells, fid.factors, factor),
        answered_at=given.seeds if given and given.seeds < state.taken[-1].seeds else None,
    )


def _crossings(named: Mapping[str, Comparison], fid: Factorial, look: Look) -> list[Crossing]:
    found = {one.factors: one for one in interactions(fid.first(look.seeds))}
    corrected = holm({factors: one.p for factors, one in found.items()})
    crossings = []
    for factors, one in found.items():
        of, by = (named[factor] for factor in factors)
        at = [
            Conditional(level, percent(effect.estimate), *percents(effect.interval()))
            for level, effect in zip((by.other, by.level), one.at, strict=True)
        ]
        p, change = corrected[factors], (percent(one.estimate), *percents(one.interval()))
        crossings.append(Crossing(of.title, of.level, of.other, by.title, *change, p, p <= look.level, (at[1], at[0])))
    return crossings


def _sampling(records: SuiteRecords, cells: Mapping[str, Levels], found: Effect) -> float | None:
    rows = [row for variant in cells for row in records.of(variant)]
    draws = [row.evaluation.metrics["fid"].draws for row in rows if row.evaluation and row.metric("fid") is not None]
    spreads = [variance(math.log(fid) for fid in fids) for fids in draws if len(fids) > 1 and None not in fids]
    return 100 * fmean(spreads) / found.spread**2 if spreads and found.spread else None


def _metric_effects(records: SuiteRecords, cells: Mapping[str, Levels], state: Replay) -> list[MetricEffect]:
    """Each question's effect on each metric; those on FID are the answers' own, and no part of the family."""
    found: dict[tuple[str, str], Effect] = {("fid", factor): e for factor, e in state.effects.items()}
    look = state.taken[-1]
    for metric in [metric for name, metric in METRICS.items() if name != "fid"]:
        try:
            runs = grid_design(records, cells, metric).first(look.seeds)
            found |= {(metric.name, factor): effect(runs, factor) for factor in state.given}
        except ValueError:
            continue  # a cell without a figure of it
    p_values = holm({key: e.p for key, e in found.items() if key[0] != "fid"})
    sure = {key: found[key].improvement for key, p in p_values.items() if p <= look.level}
    for factor, given in state.given.items():
        p_values["fid", factor] = given.answer.p_difference
        sign = {"helps": 1, "hurts": -1, None: 0}[given.answer.direction]
        sure["fid", factor] = sign if found["fid", factor].improvement == sign else 0
    return [
        _metric_effect(METRICS[name], e, p_values[name, factor], sure.get((name, factor), 0))
        for (name, factor), e in found.items()
        if e.estimate is not None
    ]


def effect_on(records: SuiteRecords, compared: Comparison, metric: Metric) -> Effect | None:
    """What a comparison's level does to a metric; None where a variant has no figure of it."""
    try:
        for cells in records.grids.values():
            if {*compared.treated, *compared.control} == cells.keys():
                return effect(grid_design(records, cells, metric), compared.name)
        return effect(pair_design(records, compared.treated[0], compared.control[0], metric), "variant")
    except ValueError:
        return None


def _metric_effect(metric: Metric, found: Effect, p: float, sign: int) -> MetricEffect:
    better = sign > 0 if sign else None
    interval = found.interval()
    if metric.scale == "log":
        return MetricEffect(metric, found.factor, percent(found.estimate), *percents(interval), p, better)
    size, (low, high) = metric.factor * found.estimate, interval or (None, None)
    bounds = [end and metric.factor * end for end in (low, high)]
    return MetricEffect(metric, found.factor, size, *bounds, p, better)


def _power(records: SuiteRecords, cells: Mapping[str, Levels], factor: str, state: Replay) -> Power | None:
    found, seeds = state.effects[factor], state.taken[-1].seeds
    if not found.spread or seeds < 2:
        return None
    level = state.taken[-1].level / len(records.suite.questions)
    needed = seeds_needed(math.log1p(records.suite.smallest_effect), found.spread, found.cells, level)
    seconds = [s for variant in cells for row in records.of(variant) if (s := _seconds(row)) is not None]
    hours = fmean(seconds) * found.cells * max(0, needed - seeds) / 3600 if seconds else None
    return Power(factor, percent(detectable(found.spread, found.cells, seeds, level)), seeds, needed, hours)


def _seconds(row: Row) -> float | None:
    """What a run took with its measurement."""
    if row.training is None or row.evaluation is None or row.evaluation.seconds is None:
        return None
    return row.training.seconds + row.evaluation.seconds

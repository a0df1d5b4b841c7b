"""The answers to a suite's questions: does this factor of the grid help, by how much, how surely, at what cost?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, median

from sagan.analysis.answers import Answer, detectable, seeds_needed
from sagan.analysis.effects import reference_levels
from sagan.analysis.factorial import Effect, Factorial, effect, interactions
from sagan.analysis.families import holm
from sagan.analysis.looks import Look, Replay, doubling_looks, one_look, replay
from sagan.analysis.metrics import METRICS, Metric
from sagan.analysis.rows import Row, SuiteRecords
from sagan.params.suites import UntilDecided

# A cost is believed where runs of one cell agree to this, as a standard deviation of the logarithm ...
AGREEMENT = 0.1
# ... and where no run's machine had more work than cores: processes that want a core, for each core.
LOAD = 1.0


@dataclass(frozen=True)
class StepCost:
    """What a level of a factor takes for a step, in percent of the other; `doubt` says why it is not to be believed."""

    percent: float
    low: float | None
    high: float | None
    doubt: str | None


@dataclass(frozen=True)
class Answered:
    """A question and what is known of it.

    Attributes:
        factor, level, other: what is asked: this level instead of the other.
        answer: None before the first look. `seeds` is how many of each cell it is of.
        percent, low, high: change of FID; the interval is None where the spread is not known.
        cost: None where no run says what its steps took.
    """

    factor: str
    level: str
    other: str
    answer: Answer | None
    seeds: int
    percent: float | None
    low: float | None
    high: float | None
    cost: StepCost | None


@dataclass(frozen=True)
class MetricEffect:
    """A factor's effect on a metric: percent where `metric.scale` is "log", else a difference in the title's unit.

    `p` is Holm's, over all metrics and questions but the first metric's. `better` says of a sure effect which way.
    """

    metric: Metric
    factor: str
    size: float
    low: float | None
    high: float | None
    p: float
    better: bool | None


@dataclass(frozen=True)
class Crossing:
    """How far the effect of one factor on FID changes with the level of another, in percent; p is Holm's."""

    factors: tuple[str, str]
    percent: float | None
    p: float
    exploratory: bool


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
    """Everything that a suite's grid says of its questions; `waits` says in words why there are no answers."""

    grid: str
    cells: int
    answered: list[Answered]
    metrics: list[MetricEffect]
    interactions: list[Crossing]
    power: list[Power]
    state: Replay | None
    looks: tuple[Look, ...]
    waits: str | None

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


def design(records: SuiteRecords, cells: Mapping[str, Mapping[str, str]], metric: Metric) -> Factorial:
    """The runs of a grid as a factorial of a metric, its second levels those that are asked for.

    Seeds are counted from 0 in the suite's order. A run that is not there, or has too few images, is left out.
    Logarithms where the metric's scale is one. ValueError as of `Factorial`.
    """
    reference = reference_levels(records, cells)
    factors = {}
    for factor, level in reference.items():
        others = [other for other in dict.fromkeys(cell[factor] for cell in cells.values()) if other != level]
        factors[factor] = (*others, level)
    places = {seed: place for place, seed in enumerate(sorted({row.seed for row in records.rows}))}
    runs = {}
    for variant, levels in cells.items():
        found = {places[row.seed]: _figure(row, metric) for row in records.of(variant) if _counts(row, metric)}
        runs[tuple(levels[factor] for factor in factors)] = found
    return Factorial(factors, runs, lower_is_better=metric.better == "lower")


def _counts(row: Row, metric: Metric) -> bool:
    return row.lost or row.metric(metric.name) is not None


def _figure(row: Row, metric: Metric) -> float | None:
    value = None if row.lost else row.metric(metric.name)
    if value is None or metric.scale == "linear":
        return value
    return math.log(value) if value > 0 else None


def _answered(records: SuiteRecords, grid: str, cells: Mapping[str, Mapping[str, str]], asked: list[str]) -> Questions:
    looks = looks_of(records)
    try:
        fid = design(records, cells, METRICS["fid"])
    except ValueError as error:
        return Questions(grid, len(cells), [], [], [], [], None, looks, str(error))
    state = replay({factor: (fid, factor) for factor in asked}, looks, records.suite.smallest_effect)
    waits = None if state.given else f"runs of {state.seeds} seeds in each of the {len(cells)} cells of {grid}"
    answered = [_of(records, cells, fid, factor, state) for factor in asked]
    effects = {factor: state.given[factor].answer.effect for factor in asked} if state.given else {}
    found = interactions(fid) if effects else []
    corrected = holm({number: interaction.p for number, interaction in enumerate(found)})
    return Questions(
        grid=grid,
        cells=len(cells),
        answered=answered,
        metrics=_metric_effects(records, cells, asked) if effects else [],
        interactions=[
            Crossing(one.factors, _percent(one.estimate), corrected[number], one.exploratory)
            for number, one in enumerate(found)
        ],
        power=[power for f, e in effects.items() if (power := _power(records, cells, f, e, state.given[f].seeds))],
        state=state,
        looks=looks,
        waits=waits,
    )


def _of(
    records: SuiteRecords, cells: Mapping[str, Mapping[str, str]], fid: Factorial, factor: str, state: Replay
) -> Answered:
    other, level = fid.factors[factor]
    given = state.given.get(factor)
    cost = _cost(records, cells, fid.factors, factor)
    if given is None:
        return Answered(factor, level, other, None, 0, None, None, None, cost)
    found = given.answer.effect
    low, high = _percents(found.interval())
    return Answered(factor, level, other, given.answer, given.seeds, _percent(found.estimate), low, high, cost)


def _percent(logarithm: float | None) -> float | None:
    return None if logarithm is None else 100 * math.expm1(logarithm)


def _percents(interval: tuple[float, float] | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (_percent(interval[0]), _percent(interval[1]))


def _metric_effects(
    records: SuiteRecords, cells: Mapping[str, Mapping[str, str]], asked: list[str]
) -> list[MetricEffect]:
    """Each question's effect on each metric; those on FID are the answers' own, and no part of the family."""
    found: dict[tuple[str, str], Effect] = {}
    for metric in METRICS.values():
        try:
            runs = design(records, cells, metric)
            found |= {(metric.name, factor): effect(runs, factor) for factor in asked}
        except ValueError:
            continue  # a cell without a figure of it
    first = {key: e.p for key, e in found.items() if key[0] == "fid"}
    p_values = holm(first) | holm({key: e.p for key, e in found.items() if key[0] != "fid"})
    return [
        _metric_effect(METRICS[name], e, p_values[name, factor], records.suite.alpha)
        for (name, factor), e in found.items()
        if e.estimate is not None
    ]


def _metric_effect(metric: Metric, found: Effect, p: float, alpha: float) -> MetricEffect:
    better = None if p > alpha or found.improvement == 0 else found.improvement > 0
    interval = found.interval()
    if metric.scale == "log":
        return MetricEffect(metric, found.factor, _percent(found.estimate), *_percents(interval), p, better)
    size, (low, high) = metric.factor * found.estimate, interval or (None, None)
    bounds = [end and metric.factor * end for end in (low, high)]
    return MetricEffect(metric, found.factor, size, *bounds, p, better)


def _power(
    records: SuiteRecords, cells: Mapping[str, Mapping[str, str]], factor: str, found: Effect, seeds: int
) -> Power | None:
    if not found.spread or seeds < 2:
        return None
    level = records.suite.alpha / len(records.suite.questions)
    needed = seeds_needed(math.log1p(records.suite.smallest_effect), found.spread, found.cells, level)
    seconds = [s for variant in cells for row in records.of(variant) if (s := _seconds(row)) is not None]
    hours = fmean(seconds) * found.cells * max(0, needed - seeds) / 3600 if seconds else None
    return Power(factor, _percent(detectable(found.spread, found.cells, seeds, level)), seeds, needed, hours)


def _seconds(row: Row) -> float | None:
    """What a run took with its measurement."""
    if row.seconds is None or row.evaluation is None or row.evaluation.seconds is None:
        return None
    return row.seconds + row.evaluation.seconds


def _cost(
    records: SuiteRecords,
    cells: Mapping[str, Mapping[str, str]],
    factors: Mapping[str, tuple[str, str]],
    factor: str,
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
    low, high = _percents(found.interval())
    load = max((median(line.load for line in row.log) for row in rows if _has_load(row)), default=0.0)
    doubt = None
    if found.spread is not None and found.spread > AGREEMENT:
        doubt = "runs of one variant disagree"
    elif load > LOAD:
        doubt = "the machine had other work"
    return StepCost(_percent(found.estimate), low, high, doubt)


def _has_load(row: Row) -> bool:
    return bool(row.log) and all(line.load is not None for line in row.log)

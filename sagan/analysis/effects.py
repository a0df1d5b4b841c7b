"""Tables of runs and snapshots to effects and answers: everything that a suite's questions ask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from sagan.analysis import budget, costs
from sagan.analysis.contrasts import (
    Contrast,
    Figures,
    Weights,
    cell_figures,
    contrast,
    effect_weights,
    figures_of,
    wins,
)
from sagan.analysis.deciding import contrasts_asked, in_grid, main_metric, row, shown, trusted, weights_of
from sagan.analysis.looks import Replay, asked_row, replay
from sagan.analysis.metrics import METRICS, Metric
from sagan.analysis.model import Answer, Design, Effect, Question, Worth
from sagan.analysis.power import seeds_needed, within


@dataclass
class Effects:
    """The rows of effects.csv, and what report.json says of the questions and the single pairs."""

    rows: list[Effect] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    pairs: list[Question] = field(default_factory=list)


@dataclass(frozen=True)
class _Asked:
    """One comparison: its runs, whose cells are those of `factors`, and what their steps cost.

    `level` is that of the deciding interval; `depends` are factors with which the question surely interacts.
    """

    design: Design
    names: tuple[str, str, str]  # question, level, instead_of
    runs: pd.DataFrame
    factors: list[str]
    weights: Weights
    cost: costs.StepCost | None
    level: float
    depends: list[str] = field(default_factory=list)

    @property
    def metric(self) -> Metric:
        return main_metric(self.design)

    def row(self, found: Contrast | None, level: float | None, widening: float = 0.0, **changes) -> Effect:
        """A row of effects.csv, of the main metric unless `changes` say another."""
        metric = METRICS[changes["metric"]] if "metric" in changes else self.metric
        empty = asked_row(self.design, *self.names, **changes)
        return row(empty, found, metric, self.design, level, widening, bool(self.depends))

    def seconds(self, step: float) -> float:
        """What the cheaper level takes for a step."""
        return round(step * self.cost.cheaper_seconds, 3)


def all_effects(
    design: Design,
    runs: pd.DataFrame,
    snapshots: pd.DataFrame,
    quiet: pd.DataFrame | None = None,
    busy: bool = False,
) -> tuple[Effects, Replay]:
    """Everything that the tables say of the suite's questions and of each variant against the baseline.

    Args:
        runs: as of results.csv, one row a run and feature space.
        snapshots: as of curves.csv, one row a run, space and step.
        quiet: as `costs` of `costs.step_costs`.
        busy: whether a machine that trained had other work.
    """
    state, made = replay(design, runs), Effects()
    spent = costs.step_costs(runs, snapshots, quiet)
    if state.look is not None and design.questions:
        _questions(design, runs, snapshots, spent, busy, state, made)
    _pairs(design, runs, snapshots, spent, busy, made)
    return made, state


def _questions(design, runs, snapshots, spent, busy, state: Replay, made: Effects) -> None:
    factors, asked, level = list(design.factors), contrasts_asked(design), state.look.level
    figures = figures_of(state.runs, factors, main_metric(design))
    seeds = set(state.runs["seed"])
    spread, others = within(figures), []
    for names in asked:
        weights = weights_of(design, list(figures), *names)
        cost = costs.cost_contrast(spent[spent["seed"].isin(seeds)], factors, weights)
        depends = sorted(state.depends_on(names[0]))
        one = _Asked(design, names, state.runs, factors, weights, cost, level / len(asked), depends)
        at_end, needed = state.answers[names[:2]], None
        if at_end.answer == "not decided" and spread and at_end.scale == "ratio":
            needed = seeds_needed(math.log1p(design.smallest_effect), spread, len(figures), one.level)
        found, at_look = contrast(figures, weights), state.answered_at.get(names[:2])
        steps = _answer(one, at_end, figures, found, needed=needed, answered_at=at_look)
        made.questions.append(_with_budgets(one, snapshots, steps, busy, made))
        made.rows += _given(one, figures, level)
        others += _others(one, runs[runs["seed"].isin(seeds)], snapshots)
    for one, found, widening, changes in others:
        made.rows.append(one.row(found, level / len(others), widening, **changes))
    made.questions = [_contradicted(found, made.rows, design) for found in made.questions]


def _pairs(design, runs, snapshots, spent, busy, made: Effects) -> None:
    """Each variant that is ranked against the baseline, of all runs at the suite's level."""
    ranked = [name for name, of in design.variants.items() if of.ranked]
    if design.baseline not in ranked:
        return
    of = runs[runs["space"] == design.space]
    for variant in (name for name in ranked if name != design.baseline):
        names = ("variant", variant, design.baseline)
        both = of[of["variant"].isin(names[1:])]
        figures = figures_of(both, ["variant"], main_metric(design))
        weights = effect_weights(list(figures), 0, variant, design.baseline)
        cost = costs.cost_contrast(spent[spent["variant"].isin(names[1:])], ["variant"], weights)
        one = _Asked(design, names, both, ["variant"], weights, cost, design.alpha / (len(ranked) - 1))
        found = trusted(contrast(figures, weights), weights)
        steps = _answer(one, one.row(found, one.level), figures, found)
        made.pairs.append(_with_budgets(one, snapshots, steps, busy, made))


def _answer(of: _Asked, effect: Effect, figures: Figures, found: Contrast | None, **more) -> Answer:
    won, pairs = wins(figures, of.weights, of.metric.better == "lower")
    known = effect.estimate is not None
    return Answer(
        effect=effect if known else None,
        why=None if known else "too few runs",
        seeds=min((len(figures[cell]) for cell in of.weights), default=0),
        lost=int(of.runs["lost"].astype(bool).sum()) if "lost" in of.runs else 0,
        won=won,
        pairs=pairs,
        depends_on=of.depends,
        error=found.error if found and known else None,
        **more,
    )


def _with_budgets(of: _Asked, snapshots, steps: Answer, busy: bool, made: Effects) -> Question:
    """The question with its answer per second; the rows of both budgets join `made`."""
    design, known = of.design, steps.effect is not None
    curves = budget.curves(of.runs, snapshots[snapshots["space"] == design.space], of.factors, of.metric)
    time, times, along = Answer(why="too few runs"), None, []
    if known:
        along = [
            of.row(found, None, budget=float(step))
            for place, step in enumerate(curves.steps[:-1])
            if (found := contrast(curves.figures(curves.y[:, place]), of.weights)) is not None
        ]
        if len(curves.steps) > 1:
            steps = _with_change(steps, of, curves.y[:, -1] - curves.y[:, -2])
        time, further = _per_second(of, curves)
        along = [steps.effect, *along, *further]
        if design.no_shorter is None and len(curves.steps) >= budget.FEWEST_SNAPSHOTS:
            times = _worth(of, curves)
    made.rows += along
    cost = of.cost.told(busy) if of.cost else None
    question, level, instead_of = of.names
    return Question(
        question=question, level=level, instead_of=instead_of, steps=steps, time=time, cost=cost, worth=times
    )


def _per_second(of: _Asked, curves: budget.Curves) -> tuple[Answer, list[Effect]]:
    """The answer where the cheaper level's last step is over, and the rows up to there."""
    if of.design.no_shorter:
        return Answer(why=of.design.no_shorter), []
    if of.cost is None:
        known = [name for name in costs.HARDWARE if name in of.runs]
        several = bool(known) and len(of.runs[known].dropna().drop_duplicates()) > 1
        return Answer(why="several machines" if several else "no step times"), []
    found = [budget.at_time(curves, of.weights, of.cost.found, float(step)) for step in curves.steps]
    if not found or isinstance(found[-1], str):
        return Answer(why=found[-1] if found else "too few snapshots"), []
    there = [(step, at) for step, at in zip(curves.steps, found, strict=True) if not isinstance(at, str)]
    levels = [None] * (len(there) - 1) + [of.level]
    rows = [
        of.row(at.found, level, at.widening, at="time", budget=of.seconds(float(step)))
        for (step, at), level in zip(there, levels, strict=True)
    ]
    last = there[-1][1]
    low, high = last.alone.interval()
    told = (shown(low, of.metric), shown(high, of.metric))
    answer = _answer(of, rows[-1], last.figures, last.found, at_this_cost=told)
    return _with_change(answer, of, last.y - there[-2][1].y) if len(there) > 1 else answer, rows


def _with_change(answer: Answer, of: _Asked, change: np.ndarray) -> Answer:
    """How far the effect moved, from differences within runs: both snapshots are of the same ones."""
    runs = of.runs.assign(change=change)
    if "lost" in runs:
        runs = runs[~runs["lost"].astype(bool)]
    found = contrast(cell_figures(runs, of.factors, "change"), of.weights)
    if found is None:
        return answer
    low, high = found.interval()
    told = (shown(low, of.metric), shown(high, of.metric))
    return answer.model_copy(update={"changes": told, "still_changing": low > 0 or high < 0})


def _worth(of: _Asked, curves: budget.Curves) -> Worth | None:
    found = contrast(curves.figures(curves.y[:, -1]), of.weights)
    times = found and budget.worth(curves, of.weights, found.estimate)
    if not times:
        return None
    ends = [budget.worth(curves, of.weights, end) for end in found.interval()]
    low, high = (None, None) if None in ends else sorted(ends)
    return Worth(times=times, low=low, high=high)


def _given(of: _Asked, figures: Figures, level: float) -> list[Effect]:
    """The effect at each level of each other factor, simultaneous over all such rows of the suite."""
    factors = of.design.factors
    settings = [(name, at) for name in factors if name != of.names[0] for at in factors[name].levels]
    family, rows = len(settings) * len(contrasts_asked(of.design)), []
    for name, at in settings:
        cells = [cell for cell in figures if cell[of.factors.index(name)] == at]
        weights = weights_of(of.design, cells, *of.names)
        found = trusted(contrast(figures, weights), weights)
        if found is not None:
            rows.append(of.row(found, level / family, given=f"{name}={at}"))
    return rows


def _others(of: _Asked, runs, snapshots) -> list[tuple[_Asked, Contrast, float, dict]]:
    """The same contrast in other metrics and feature spaces, per step; and per second in other spaces."""
    found, design = [], of.design
    for space in design.spaces:
        there = in_grid(runs, design, space)
        for name in METRICS:
            if name not in there or (space, name) == (design.space, design.metric):
                continue
            one = trusted(contrast(figures_of(there, of.factors, METRICS[name]), of.weights), of.weights)
            if one is not None:
                found.append((of, one, 0.0, {"metric": name, "space": space}))
        if space != design.space and of.cost is not None and design.no_shorter is None:
            curves = budget.curves(there, snapshots[snapshots["space"] == space], of.factors, of.metric)
            at = budget.at_time(curves, of.weights, of.cost.found, float(curves.steps[-1])) if len(curves.steps) else ""
            if not isinstance(at, str):
                changes = {"space": space, "at": "time", "budget": of.seconds(float(curves.steps[-1]))}
                found.append((of, at.found, at.widening, changes))
    return found


def _contradicted(found: Question, rows: Sequence[Effect], design: Design) -> Question:
    """With the further spaces whose deciding interval is on the other side."""
    key = (found.question, found.level, design.metric, "")
    others = [
        other
        for other in rows
        if (other.question, other.level, other.metric, other.given) == key and other.space != design.space
    ]

    def told(answer: Answer) -> Answer:
        way = answer.effect and answer.effect.direction
        if not way:
            return answer
        against = [o.space for o in others if o.at == answer.effect.at and o.direction not in (None, way)]
        return answer.model_copy(update={"contradicted_by": against})

    return found.model_copy(update={"steps": told(found.steps), "time": told(found.time)})

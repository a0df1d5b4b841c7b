"""Tables of runs and snapshots to effects and answers: everything that a suite's questions ask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from sagan.analysis import budget, costs
from sagan.analysis.contrasts import Contrast, Weights, cell_figures, contrast, effect_weights, wins
from sagan.analysis.deciding import FEWEST_SEEDS, contrasts_asked, in_grid, percent, row, weights_of
from sagan.analysis.looks import Replay, asked_row, replay
from sagan.analysis.metrics import METRICS, Metric, metric_of
from sagan.analysis.model import Answer, Design, Effect, Question, Worth
from sagan.analysis.power import seeds_needed, within


@dataclass
class Effects:
    """The rows of effects.csv, and what report.json says of the questions and the single pairs."""

    rows: list[Effect] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    pairs: list[Question] = field(default_factory=list)


@dataclass(frozen=True)
class _Side:
    """One comparison: its runs, whose cells are those of `factors`, and what their steps cost."""

    question: str
    level: str
    instead_of: str
    runs: pd.DataFrame
    factors: list[str]
    weights: Weights
    cost: costs.StepCost | None


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
    if state.look is not None:
        _questions(design, runs, snapshots, spent, busy, state, made)
    _pairs(design, runs, snapshots, spent, busy, made)
    return made, state


def _questions(design, runs, snapshots, spent, busy, state: Replay, made: Effects) -> None:
    metric, factors = metric_of(design.metric), list(design.factors)
    asked, level = contrasts_asked(design), state.look.level
    figures = cell_figures(state.runs, factors, metric.name, metric.scale == "log", metric.better == "lower")
    seeds = set(state.runs["seed"])
    of_looks = runs[runs["seed"].isin(seeds)]
    depending = {
        name: sorted(
            {
                one.by if name == one.question else one.question
                for one in state.interactions
                if one.sure and name in (one.question, one.by)
            }
        )
        for name in factors
    }
    others: list[tuple[Effect, Contrast, Metric, float]] = []
    for question, at_level, instead_of in asked:
        weights = weights_of(design, list(figures), question, at_level, instead_of)
        cost = costs.cost_contrast(spent[spent["seed"].isin(seeds)], factors, weights)
        side = _Side(question, at_level, instead_of, state.runs, factors, weights, cost)
        at_end = state.answers[question, at_level]
        spread, needed = within(figures), None
        if at_end.answer == "not decided" and spread:
            size = math.log1p(design.smallest_effect)
            needed = seeds_needed(size, spread, len(figures), level / len(asked))
        steps = _answer(at_end, figures, weights, metric, state.runs, depending[question], needed)
        steps = steps.model_copy(update={"answered_at": state.answered_at.get((question, at_level))})
        found = _with_budgets(design, side, snapshots, level / len(asked), steps, busy, made, depending[question])
        made.questions.append(found)
        made.rows += _given(design, side, metric, figures, level)
        others += _others(design, of_looks, snapshots, side)
    for empty, found, of, widening in others:
        made.rows.append(row(empty, found, of, design, level / len(others), widening))
    made.questions = [_contradicted(found, made.rows, design) for found in made.questions]


def _pairs(design, runs, snapshots, spent, busy, made: Effects) -> None:
    """Each variant that is ranked against the baseline, of all runs at the suite's level."""
    metric, space = metric_of(design.metric), design.space
    others = [name for name, of in design.variants.items() if name != design.baseline and space not in of.left_out]
    if design.variants[design.baseline].left_out.get(space):
        return
    of = runs[runs["space"] == space]
    for variant in others:
        both = of[of["variant"].isin([variant, design.baseline])]
        figures = cell_figures(both, ["variant"], metric.name, metric.scale == "log", metric.better == "lower")
        weights = effect_weights(list(figures), 0, variant, design.baseline)
        found = contrast(figures, weights)
        found = found if found and found.fewest >= FEWEST_SEEDS else None
        cost = costs.cost_contrast(spent[spent["variant"].isin([variant, design.baseline])], ["variant"], weights)
        side = _Side("variant", variant, design.baseline, both, ["variant"], weights, cost)
        family = design.alpha / len(others)
        at_end = row(asked_row(design, "variant", variant, design.baseline), found, metric, design, family)
        steps = _answer(at_end, figures, weights, metric, both, [], None)
        made.pairs.append(_with_budgets(design, side, snapshots, family, steps, busy, made, []))


def _answer(effect: Effect, figures, weights, metric: Metric, runs: pd.DataFrame, depends: list[str], needed) -> Answer:
    counted = [cell for cell, weight in weights.items() if weight]
    won, pairs = wins(figures, weights, metric.better == "lower") if counted else (0, 0)
    return Answer(
        effect=None if effect.estimate is None else effect,
        why="too few runs" if effect.estimate is None else None,
        seeds=min((len(figures[cell]) for cell in counted), default=0),
        lost=int(runs["lost"].astype(bool).sum()) if "lost" in runs else 0,
        won=won,
        pairs=pairs,
        depends_on=depends,
        needed=needed,
    )


def _with_budgets(design, side: _Side, snapshots, level, steps: Answer, busy, made: Effects, depends) -> Question:
    """The question with its answer per second, and the rows of both along the budget."""
    metric = metric_of(design.metric)
    of = budget.curves(side.runs, snapshots[snapshots["space"] == design.space], side.factors, metric)
    if steps.effect is not None:
        made.rows.append(steps.effect)
    named = (side.question, side.level, side.instead_of)
    enough = steps.effect is not None
    for place in range(len(of.steps) - 1) if enough else ():
        empty = asked_row(design, *named, budget=float(of.steps[place]))
        made.rows.append(row(empty, contrast(of.figures(of.y[:, place]), side.weights), metric, design, None))
    if enough and len(of.steps) > 1:
        steps = _with_change(steps, of, of.y[:, -1] - of.y[:, -2], side.weights, metric)
    time, further = _per_second(design, side, of, level, depends, enough)
    made.rows += further
    times = None
    if enough and design.no_shorter is None and len(of.steps) >= budget.FEWEST_SNAPSHOTS:
        times = _worth(of, side.weights, metric)
    cost = side.cost.told(busy) if side.cost else None
    return Question(
        **dict(zip(("question", "level", "instead_of"), named, strict=True)),
        steps=steps,
        time=time,
        cost=cost,
        worth=times,
    )


def _per_second(design, side: _Side, of: budget.Curves, level, depends, enough: bool) -> tuple[Answer, list[Effect]]:
    metric, rows, last, before = metric_of(design.metric), [], None, None
    if not enough:
        return Answer(why="too few runs"), []
    if design.no_shorter:
        return Answer(why=design.no_shorter), []
    if side.cost is None:
        known = side.runs.dropna(subset=[name for name in costs.HARDWARE if name in side.runs])
        several = len(known.groupby([name for name in costs.HARDWARE if name in side.runs] or ["space"])) > 1
        return Answer(why="several machines" if several else "no step times"), []
    cheap_seconds = side.cost.cheaper_seconds
    for place, step in enumerate(of.steps):
        found = budget.at_time(of, side.weights, side.cost.found, float(step))
        is_last = place == len(of.steps) - 1
        if isinstance(found, str):
            if is_last:
                return Answer(why=found), rows
            continue
        empty = asked_row(
            design, side.question, side.level, side.instead_of, at="time", budget=round(float(step) * cheap_seconds, 3)
        )
        rows.append(row(empty, found.found, metric, design, level if is_last else None, found.widening, bool(depends)))
        before, last = last, found
    answer = _answer(rows[-1], last.figures, side.weights, metric, side.runs, depends, None)
    low, high = last.alone.interval()
    answer = answer.model_copy(update={"at_this_cost": (_shown(low, metric), _shown(high, metric))})
    if before is not None:
        answer = _with_change(answer, of, last.y - before.y, side.weights, metric)
    return answer, rows


def _with_change(answer: Answer, of: budget.Curves, change: np.ndarray, weights: Weights, metric: Metric) -> Answer:
    """How far the effect moved, from differences within runs: both snapshots are of the same ones."""
    runs = of.runs.assign(change=change)
    if "lost" in runs:
        runs = runs[~runs["lost"].astype(bool)].drop(columns="lost")
    found = contrast(cell_figures(runs, of.factors, "change", False, True), weights)
    if found is None:
        return answer
    low, high = found.interval()
    told = (_shown(low, metric), _shown(high, metric))
    return answer.model_copy(update={"changes": told, "still_changing": low > 0 or high < 0})


def _worth(of: budget.Curves, weights: Weights, metric: Metric) -> Worth | None:
    found = contrast(of.figures(of.y[:, -1]), weights)
    times = found and budget.worth(of, weights, found.estimate)
    if not times:
        return None
    ends = [budget.worth(of, weights, end) for end in found.interval()]
    known = sorted(end for end in ends if end is not None)
    return Worth(times=times, low=known[0] if len(known) == 2 else None, high=known[-1] if len(known) == 2 else None)


def _given(design: Design, side: _Side, metric: Metric, figures, level: float) -> list[Effect]:
    """The effect at each level of each other factor, simultaneous over all such rows of the suite."""
    names = list(design.factors)
    settings = [(name, of) for name in names if name != side.question for of in design.factors[name].levels]
    family = len(settings) * len(contrasts_asked(design))
    rows = []
    for name, of in settings:
        cells = [cell for cell in figures if cell[names.index(name)] == of]
        found = contrast(figures, weights_of(design, cells, side.question, side.level, side.instead_of))
        empty = asked_row(design, side.question, side.level, side.instead_of, given=f"{name}={of}")
        if found is not None:
            rows.append(row(empty, found, metric, design, level / family))
    return rows


def _others(design, runs, snapshots, side: _Side) -> list[tuple[Effect, Contrast, Metric, float]]:
    """The same contrast in other metrics and feature spaces, per step; and per second in other spaces."""
    found, named = [], (side.question, side.level, side.instead_of)
    for space in design.spaces:
        of = in_grid(runs, design, space)
        for metric in METRICS.values():
            if metric.name not in of or (space, metric.name) == (design.space, design.metric):
                continue
            figures = cell_figures(of, side.factors, metric.name, metric.scale == "log", metric.better == "lower")
            one = contrast(figures, side.weights)
            if one is not None:
                found.append((asked_row(design, *named, metric=metric.name, space=space), one, metric, 0.0))
        if space != design.space and side.cost is not None and design.no_shorter is None:
            metric = metric_of(design.metric)
            curves = budget.curves(of, snapshots[snapshots["space"] == space], side.factors, metric)
            if len(curves.steps) and not isinstance(
                one := budget.at_time(curves, side.weights, side.cost.found, float(curves.steps[-1])), str
            ):
                empty = asked_row(
                    design,
                    *named,
                    space=space,
                    at="time",
                    budget=round(float(curves.steps[-1]) * side.cost.cheaper_seconds, 3),
                )
                found.append((empty, one.found, metric, one.widening))
    return found


def _contradicted(found: Question, rows: Sequence[Effect], design: Design) -> Question:
    """With the further spaces whose deciding interval is on the other side."""

    def spaces(answer: Answer) -> list[str]:
        way = answer.effect and answer.effect.direction
        return [
            other.space
            for other in rows
            if way
            and (other.question, other.level, other.metric, other.at, other.given)
            == (found.question, found.level, design.metric, answer.effect.at, "")
            and other.space != design.space
            and other.direction not in (None, way)
        ]

    return found.model_copy(
        update={
            name: of.model_copy(update={"contradicted_by": spaces(of)})
            for name, of in (("steps", found.steps), ("time", found.time))
        }
    )


def _shown(value: float, metric: Metric) -> float:
    return percent(value) if metric.scale == "log" else value

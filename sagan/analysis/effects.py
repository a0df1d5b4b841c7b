"""Tables of runs and snapshots to effects and answers: everything that a suite's questions ask."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sagan.analysis import budget
from sagan.analysis.contrasts import Contrast, Figures, contrast, figures_of, pairs_of, shown
from sagan.analysis.deciding import Asked, Replay, in_grid, replay
from sagan.analysis.metrics import METRICS
from sagan.analysis.model import Answer, Cost, Design, Effect, Question, Worth
from sagan.analysis.power import seeds_needed, within
from sagan.analysis.words import sentence


@dataclass
class Effects:
    """The rows of effects.csv, what report.json says of the questions and the single pairs, and the looks taken."""

    design: Design
    rows: list[Effect]
    questions: list[Question]
    pairs: list[Question]
    state: Replay

    @property
    def figures(self) -> Figures:
        """By cell of the grid, of the last look; none where nothing is asked."""
        return next((asked.figures for asked, *_ in self.state.answers.values()), {})

    def sentences(self) -> list[str]:
        """Each question's answers in a line."""
        return [sentence(question, self.design) for question in self.questions]


def all_effects(
    design: Design, runs: pd.DataFrame, snapshots: pd.DataFrame, quiet: pd.DataFrame | None = None, busy: bool = False
) -> Effects:
    """Everything that the tables say of the suite's questions and of each variant against the baseline.

    Args:
        runs: as of results.csv, one row a run and feature space.
        snapshots: as of curves.csv, one row a run, space and step.
        quiet: as of `budget.step_costs`.
        busy: whether a machine that trained had other work.
    """
    made = Effects(design, [], [], [], replay(design, runs))
    spent = budget.step_costs(runs, snapshots, quiet)
    _questions(made, design, runs, snapshots, spent, busy)
    of = runs[runs["space"] == design.space]
    ranked = [name for name in design.variants if name not in design.unranked]
    for variant in ranked if design.baseline in ranked else []:
        if variant != design.baseline:
            names = ("variant", variant, design.baseline)
            both = of[of["variant"].isin(names[1:])]
            pair = Asked(design, names, ["variant"], both, design.alpha / (len(ranked) - 1))
            effect = pair.row(contrast(pair.figures, pair.weights), pair.share)
            question, rows = _at_all_budgets(pair, effect, {}, snapshots, spent, busy)
            made.pairs.append(question)
            made.rows += rows
    return made


def _questions(made: Effects, design: Design, runs, snapshots, spent, busy: bool) -> None:
    """The rows and answers of the questions, of the runs of the last look."""
    others, look = [], made.state.look
    there = runs[runs["seed"].isin(made.state.runs["seed"])]
    for asked, effect, answered_at in made.state.answers.values():
        told, spread = {"answered_at": answered_at}, within(asked.figures)
        if effect.answer == "not decided" and spread and effect.scale == "ratio":
            size = math.log1p(design.smallest_effect)
            told["needed"] = seeds_needed(size, spread, len(asked.figures), asked.share)
        question, rows = _at_all_budgets(asked, effect, told, snapshots, spent, busy)
        made.questions.append(question)
        made.rows += [*rows, *_given(asked, look.level)]
        others += _others(asked, there, snapshots, _cost(asked, spent))
    further = [asked.row(found, look.level / len(others), wide, **where) for asked, found, wide, where in others]
    made.rows += further
    made.questions = [_contradicted(question, further, design) for question in made.questions]


def _cost(of: Asked, spent: pd.DataFrame) -> budget.StepCost | None:
    theirs = spent["variant"].isin(of.runs["variant"]) & spent["seed"].isin(of.runs["seed"])
    return budget.cost_contrast(spent[theirs], of.factors, of.weights)


def _at_all_budgets(
    of: Asked, effect: Effect, told: dict, snapshots, spent, busy: bool
) -> tuple[Question, list[Effect]]:
    """The question with both answers, and the rows of all budgets: the end, the snapshots before it, equal time."""
    design, cost = of.design, _cost(of, spent)
    curves = budget.curves(of.runs, snapshots[snapshots["space"] == design.space], of.factors, design.main)
    ends = [contrast(curves.figures(y), of.weights) for y in curves.y.T]
    rows, time, worth = [], Answer(why="too few runs"), None
    steps = _answer(of, effect, contrast(of.figures, of.weights), of.figures, **told)
    if steps.effect:
        if len(curves.steps) > 1:
            steps = _with_change(steps, of, curves.y[:, -1] - curves.y[:, -2])
        along = [
            of.row(end, None, budget=float(step)) for step, end in zip(curves.steps[:-1], ends, strict=False) if end
        ]
        time, later = _per_second(of, curves, cost)
        rows = [effect, *along, *later]
        if design.no_shorter is None and len(ends) >= budget.FEWEST_SNAPSHOTS and ends[-1]:
            worth = _worth(of, curves, ends[-1])
    if cost:
        ratio, low, high = map(math.exp, (cost.found.estimate, *cost.found.interval()))
        cost = Cost(ratio=ratio, low=low, high=high, machine=cost.machine, busy=busy)
    names = dict(zip(("question", "level", "instead_of"), of.names, strict=True))
    return Question(**names, steps=steps, time=time, cost=cost, worth=worth), rows


def _answer(of: Asked, effect: Effect, found: Contrast | None, figures, **more) -> Answer:
    pairs = [(y, z) for cells in pairs_of(figures, of.weights) for y in cells[0] for z in cells[1]]
    sign = of.design.main.sign
    return Answer(
        effect=effect if found else None,
        why=None if found else "too few runs",
        seeds=min((len(figures[cell]) for cell in of.weights), default=0),
        lost=int(of.runs["lost"].astype(bool).sum()) if "lost" in of.runs else 0,
        won=sum(int(sign * y < sign * z) for y, z in pairs),
        pairs=len(pairs),
        depends_on=of.depends,
        error=found.error if found else None,
        **more,
    )


def _per_second(of: Asked, curves: budget.Curves, cost: budget.StepCost | None) -> tuple[Answer, list[Effect]]:
    """The answer where the cheaper level's last step is over, and the rows up to there."""
    if of.design.no_shorter:
        return Answer(why=of.design.no_shorter), []
    if cost is None:
        known = [name for name in budget.HARDWARE if name in of.runs]
        several = bool(known) and len(of.runs[known].dropna().drop_duplicates()) > 1
        return Answer(why="several machines" if several else "no step times"), []
    found = [budget.at_time(curves, of.weights, cost.found, float(step)) for step in curves.steps]
    if not found or isinstance(found[-1], str):
        return Answer(why=found[-1] if found else "too few snapshots"), []
    there = [(step, at) for step, at in zip(curves.steps, found, strict=True) if not isinstance(at, str)]
    rows = [
        of.row(at.found, of.share if at is found[-1] else None, at.widening, at="time", budget=_seconds(cost, step))
        for step, at in there
    ]
    last = found[-1]
    told = tuple(shown(end, of.design.main) for end in last.alone.interval())
    answer = _answer(of, rows[-1], last.found, curves.figures(last.y), at_this_cost=told)
    return _with_change(answer, of, last.y - there[-2][1].y) if len(there) > 1 else answer, rows


def _seconds(cost: budget.StepCost, step: float) -> float:
    """What the cheaper level takes for a step."""
    return round(float(step) * cost.cheaper_seconds, 3)


def _with_change(answer: Answer, of: Asked, change: np.ndarray) -> Answer:
    """How far the effect moved, from differences within runs: both snapshots are of the same ones."""
    there = ~of.runs["lost"].astype(bool) if "lost" in of.runs else np.ones(len(change), bool)
    found = contrast(figures_of(of.runs[there], of.factors, of.design.main, change[there]), of.weights)
    if found is None:
        return answer
    low, high = found.interval()
    told = (shown(low, of.design.main), shown(high, of.design.main))
    return answer.model_copy(update={"changes": told, "still_changing": low > 0 or high < 0})


def _worth(of: Asked, curves: budget.Curves, end: Contrast) -> Worth | None:
    times = [budget.worth(curves, of.weights, effect) for effect in (end.estimate, *end.interval())]
    if not times[0]:
        return None
    low, high = (None, None) if None in times else sorted(times[1:])
    return Worth(times=times[0], low=low, high=high)


def _given(of: Asked, level: float) -> Iterator[Effect]:
    """The effect at each level of each other factor, simultaneous over all such rows of the suite."""
    factors = of.design.factors
    settings = [(name, at) for name in factors if name != of.names[0] for at in factors[name].levels]
    share = level / (len(settings) * len(of.design.contrasts)) if settings else level
    for name, at in settings:
        weights = of.weights_over([cell for cell in of.figures if cell[of.factors.index(name)] == at])
        if found := contrast(of.figures, weights):
            yield of.row(found, share, given=f"{name}={at}")


def _others(of: Asked, runs, snapshots, cost) -> Iterator[tuple[Asked, Contrast, float, dict]]:
    """The same contrast in other metrics and feature spaces, per step; and per second in other spaces."""
    design = of.design
    for space in design.spaces:
        there = in_grid(runs, design, space)
        for name, metric in METRICS.items():
            is_other = name in there and (space, name) != (design.space, design.metric)
            if is_other and (found := contrast(figures_of(there, of.factors, metric), of.weights)):
                yield of, found, 0.0, {"metric": name, "space": space}
        if space != design.space and cost is not None and design.no_shorter is None:
            curves = budget.curves(there, snapshots[snapshots["space"] == space], of.factors, design.main)
            last = float(curves.steps[-1]) if len(curves.steps) else 0.0
            at = budget.at_time(curves, of.weights, cost.found, last) if last else ""
            if not isinstance(at, str):
                where = {"space": space, "at": "time", "budget": _seconds(cost, last)}
                yield of, at.found, at.widening, where


def _contradicted(question: Question, rows: list[Effect], design: Design) -> Question:
    """With the further spaces whose deciding interval is on the other side."""
    key = (question.question, question.level, design.metric)
    others = [row for row in rows if (row.question, row.level, row.metric) == key and row.direction]

    def told(answer: Answer) -> Answer:
        if not (effect := answer.effect) or not effect.direction:
            return answer
        against = [row.space for row in others if row.at == effect.at and row.direction != effect.direction]
        return answer.model_copy(update={"contradicted_by": against})

    return question.model_copy(update={"steps": told(question.steps), "time": told(question.time)})

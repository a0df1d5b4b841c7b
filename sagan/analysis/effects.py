"""Tables of runs and snapshots to effects and answers: everything that a suite's questions ask."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sagan.analysis import budget
from sagan.analysis.contrasts import Asked, Contrast, Replay, contrast, figures_of, in_grid, pairs_of, replay, shown
from sagan.analysis.model import Answer, Cost, Design, Effect, Question
from sagan.analysis.power import seeds_needed, within
from sagan.analysis.words import sentence
from sagan.metrics.table import METRICS


@dataclass
class Effects:
    """The rows of effects.csv, what report.json says of the questions and the single pairs, and the looks taken."""

    design: Design
    rows: list[Effect]
    questions: list[Question]
    pairs: list[Question]
    state: Replay

    def sentences(self) -> list[str]:
        """Each question's answers in a line."""
        return [sentence(question, self.design) for question in self.questions]


def all_effects(
    design: Design, runs: pd.DataFrame, snapshots: pd.DataFrame, quiet: pd.DataFrame | None = None
) -> Effects:
    """Everything that the tables (see `tables.Tables`) say of the suite's questions and of each variant against the
    baseline; `quiet`: as of `budget.step_costs`."""
    made = Effects(design, [], [], [], state := replay(design, runs))
    level = state.look.level if state.look else min([design.alpha, *(look.level for look in design.looks)])
    spent = budget.step_costs(runs, snapshots, quiet)
    _questions(made, runs, snapshots, spent)
    of = runs[(runs["space"] == design.space) & ~runs["variant"].isin(design.unranked)]
    others = [name for name in design.variants if name not in (design.baseline, *design.unranked)]
    for variant in others if design.baseline not in design.unranked else []:
        names = ("variant", variant, design.baseline)
        both = of[of["variant"].isin(names[1:])]
        pair = Asked(design, names, ["variant"], both, design.main, level / len(others))
        cost = budget.cost_contrast(pair, spent)
        question, rows = _at_all_budgets(pair, pair.row(pair.found, pair.share), {}, [], snapshots, cost)
        made.pairs.append(question)
        made.rows += rows
    return made


def _questions(made: Effects, runs: pd.DataFrame, snapshots: pd.DataFrame, spent: pd.DataFrame) -> None:
    """The rows and answers of the questions, of the runs of the last look."""
    design, look, others = made.design, made.state.look, []
    there = runs[runs["seed"].isin(made.state.runs["seed"])]
    costs = {names: budget.cost_contrast(asked, spent) for names, (asked, *_) in made.state.answers.items()}
    for names, (asked, *_) in made.state.answers.items():
        others += _others(asked, there, snapshots, costs[names])
    further = [of.row(found, look.level / len(others), widening, **where) for of, found, widening, where in others]
    for names, (asked, effect, answered_at) in made.state.answers.items():
        told, spread = {"answered_at": answered_at}, within(asked.figures)
        if effect.answer == "not decided" and spread and effect.scale == "ratio":
            size = math.log1p(design.smallest_effect)
            told["needed"] = seeds_needed(size, spread, len(asked.weights), asked.share)
        named = [row for row in further if (row.question, row.level, row.metric) == (*names[:2], design.metric)]
        question, rows = _at_all_budgets(asked, effect, told, named, snapshots, costs[names])
        made.questions.append(question)
        made.rows += [*rows, *_given(asked, look.level)]
    made.rows += further


def _at_all_budgets(
    of: Asked, effect: Effect, told: dict, others: list[Effect], snapshots: pd.DataFrame, cost: budget.StepCost | None
) -> tuple[Question, list[Effect]]:
    """The question with both answers, and the rows of all budgets: the end, the snapshots before it, equal time;
    `others` is the same in further feature spaces."""
    curves = budget.curves(of.runs, snapshots, of.factors, of.metric)
    ends = [contrast(curves.figures(y), of.weights) for y in curves.y.T]
    rows, time, worth = [], Answer(why="too few runs"), None
    if of.found:
        before = zip(curves.steps[:-1], ends, strict=False)
        rows = [effect, *(of.row(end, None, budget=float(step)) for step, end in before if end)]
        time, later = _per_second(of, curves, cost, others)
        rows += later
        if len(curves.steps) > 1:
            told |= _change(of, curves.y[:, -1] - curves.y[:, -2])
            if of.design.no_shorter is None and ends[-1]:
                times = [budget.worth(curves, of.weights, by) for by in (ends[-1].estimate, *ends[-1].interval())]
                low, high = (None, None) if None in times else sorted(times[1:])
                worth = {"times": times[0], "low": low, "high": high} if times[0] else None
    steps = _answer(of, effect, of.found, of.figures, others, **told)
    if cost:
        ratio, low, high = map(math.exp, (cost.found.estimate, *cost.found.interval()))
        cost = Cost(ratio=ratio, low=low, high=high, machine=cost.machine)
    return Question(**of.named, steps=steps, time=time, cost=cost, worth=worth), rows


def _answer(of: Asked, effect: Effect, found: Contrast | None, figures, others: list[Effect], **more) -> Answer:
    pairs = [(y, z) for cells in pairs_of(figures, of.weights) for y in cells[0] for z in cells[1]]
    sign, ways = of.metric.sign, {"helps", "hurts"}
    return Answer(
        effect=effect if found else None,
        why=None if found else "too few runs",
        lost=int(of.runs["lost"].sum()),
        won=sum(int(sign * y < sign * z) for y, z in pairs),
        pairs=len(pairs),
        contradicted_by=[o.space for o in others if o.at == effect.at and {o.direction, effect.direction} == ways],
        depends_on=of.depends,
        error=found.error if found else None,
        **more,
    )


def _per_second(
    of: Asked, curves: budget.Curves, cost: budget.StepCost | None, others: list[Effect]
) -> tuple[Answer, list[Effect]]:
    """The answer where the cheaper level's last step is over, and the rows up to there."""
    if of.design.no_shorter:
        return Answer(why=of.design.no_shorter), []
    if cost is None:
        several = len(of.runs[budget.HARDWARE].dropna().drop_duplicates()) > 1
        return Answer(why="several machines" if several else "no step times"), []
    found = [(cost.seconds(step), budget.at_time(curves, of.weights, cost.found, step)) for step in curves.steps]
    last = found[-1][1] if found else "too few snapshots"
    if isinstance(last, str):
        return Answer(why=last), []
    there = [(seconds, at) for seconds, at in found if not isinstance(at, str)]
    rows = [
        of.row(at.found, of.share if at is last else None, at.widening, at="time", budget=seconds)
        for seconds, at in there
    ]
    told = _change(of, last.y - there[-2][1].y) if len(there) > 1 else {}
    told["at_this_cost"] = [shown(end, of.metric) for end in last.alone.interval()]
    return _answer(of, rows[-1], last.found, curves.figures(last.y), others, **told), rows


def _change(of: Asked, change: np.ndarray) -> dict:
    """How far the effect moved, from differences within runs: both snapshots are of the same ones."""
    there = ~of.runs["lost"].to_numpy(bool)
    found = contrast(figures_of(of.runs[there], of.factors, of.metric, change[there]), of.weights)
    if found is None:
        return {}
    low, high = found.interval()
    return {"changes": (shown(low, of.metric), shown(high, of.metric)), "still_changing": low > 0 or high < 0}


def _given(of: Asked, level: float) -> Iterator[Effect]:
    """The effect at each level of each other factor, simultaneous over all such rows of the suite."""
    factors = of.design.factors
    family = sum(len(factors[name].levels) for asked in of.design.contrasts for name in factors if name != asked[0])
    for place, (name, factor) in enumerate(factors.items()):
        for at in factor.levels if name != of.names[0] else ():
            weights = of.weights_over([cell for cell in of.figures if cell[place] == at])
            if (found := contrast(of.figures, weights)) and found.error:
                yield of.row(found, level / family, given=f"{name}={at}")


def _others(
    of: Asked, runs: pd.DataFrame, snapshots: pd.DataFrame, cost: budget.StepCost | None
) -> Iterator[tuple[Asked, Contrast, float, dict]]:
    """The same contrast in other metrics and feature spaces, per step; and per second in other spaces."""
    design = of.design
    for space in design.spaces:
        there = in_grid(runs, design, space)
        for name, metric in METRICS.items():
            other = replace(of, runs=there, metric=metric)
            is_other = name in there and (space, name) != (design.space, design.metric)
            if is_other and other.found:
                yield other, other.found, 0.0, {}
        curves = budget.curves(there, snapshots, of.factors, of.metric)
        if space != design.space and cost is not None and design.no_shorter is None and len(curves.steps):
            at = budget.at_time(curves, of.weights, cost.found, curves.steps[-1])
            if not isinstance(at, str):
                where = {"at": "time", "budget": cost.seconds(curves.steps[-1])}
                yield replace(of, runs=there), at.found, at.widening, where

"""Tables of runs and snapshots to effects and answers: everything that a suite's questions ask."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from sagan.analysis import budget
from sagan.analysis.contrasts import Asked, Contrast, Replay, contrast, figures_of, in_grid, pairs_of, replay, shown
from sagan.analysis.model import Answer, Cost, Design, Effect, Question
from sagan.analysis.spreads import seeds_needed, within
from sagan.analysis.words import sentence
from sagan.metrics.table import METRICS


@dataclass
class Effects:
    """The rows of effects.csv, what report.json says of the questions and the single pairs, the looks taken, and what a
    step of each run costs (`budget.step_costs`)."""

    design: Design
    state: Replay
    costs: pd.DataFrame
    rows: list[Effect] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    pairs: list[Question] = field(default_factory=list)

    def sentences(self) -> list[str]:
        return [sentence(question, self.design) for question in self.questions]


def all_effects(
    design: Design, runs: pd.DataFrame, snapshots: pd.DataFrame, quiet: pd.DataFrame | None = None
) -> Effects:
    """Everything that the tables (see `tables.Tables`) say of the suite's questions and of each variant against the
    baseline; `quiet`: as of `budget.step_costs`."""
    made = Effects(design, state := replay(design, runs), budget.step_costs(runs, snapshots, quiet))
    # The questions, of the runs of the last look.
    there = runs[runs["seed"].isin(state.runs["seed"])]
    others = [row for asked, *_ in state.answers.values() for row in _others(asked, there, snapshots, made.costs)]
    further = [of.row(found, state.look.level / len(others), more, **where) for of, found, more, where in others]
    for asked, effect, answered_at in state.answers.values():
        told, spread = {"answered_at": answered_at}, within(asked.figures)
        if effect.answer == "not decided" and spread and effect.scale == "ratio":
            size = math.log1p(design.smallest_effect)
            told["needed"] = seeds_needed(size, spread, len(asked.weights), asked.share)
        same = [row for row in further if (row.question, row.level, row.metric) == (*asked.names[:2], design.metric)]
        made.questions.append(_at_all_budgets(made, asked, effect, snapshots, same, **told))
        made.rows += _given(asked, state.look.level)
    made.rows += further
    # Each variant against the baseline.
    level = state.look.level if state.look else min([design.alpha, *(look.level for look in design.looks)])
    of = runs[(runs["space"] == design.space) & ~runs["variant"].isin(design.unranked)]
    variants = [name for name in design.variants if name not in (design.baseline, *design.unranked)]
    for variant in variants if design.baseline not in design.unranked else []:
        names = ("variant", variant, design.baseline)
        both = of[of["variant"].isin(names[1:])]
        pair = Asked(design, names, ["variant"], both, design.main, level / len(variants))
        made.pairs.append(_at_all_budgets(made, pair, pair.row(pair.found, pair.share), snapshots, []))
    return made


def _at_all_budgets(
    made: Effects, of: Asked, effect: Effect, snapshots: pd.DataFrame, others: list[Effect], **told
) -> Question:
    """The question with both answers, beside rows of all budgets; `others` is the same in further feature spaces."""
    curves, cost = budget.curves(of.runs, snapshots, of.factors, of.metric), budget.cost_contrast(of, made.costs)
    ends = [contrast(curves.figures(y), of.weights) for y in curves.y.T]
    why = None if of.found else "no spread" if contrast(of.figures, of.weights) else "too few runs"
    time, worth = Answer(why=why), None
    if of.found:
        before = zip(curves.steps[:-1], ends, strict=False)
        made.rows += [effect, *(of.row(end, None, budget=float(step)) for step, end in before if end)]
        time, rows = _per_second(of, curves, cost, others)
        made.rows += rows
        if len(curves.steps) > 1:
            told |= _change(of, curves.y[:, -1] - curves.y[:, -2])
            if of.design.no_shorter is None and ends[-1]:
                worth = budget.worth(curves, of.weights, ends[-1].estimate)
    steps = _answer(of, effect, of.found, of.figures, others, why=why, **told)
    if cost:
        ratio, low, high = map(math.exp, (cost.found.estimate, *cost.found.interval()))
        cost = Cost(ratio=ratio, low=low, high=high, machine=cost.machine)
    return Question(**of.named, steps=steps, time=time, cost=cost, worth_in_steps=worth)


def _answer(of: Asked, effect: Effect, found: Contrast | None, figures, others: list[Effect], **more) -> Answer:
    pairs = [(y, z) for cells in pairs_of(figures, of.weights) for y in cells[0] for z in cells[1]]
    sign, ways = of.metric.sign, {"helps", "hurts"}
    return Answer(
        effect=effect if found else None,
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
            if (found := contrast(of.figures, weights)) and found.spreads:
                yield of.row(found, level / family, given=f"{name}={at}")


def _others(
    of: Asked, runs: pd.DataFrame, snapshots: pd.DataFrame, costs: pd.DataFrame
) -> Iterator[tuple[Asked, Contrast, float, dict]]:
    """The same contrast in other metrics and feature spaces, per step; and per second in other spaces."""
    design, cost = of.design, budget.cost_contrast(of, costs)
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

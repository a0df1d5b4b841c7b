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
from sagan.analysis.model import Answer, Cost, Design, Effect, Question, Row
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
    _questions(made, runs, snapshots, spent, busy)
    of = runs[runs["space"] == design.space]
    ranked = [name for name in design.variants if name not in design.unranked]
    for variant in ranked if design.baseline in ranked else []:
        if variant != design.baseline:
            names = ("variant", variant, design.baseline)
            both = of[of["variant"].isin(names[1:])]
            pair = Asked(design, names, ["variant"], both, design.alpha / (len(ranked) - 1))
            effect = pair.row(contrast(pair.figures, pair.weights), pair.share)
            question, rows = _at_all_budgets(pair, effect, {}, [], snapshots, spent, busy)
            made.pairs.append(question)
            made.rows += rows
    return made


def _questions(made: Effects, runs, snapshots, spent, busy: bool) -> None:
    """The rows and answers of the questions, of the runs of the last look."""
    design, look, others = made.design, made.state.look, []
    there = runs[runs["seed"].isin(made.state.runs["seed"])]
    for asked, *_ in made.state.answers.values():
        others += _others(asked, there, snapshots, _cost(asked, spent))
    further = [asked.row(found, look.level / len(others), wide, **where) for asked, found, wide, where in others]
    for asked, effect, answered_at in made.state.answers.values():
        told, spread = {"answered_at": answered_at}, within(asked.figures)
        if effect.answer == "not decided" and spread and effect.scale == "ratio":
            size = math.log1p(design.smallest_effect)
            told["needed"] = seeds_needed(size, spread, len(asked.figures), asked.share)
        named = [row for row in further if (row.question, row.level, row.metric) == (*asked.names[:2], design.metric)]
        question, rows = _at_all_budgets(asked, effect, told, named, snapshots, spent, busy)
        made.questions.append(question)
        made.rows += [*rows, *_given(asked, look.level)]
    made.rows += further


def _cost(of: Asked, spent: pd.DataFrame) -> budget.StepCost | None:
    return budget.cost_contrast(spent[spent["variant"].isin(of.runs["variant"])], of.factors, of.weights)


def _at_all_budgets(
    of: Asked, effect: Effect, told: dict, others: list[Effect], snapshots, spent, busy: bool
) -> tuple[Question, list[Effect]]:
    """The question with both answers, and the rows of all budgets: the end, the snapshots before it, equal time.

    Args:
        others: the same in further feature spaces.
    """
    design, cost, found = of.design, _cost(of, spent), contrast(of.figures, of.weights)
    curves = budget.curves(of.runs, snapshots[snapshots["space"] == design.space], of.factors, design.main)
    ends = [contrast(curves.figures(y), of.weights) for y in curves.y.T]
    rows, time, worth = [], Answer(why="too few runs"), None
    if found and len(curves.steps) > 1:
        told |= _change(of, curves.y[:, -1] - curves.y[:, -2])
    steps = _answer(of, effect, found, of.figures, others, **told)
    if found:
        before = zip(curves.steps[:-1], ends, strict=False)
        rows = [effect, *(of.row(end, None, budget=float(step)) for step, end in before if end)]
        time, later = _per_second(of, curves, cost, others)
        rows += later
        if design.no_shorter is None and len(ends) >= budget.FEWEST_SNAPSHOTS and ends[-1]:
            worth = _worth(of, curves, ends[-1])
    if cost:
        ratio, low, high = map(math.exp, (cost.found.estimate, *cost.found.interval()))
        cost = Cost(ratio=ratio, low=low, high=high, machine=cost.machine, busy=busy)
    return Question(**of.named, steps=steps, time=time, cost=cost, worth=worth), rows


def _answer(of: Asked, effect: Effect, found: Contrast | None, figures, others: list[Effect], **more) -> Answer:
    pairs = [(y, z) for cells in pairs_of(figures, of.weights) for y in cells[0] for z in cells[1]]
    sign, ways = of.design.main.sign, {"helps", "hurts"}
    return Answer(
        effect=effect if found else None,
        why=None if found else "too few runs",
        seeds=min((len(figures[cell]) for cell in of.weights), default=0),
        lost=int(of.lost.sum()),
        won=sum(int(sign * y < sign * z) for y, z in pairs),
        pairs=len(pairs),
        contradicted_by=[o.space for o in others if o.at == effect.at and {o.direction, effect.direction} == ways],
        depends_on=of.depends,
        error=found.error if found else None,
        **more,
    )


def _per_second(of: Asked, curves: budget.Curves, cost, others: list[Effect]) -> tuple[Answer, list[Effect]]:
    """The answer where the cheaper level's last step is over, and the rows up to there."""
    if of.design.no_shorter:
        return Answer(why=of.design.no_shorter), []
    if cost is None:
        known = [name for name in budget.HARDWARE if name in of.runs]
        several = bool(known) and len(of.runs[known].dropna().drop_duplicates()) > 1
        return Answer(why="several machines" if several else "no step times"), []
    found = [(step, budget.at_time(curves, of.weights, cost.found, float(step))) for step in curves.steps]
    last = found[-1][1] if found else "too few snapshots"
    if isinstance(last, str):
        return Answer(why=last), []
    there = [(cost.seconds(step), at) for step, at in found if not isinstance(at, str)]
    rows = [
        of.row(at.found, of.share if at is last else None, at.widening, at="time", budget=seconds)
        for seconds, at in there
    ]
    told = _change(of, last.y - there[-2][1].y) if len(there) > 1 else {}
    told["at_this_cost"] = [shown(end, of.design.main) for end in last.alone.interval()]
    return _answer(of, rows[-1], last.found, curves.figures(last.y), others, **told), rows


def _change(of: Asked, change: np.ndarray) -> dict:
    """How far the effect moved, from differences within runs: both snapshots are of the same ones."""
    there = ~of.lost.to_numpy()
    found = contrast(figures_of(of.runs[there], of.factors, of.design.main, change[there]), of.weights)
    low, high = found.interval() if found else (0.0, 0.0)
    told = {"changes": (shown(low, of.design.main), shown(high, of.design.main))} if found else {}
    return told | {"still_changing": low > 0 or high < 0}


def _worth(of: Asked, curves: budget.Curves, end: Contrast) -> Row | None:
    times = [budget.worth(curves, of.weights, effect) for effect in (end.estimate, *end.interval())]
    low, high = (None, None) if None in times else sorted(times[1:])
    return {"times": times[0], "low": low, "high": high} if times[0] else None


def _given(of: Asked, level: float) -> Iterator[Effect]:
    """The effect at each level of each other factor, simultaneous over all such rows of the suite."""
    factors = of.design.factors
    settings = [(name, at) for name in factors if name != of.names[0] for at in factors[name].levels]
    family = sum(len(factors[name].levels) for asked in of.design.contrasts for name in factors if name != asked[0])
    for name, at in settings:
        weights = of.weights_over([cell for cell in of.figures if cell[of.factors.index(name)] == at])
        if found := contrast(of.figures, weights):
            yield of.row(found, level / family, given=f"{name}={at}")


def _others(of: Asked, runs, snapshots, cost) -> Iterator[tuple[Asked, Contrast, float, dict]]:
    """The same contrast in other metrics and feature spaces, per step; and per second in other spaces."""
    design = of.design
    for space in design.spaces:
        there = in_grid(runs, design, space)
        for name, metric in METRICS.items():
            is_other = name in there and (space, name) != (design.space, design.metric)
            if is_other and (found := contrast(figures_of(there, of.factors, metric), of.weights)):
                yield of, found, 0.0, {"metric": name, "space": space}
        curves = budget.curves(there, snapshots[snapshots["space"] == space], of.factors, design.main)
        if space != design.space and cost is not None and design.no_shorter is None and len(curves.steps):
            at = budget.at_time(curves, of.weights, cost.found, float(curves.steps[-1]))
            if not isinstance(at, str):
                where = {"space": space, "at": "time", "budget": cost.seconds(curves.steps[-1])}
                yield of, at.found, at.widening, where

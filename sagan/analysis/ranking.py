"""Which variant, and which level is steadier: statements on variants as a whole and on spreads."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from sagan.analysis import budget
from sagan.analysis.contrasts import FEWEST, Contrast, Figures, Replay, contrast, figures_of, pairs_of, percent, row_of
from sagan.analysis.model import Answer, At, Design, Ranking, Row, Standing

# Differences of log spreads, one for each setting of the other factors: fewer say nothing of their own spread.
FEWEST_SETTINGS = 3


def rankings(design: Design, runs: pd.DataFrame, snapshots: pd.DataFrame, spent: pd.DataFrame) -> list[Ranking]:
    """All variants that are ranked, per step at the end, and where the cheapest one's time is over, by geometric mean
    seconds of a step (`spent`: as of `budget.step_costs`) where all ran on one kind of machine."""
    of = runs[(runs["space"] == design.space) & ~runs["variant"].isin(design.unranked)]
    figures = figures_of(of, ["variant"], design.main)
    found = [_ranking(design, "steps", float(design.steps or 0), figures, design.unranked)]
    one_kind = len(spent.drop_duplicates(budget.HARDWARE)) == 1
    seconds = np.exp(np.log(spent["step_seconds"]).groupby(spent["variant"]).mean()) if one_kind else ()
    curves = budget.curves(of, snapshots, ["variant"], design.main)
    if design.no_shorter is None and len(seconds) > 1 and len(curves.steps) >= budget.FEWEST_SNAPSHOTS:
        time = float(curves.steps[-1]) * min(seconds)
        places = {(name,): time / each for name, each in seconds.items() if budget.is_near(curves.steps, time / each)}
        figures = {cell: y for cell, y in curves.figures(curves.at(places)).items() if cell in places}
        without = [name for name in design.variants if (name,) not in places]
        found.append(_ranking(design, "time", round(time, 3), figures, without))
    return [ranking for ranking in found if len(ranking.standings) > 1]


def _ranking(design: Design, at: At, place: float, figures: Figures, left_out: list[str]) -> Ranking:
    """Subset selection (Gupta 1965): a variant is excluded where any other is surely better by Welch's t, one-sided at
    alpha / (k - 1), so that by Boole the true best is excluded with at most alpha."""
    metric = design.main
    known = {cell[0]: metric.sign * y for cell, y in figures.items() if len(y)}
    order = sorted(known, key=lambda name: (known[name].mean(), name))
    level = design.alpha / max(1, len(order) - 1)

    def share(name: str, other: str) -> float | None:
        if name == other or other not in known:
            return None
        return float((known[name][:, None] < known[other]).mean())

    def standing(name: str) -> Standing:
        mean = metric.sign * float(known[name].mean())
        to_others = (contrast(known, {name: 1.0, other: -1.0}, FEWEST) for other in order if other != name)
        return Standing(
            variant=name,
            mean=math.exp(mean) if metric.scale == "log" else mean,
            runs=len(known[name]),
            may_be_best=not any(found and found.interval(2 * level)[0] > 0 for found in to_others),
            beats_best=share(name, order[0]),
            beats_baseline=share(name, design.baseline),
        )

    return Ranking(at=at, budget=place, standings=[standing(name) for name in order], left_out=left_out)


def steadier(state: Replay) -> list[Row]:
    """What each question's level does to the spread of runs: Student's t of log ratios of standard deviations.

    Each setting of the other factors gives one ratio of two cells, so that runs need not be normal. Nothing where runs
    were lost, which took their share of the spread, and of fewer than three settings. Rows question, level, instead_of,
    ratio, low, high, decide_low, decide_high, answer (steadier, less steady or not decided).
    """
    found = []
    if state.runs["lost"].any():
        return found
    for asked, *_ in state.answers.values():
        pairs = pairs_of(asked.figures, asked.weights)
        if len(pairs) < FEWEST_SETTINGS or any(len(y) < FEWEST or not y.std() for pair in pairs for y in pair):
            continue
        logs = np.array([math.log(one.std(ddof=1) / other.std(ddof=1)) for one, other in pairs])
        of = Contrast(float(logs.mean()), ((float(logs.var(ddof=1)) / len(logs), len(logs) - 1.0),))
        told = row_of(of, asked.share, math.exp)
        answer = "steadier" if told["decide_high"] < 1 else "less steady" if told["decide_low"] > 1 else "not decided"
        found.append(asked.named | {"ratio": told.pop("estimate")} | told | {"answer": answer})
    return found


def across_suites(answers: Sequence[Answer]) -> Row | None:
    """What several suites say together of one question, the effects being ratios; None below three.

    A random-effects mean by DerSimonian & Laird (1986); the prediction interval adds the variance between suites, with
    Student's t of k - 2 degrees of freedom (Higgins et al. 2009, eq. 12), the mean's has k - 1. A row of `suites`, how
    many; in percent the `mean`, `low` and `high` of its 95 % interval, and where the effect in a new suite lies with
    95 %, `new_low` to `new_high`.
    """
    known = [(of.effect.estimate, of.error) for of in answers if of.effect is not None and of.error]
    if len(known) < 3:
        return None
    percents, errors = np.array(known, dtype=float).T
    y, fixed = np.log1p(percents / 100), 1 / errors**2
    centre = float((fixed * y).sum() / fixed.sum())
    q, freedom = float((fixed * (y - centre) ** 2).sum()), len(y) - 1
    between = max(0.0, (q - freedom) / float(fixed.sum() - (fixed**2).sum() / fixed.sum()))
    weights = 1 / (errors**2 + between)
    mean, variance = float((weights * y).sum() / weights.sum()), float(1 / weights.sum())
    reach, further = stats.t.isf(0.025, [freedom, freedom - 1]) * np.sqrt([variance, between + variance])
    ends = map(percent, mean + np.array([0.0, -reach, reach, -further, further]))
    return {"suites": len(y)} | dict(zip(("mean", "low", "high", "new_low", "new_high"), ends, strict=True))

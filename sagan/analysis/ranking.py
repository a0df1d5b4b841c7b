"""Which variant, and which level is steadier: statements on variants as a whole and on spreads."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from sagan.analysis import budget, costs
from sagan.analysis.contrasts import FEWEST, Cell, Contrast, contrast, figures_of
from sagan.analysis.deciding import contrasts_asked, main_metric, percent, weights_of
from sagan.analysis.metrics import Metric
from sagan.analysis.model import AcrossSuites, Answer, Design, Ranking, Standing, Steadier

# Differences of log spreads, one for each setting of the other factors: fewer say nothing of their own spread.
FEWEST_SETTINGS = 3


def rankings(design: Design, runs: pd.DataFrame, snapshots: pd.DataFrame, spent: pd.DataFrame) -> list[Ranking]:
    """All variants that are ranked, per step at the end, and where the cheapest one's time is over.

    Args:
        spent: as of `costs.step_costs`.
    """
    metric, space = main_metric(design), design.space
    left_out = [name for name, of in design.variants.items() if not of.ranked]
    of = runs[(runs["space"] == space) & ~runs["variant"].isin(left_out)]
    figures = figures_of(of, ["variant"], metric)
    found = [_ranking(design, "steps", float(design.steps or 0), figures, left_out, metric)]
    if design.no_shorter is None and len(seconds := _seconds(spent)) > 1:
        curves = budget.curves(of, snapshots[snapshots["space"] == space], ["variant"], metric)
        if len(curves.steps) >= budget.FEWEST_SNAPSHOTS:
            last = float(curves.steps[-1])
            time = last * min(seconds.values())
            places = {
                (name,): time / each for name, each in seconds.items() if budget.is_near(curves.steps, time / each)
            }
            at = curves.figures(curves.at(places))
            without = [name for name in design.variants if (name,) not in places]
            found.append(
                _ranking(design, "time", round(time, 3), {c: at[c] for c in places if c in at}, without, metric)
            )
    return [ranking for ranking in found if len(ranking.standings) > 1]


def _seconds(spent: pd.DataFrame) -> dict[str, float]:
    """Geometric mean seconds of a step by variant, where all ran on one kind of machine."""
    known = [name for name in costs.HARDWARE if name in spent]
    if spent.empty or (known and len(spent.drop_duplicates(known)) > 1):
        return {}
    return np.exp(np.log(spent["step_seconds"]).groupby(spent["variant"]).mean()).to_dict()


def _ranking(design: Design, at, place: float, figures: Mapping[Cell, np.ndarray], left_out, metric: Metric) -> Ranking:
    """Gupta's subset selection: a variant is excluded where any other is surely better, one-sided at alpha / (k - 1).

    The true best is excluded with at most alpha, by Boole over the k - 1 others (Gupta 1965; Welch's t for each pair).
    """
    lower = metric.better == "lower"
    known = {cell[0]: y if lower else -y for cell, y in figures.items() if len(y)}
    order = sorted(known, key=lambda name: (known[name].mean(), name))
    level = design.alpha / max(1, len(order) - 1)

    def surely_worse(name: str, other: str) -> bool:
        if min(len(known[name]), len(known[other])) < FEWEST:
            return False
        found = contrast({("a",): known[name], ("b",): known[other]}, {("a",): 1.0, ("b",): -1.0})
        return found.estimate > 0 and found.interval(2 * level)[0] > 0

    def share(name: str, other: str) -> float | None:
        if name == other or other not in known:
            return None
        return float(np.mean([y < z for y, z in itertools.product(known[name], known[other])]))

    standings = []
    for name in order:
        mean = float(known[name].mean()) * (1 if lower else -1)
        standings.append(
            Standing(
                variant=name,
                mean=math.exp(mean) if metric.scale == "log" else mean,
                runs=len(known[name]),
                may_be_best=not any(surely_worse(name, other) for other in order if other != name),
                beats_best=share(name, order[0]),
                beats_baseline=share(name, design.baseline),
            )
        )
    return Ranking(at=at, budget=place, standings=standings, left_out=left_out)


def steadier(design: Design, runs: pd.DataFrame, level: float) -> list[Steadier]:
    """What each question's level does to the spread of runs: Student's t of log ratios of standard deviations.

    Each setting of the other factors gives one ratio of two cells, so that runs need not be normal. Nothing where runs
    were lost, which took their share of the spread, and of fewer than three settings.

    Args:
        runs: the grid's rows of the last look, in the main space.
    """
    metric, factors = main_metric(design), list(design.factors)
    if runs.empty or ("lost" in runs and runs["lost"].astype(bool).any()):
        return []
    figures = figures_of(runs, factors, metric)
    asked, found = contrasts_asked(design), []
    for question, at_level, instead_of in asked:
        cells = list(weights_of(design, list(figures), question, at_level, instead_of))
        pairs = [(figures[one], figures[other]) for one, other in zip(cells[::2], cells[1::2], strict=True)]
        if len(pairs) < FEWEST_SETTINGS or any(len(y) < FEWEST or not y.std() for pair in pairs for y in pair):
            continue
        logs = np.array([math.log(one.std(ddof=1) / other.std(ddof=1)) for one, other in pairs])
        of = Contrast(
            float(logs.mean()), ((float(logs.var(ddof=1)) / len(logs), len(logs) - 1.0),), len(runs), len(logs)
        )
        (low, high), (least, most) = of.interval(), of.interval(level / len(asked))
        found.append(
            Steadier(
                question=question,
                level=at_level,
                instead_of=instead_of,
                ratio=math.exp(of.estimate),
                low=math.exp(low),
                high=math.exp(high),
                decide_low=math.exp(least),
                decide_high=math.exp(most),
                answer="steadier" if most < 0 else "less steady" if least > 0 else "not decided",
            )
        )
    return found


def across_suites(answers: Sequence[Answer]) -> AcrossSuites | None:
    """What several suites say together of one question, the effects being ratios; None below three.

    A random-effects mean by DerSimonian & Laird (1986) with normal intervals; the prediction interval adds the variance
    between suites (Higgins et al. 2009). Of few suites that variance is itself barely known.
    """
    known = [(of.effect.estimate, of.error) for of in answers if of.effect is not None and of.error]
    if len(known) < 3:
        return None
    z = float(stats.norm.isf(0.025))
    percents, errors = np.array(known, dtype=float).T
    y = np.log1p(percents / 100)
    fixed = 1 / errors**2
    centre = float((fixed * y).sum() / fixed.sum())
    q, freedom = float((fixed * (y - centre) ** 2).sum()), len(y) - 1
    between = max(0.0, (q - freedom) / float(fixed.sum() - (fixed**2).sum() / fixed.sum()))
    weights = 1 / (errors**2 + between)
    mean, variance = float((weights * y).sum() / weights.sum()), float(1 / weights.sum())
    reach, further = z * math.sqrt(variance), z * math.sqrt(between + variance)
    ends = (percent(mean + sign * by) for by in (reach, further) for sign in (-1, 1))
    named = dict(zip(("low", "high", "new_low", "new_high"), ends, strict=True))
    share = max(0.0, 1 - freedom / q) if q else 0.0
    return AcrossSuites(suites=len(y), mean=percent(mean), **named, spread_share=share)

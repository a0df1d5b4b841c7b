"""Spreads: of runs within a cell, which say what a design can find and which level is steadier; and between suites."""

import bisect
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy import optimize, stats

from sagan.analysis.budget import FEWEST_SNAPSHOTS, WIDEST_GAP
from sagan.analysis.contrasts import FEWEST, FEWEST_SEEDS, Contrast, Replay, pairs_of, percent, row_of
from sagan.analysis.model import Answer, Design, Report, Row

POWER = 0.8
# Spread of log FID within a cell where nothing of the kind was measured: the committed suites have 5 to 14 %.
TYPICAL_SPREAD = 0.075
# Differences of log spreads, one for each setting of the other factors: fewer say nothing of their own spread.
FEWEST_SETTINGS = 3


def within(figures: Mapping[tuple, np.ndarray]) -> float | None:
    """The standard deviation of a run within its cell, pooled over cells; None where no cell has two."""
    freedom = sum(max(len(y) - 1, 0) for y in figures.values())
    squares = math.fsum(float(((y - y.mean()) ** 2).sum()) for y in figures.values() if len(y))
    return math.sqrt(squares / freedom) if freedom else None


def power(size: float, spread: float, cells: int, seeds: int, level: float) -> float:
    """How often a main effect's deciding interval is clear of 0, 0 to 1, where cells spread alike.

    By the noncentral t, at the degrees of freedom that Satterthwaite's formula gives on average.

    Args:
        size: of the true effect; `spread`: standard deviation of a run within its cell. Both of log FID, and above 0.
        cells: of a factor with two levels. `seeds`: runs in each, at least 2.
        level: two-sided; alpha over the number of questions.
    """
    noise = 2 / (seeds - 1)  # of a cell's variance, as a variance over its square
    freedom = (cells + noise) * (seeds - 1) / (1 + noise)
    critical = stats.t.isf(level / 2, freedom)
    return float(stats.nct.sf(critical, freedom, size * math.sqrt(cells * seeds) / (2 * spread)))


def detectable(spread: float, cells: int, seeds: int, level: float) -> float:
    """The effect, on the scale of log FID, that is found with probability `POWER`; arguments as in `power`."""
    sizes = (spread * 2**k for k in itertools.count())
    largest = next(size for size in sizes if power(size, spread, cells, seeds, level) > POWER)
    return float(optimize.brentq(lambda size: power(size, spread, cells, seeds, level) - POWER, 0.0, largest))


def seeds_needed(size: float, spread: float, cells: int, level: float) -> int:
    """The fewest seeds a cell, three or more, that find an effect with probability `POWER`."""
    seeds = (FEWEST_SEEDS * 2**k for k in itertools.count())
    most = next(n for n in seeds if power(size, spread, cells, n, level) >= POWER)
    enough = range(FEWEST_SEEDS, most)
    return FEWEST_SEEDS + bisect.bisect_left(enough, POWER, key=lambda n: power(size, spread, cells, n, level))


def design_power(design: Design, spread: float, cells: int) -> Row:
    """What a design finds at a spread of runs within their cells: a row seeds, cells, finds (the effect in percent that
    is found in 80 % of cases; None with too few seeds), spread, and seeds needed for the smallest effect worth having.
    """
    seeds, level = design.looks[-1].seeds, design.looks[-1].level
    level /= max(1, len(design.contrasts) or len(design.variants) - 1)
    least = FEWEST if cells > 2 else FEWEST_SEEDS
    finds = percent(detectable(spread, cells, seeds, level)) if seeds >= least else None
    needed = seeds_needed(math.log1p(design.smallest_effect), spread, cells, level)
    return {"seeds": seeds, "cells": cells, "finds": finds, "spread": spread, "needed": needed}


def power_lines(design: Design, cells: int, snapshots: list[int], measured: Report | None) -> Iterator[str]:
    """What a suite can find, in words, before anything of it is trained; a design that can answer nothing is told so.

    `cells`: of an effect, 2 of a variant against the baseline; `snapshots`: steps that are measured; `measured`: the
    suite's last report, for the spread of its runs.
    """
    if len(design.variants) < 2:
        yield "compares nothing: it has one variant"
        return
    known = measured.power[0]["spread"] if measured and measured.power else None
    seeds, _, finds, spread, needed = design_power(design, known or TYPICAL_SPREAD, cells).values()
    if finds is None:
        yield f"can answer nothing: {seeds} seeds are too few"
    else:
        what = f"{cells} cells" if design.questions else "a variant against the baseline"
        within_cells = f"a spread of {100 * spread:.1f} % within cells, {'as measured' if known else 'assumed'}"
        more = f"{100 * design.smallest_effect:g} % would take {needed}"
        yield f"finds effects of {finds:.0f} % in 4 of 5 cases ({what}, {seeds} seeds, {within_cells}); {more}"
    after = [step for step in snapshots if step > 0]
    if design.no_shorter:
        yield f"no answer per second: {design.no_shorter}, so that a snapshot is no shorter training"
    elif len(after) < FEWEST_SNAPSHOTS or after[-1] > WIDEST_GAP * after[-2]:
        count = f"{len(after)} snapshot{'s' if len(after) > 1 else ''}"
        least = f"it takes {FEWEST_SNAPSHOTS}, and the last no later than twice the one before"
        yield f"no answer per second: {count}; {least}"


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
        ratio = told.pop("estimate")
        found.append(asked.named | {"ratio": ratio} | told | {"answer": answer})
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

"""What a design can find before it is trained: by the spread of runs within a cell."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Mapping

import numpy as np
from scipy import optimize, stats

from sagan.analysis.budget import FEWEST_SNAPSHOTS, WIDEST_GAP
from sagan.analysis.contrasts import FEWEST_SEEDS, percent
from sagan.analysis.model import Design, Report, Row

POWER = 0.8
# Spread of log FID within a cell where nothing of the kind was measured: the committed suites have 5 to 12 %.
TYPICAL_SPREAD = 0.075


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
    finds = percent(detectable(spread, cells, seeds, level)) if seeds >= FEWEST_SEEDS else None
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
        yield f"can answer nothing: {seeds} seeds are too few, {FEWEST_SEEDS} are the least"
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

"""What a design can find before it is trained: by the spread of runs within a cell."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping

import numpy as np
from scipy import optimize, stats

from sagan.analysis.budget import FEWEST_SNAPSHOTS, WIDEST_GAP
from sagan.analysis.deciding import FEWEST_SEEDS, contrasts_asked, percent
from sagan.analysis.model import Design, Power, Report

POWER = 0.8
# Spread of log FID within a cell where nothing of the kind was measured: the committed suites have 5 to 12 %.
TYPICAL_SPREAD = 0.075
# Nobody trains more.
MANY_SEEDS = 100


def within(figures: Mapping[tuple, np.ndarray]) -> float | None:
    """The standard deviation of a run within its cell, pooled over cells; None where no cell has two."""
    freedom = sum(max(len(y) - 1, 0) for y in figures.values())
    squares = math.fsum(float(((y - y.mean()) ** 2).sum()) for y in figures.values() if len(y))
    return math.sqrt(squares / freedom) if freedom else None


def power(size: float, spread: float, cells: int, seeds: int, level: float) -> float:
    """How often a main effect's deciding interval is clear of 0, 0 to 1, where cells spread alike.

    By the noncentral t, at the degrees of freedom that Satterthwaite's formula gives on average.

    Args:
        size: of the true effect, on the scale of log FID; positive.
        spread: standard deviation of a run within its cell.
        cells: of a factor with two levels.
        seeds: runs a cell, at least 2.
        level: two-sided; alpha over the number of questions.
    """
    if spread == 0:
        return 1.0
    noise = 2 / (seeds - 1)  # of a cell's variance, as a variance over its square
    freedom = (cells + noise) * (seeds - 1) / (1 + noise)
    critical = stats.t.isf(level / 2, freedom)
    return float(stats.nct.sf(critical, freedom, size * math.sqrt(cells * seeds) / (2 * spread)))


def detectable(spread: float, cells: int, seeds: int, level: float, share: float = POWER) -> float:
    """The effect, on the scale of log FID, that is found in this share of cases; arguments as in `power`."""
    if spread == 0:
        return 0.0
    sizes = (spread * 2**k for k in itertools.count())
    largest = next(size for size in sizes if power(size, spread, cells, seeds, level) > share)
    return float(optimize.brentq(lambda size: power(size, spread, cells, seeds, level) - share, 0.0, largest))


def seeds_needed(size: float, spread: float, cells: int, level: float, share: float = POWER) -> int:
    """The fewest seeds a cell, three or more, that find an effect in this share of cases."""
    fewest = 3
    most = next(n for n in (fewest * 2**k for k in itertools.count()) if power(size, spread, cells, n, level) >= share)
    while fewest < most:
        middle = (fewest + most) // 2
        if power(size, spread, cells, middle, level) >= share:
            most = middle
        else:
            fewest = middle + 1
    return most


def design_power(design: Design, spread: float | None, cells: int) -> Power:
    """What a design finds at a spread of runs within their cells; None: the usual one."""
    used, look = spread or TYPICAL_SPREAD, design.looks[-1]
    level = look.level / max(1, len(contrasts_asked(design)) or len(design.variants) - 1)
    finds = detectable(used, cells, look.seeds, level) if look.seeds >= FEWEST_SEEDS else None
    return Power(
        seeds=look.seeds,
        cells=cells,
        finds=None if finds is None else percent(finds),
        spread=used,
        measured=spread is not None,
        needed=seeds_needed(math.log1p(design.smallest_effect), used, cells, level),
    )


def power_lines(design: Design, cells: int, snapshots: list[int], measured: Report | None) -> Iterator[str]:
    """What a suite can find, in words, before anything of it is trained; a design that can answer nothing is told so.

    Args:
        cells: of the grid that is asked about; 2 where none is, for a variant against the baseline.
        snapshots: steps that are measured.
        measured: the suite's last report, for the spread of its runs.
    """
    known = next((power.spread for power in measured.power if power.measured), None) if measured else None
    power = design_power(design, known, cells)
    spread = f"a spread of {100 * power.spread:.1f} % within cells, {'as measured' if power.measured else 'assumed'}"
    what = f"{cells} cells" if design.questions else "a variant against the baseline"
    if len(design.variants) < 2:
        yield "compares nothing: it has one variant"
    elif power.finds is None:
        yield f"can answer nothing: {power.seeds} seeds are too few, {FEWEST_SEEDS} are the least"
    else:
        needed = f"{100 * design.smallest_effect:g} % would take {power.needed}"
        yield f"finds effects of {power.finds:.0f} % in 4 of 5 cases ({what}, {power.seeds} seeds, {spread}); {needed}"
    if len(design.variants) > 1 and (why := _no_answer_per_second(design, snapshots)):
        yield f"no answer per second: {why}"


def _no_answer_per_second(design: Design, snapshots: list[int]) -> str:
    after = [step for step in snapshots if step > 0]
    if design.no_shorter:
        return f"{design.no_shorter}, so that a snapshot is no shorter training"
    if len(after) < FEWEST_SNAPSHOTS or after[-1] > WIDEST_GAP * after[-2]:
        count = f"{len(after)} snapshot{'s' if len(after) > 1 else ''}"
        return f"{count}; it takes {FEWEST_SNAPSHOTS}, and the last no later than twice the one before"
    return ""

"""What the charts and pictures of a large suite show: its best and its worst. Tables hold everything."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import mean

from sagan.report.collect import SuiteRecords
from sagan.report.effects import Effect

# So many of the best, and so many of the worst. With the baseline, a chart can tell all of them apart.
HALF = 10


def shown(records: SuiteRecords) -> SuiteRecords:
    """The baseline and the variants of lowest and of highest mean FID, in the suite's order; all, where they are few.

    A variant without a single figure counts as one of highest FID.
    """
    if len(records.variants) <= 2 * HALF + 1:
        return records

    def mean_fid(variant: str) -> float:
        return mean(records.figures(variant).values() or [math.inf])

    ranked = sorted((variant for variant in records.variants if variant != records.baseline), key=mean_fid)
    kept = {records.baseline, *ranked[:HALF], *ranked[-HALF:]}
    return replace(records, rows=[row for row in records.rows if row.variant in kept])


def shown_effects(effects: list[Effect]) -> list[Effect]:
    """The effects of lowest and of highest difference, in order; all that have one, where they are few."""
    found = [effect for effect in effects if effect.difference]
    if len(found) <= 2 * HALF:
        return found
    ranked = sorted(range(len(found)), key=lambda place: found[place].difference.estimate.mean)
    return [found[place] for place in sorted([*ranked[:HALF], *ranked[-HALF:]])]

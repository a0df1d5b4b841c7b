"""What became of runs, in words: how many gave a figure, and what went wrong with the others."""

from __future__ import annotations

from sagan.analysis.model import Counts
from sagan.analysis.rows import Row
from sagan.analysis.wording import number


def kept_of(counts: Counts) -> str:
    """How many of the planned runs gave a figure, and what became of the others."""
    notes = counts.told("diverged", "missing", "collapsed", "ended_badly")
    return f"{counts.measured} of {counts.total}" + (f" ({notes})" if notes else "")


def trouble(row: Row) -> str | None:
    """What is wrong with a run that gave no figure, or a bad one; None of others."""
    if row.status == "missing":
        absent = {"there": "trained, not evaluated", "missing": "not on disk"}
        why = absent.get(row.trained.state, f"the run is {row.trained.state}: {row.trained.why}")
        return f"missing: {row.set_aside or why}"
    if row.status == "diverged":
        told = f" at step {row.training.diverged_at}: {row.training.reason}" if row.training else ""
        return f"diverged{told}" + (f"; {row.set_aside}" if row.set_aside else "")
    if row.collapsed:
        began = row.collapse.began
        what = row.defect if began is None else f"collapsed, from step {began} to the end: {row.collapse.why}"
        return f"{what}; FID {number(row.metric('fid'))}"
    if row.metric("fid") is None:
        return row.defect or "measured, but its FID is not a finite number"
    if not row.went_wrong:
        return None
    verdict = "no better than untrained" if row.learned_nothing else "worsened"
    what = f"{verdict}: FID {number(row.metric('fid'))}; untrained {number(row.fid_untrained)}"
    return what + (f"; best snapshot {number(row.lowest_fid)}" if row.curve else "")

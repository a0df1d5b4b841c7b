"""What became of runs, in words: how many gave a figure, and what went wrong with the others."""

from __future__ import annotations

from typing import Any

from sagan.report.collect import Row
from sagan.report.wording import number


def kept_of(rows: list[Row]) -> str:
    """How many of the planned runs gave a figure, and what became of the others."""
    counted = {status: sum(row.status == status for row in rows) for status in ("diverged", "missing")}
    counted["collapsed"] = sum(row.collapsed for row in rows)
    counted["ended badly"] = sum(row.went_wrong and not row.collapsed for row in rows)
    measured = sum(row.status == "measured" for row in rows)
    notes = [f"{count} {what}" for what, count in counted.items() if count]
    return f"{measured} of {len(rows)}" + (f" ({', '.join(notes)})" if notes else "")


def trouble(row: Row) -> dict[str, Any]:
    """A line on a run that gave no figure, or a bad one."""
    if row.status == "missing":
        why = "trained, not evaluated" if row.run_record else "not on disk"
        what = f"missing: {row.set_aside or why}"
    elif row.status == "diverged":
        what = f"diverged at step {row.run_record.get('diverged_at')}: {row.run_record.get('reason')}"
        what = what if row.run_record else "diverged"
        what += f"; {row.set_aside}" if row.set_aside else ""
    elif row.collapsed:
        began, why = row.collapse.get("began"), row.collapse.get("why")
        what = row.defect if began is None else f"collapsed, from step {began} to the end: {why}"
        what += f"; FID {number(row.metric('fid'))}"
    elif row.metric("fid") is None:
        what = row.defect or "measured, but its FID is not a finite number"
    else:
        verdict = "no better than untrained" if row.learned_nothing else "worsened"
        what = f"{verdict}: FID {number(row.metric('fid'))}; untrained {number(row.fid_untrained)}"
        what += f"; best snapshot {number(min(fid for _, fid in row.curve))}" if row.curve else ""
    return {"variant": row.variant, "seed": row.seed, "what": what, "run": row.run}

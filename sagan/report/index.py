"""reports/README.md: one line for each suite that has a report."""

from __future__ import annotations

from typing import Any

from sagan.analysis.wording import NOTHING, number
from sagan.params import Params
from sagan.paths import Paths
from sagan.records import Json, read_json
from sagan.report.templating import environment


def index_text(params: Params, paths: Paths) -> str:
    """The index's Markdown, from the summaries of the reports that are on disk."""
    found = [name for name in params.suites if (paths.report(name) / "summary.json").exists()]
    suites = [_line(name, params, read_json(paths.report(name) / "summary.json")) for name in found]
    return environment().get_template("index.md.j2").render(suites=suites)


def _line(name: str, params: Params, summary: Json) -> dict[str, Any]:
    suite = params.suites[name]
    fids = {v: summary[f"{v}.fid"] for v in suite.variants if f"{v}.fid" in summary}
    best = min(fids, key=lambda variant: (fids[variant], variant), default=None)
    return {
        "name": name,
        "title": suite.title or name,
        "dataset": suite.dataset,
        "variants": len(suite.variants),
        "seeds": len(suite.seed_list()),
        "runs": _runs(summary),
        "baseline": suite.baseline,
        "baseline_fid": number(fids.get(suite.baseline)),
        "best": best or NOTHING,
        "best_fid": number(fids.get(best)),
        "floor": number(summary.get("noise_floor.fid")),
    }


def _runs(summary: Json) -> str:
    """Such as "31 of 35 measured, 2 diverged, 2 missing"."""
    counts = {
        status: sum(value for key, value in summary.items() if key.endswith(f".{status}"))
        for status in ("measured", "diverged", "missing")
    }
    notes = [f"{counts[status]} {status}" for status in ("diverged", "missing") if counts[status]]
    return ", ".join([f"{counts['measured']} of {sum(counts.values())} measured", *notes])

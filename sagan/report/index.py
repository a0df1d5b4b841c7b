"""reports/README.md: what is known from all suites, in one table of questions by suites."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from sagan.analysis.wording import NOTHING, between, change, number
from sagan.params import Params
from sagan.report.templating import environment
from sagan.store.paths import Paths
from sagan.store.records import Json, read_json


def index_text(params: Params, paths: Paths) -> str:
    """The index's Markdown, from the data of the reports that are on disk."""
    found = [name for name in params.suites if (paths.report(name) / "summary.json").exists()]
    suites = [_line(name, params, read_json(paths.report(name) / "summary.json")) for name in found]
    effects = {name: _effects(paths.report(name) / "effects.csv") for name in found}
    sure = {row["name"] for of in effects.values() for row in of if row["answer"] == "depends"}
    answers = {name: _answers(of, sure) for name, of in effects.items()}
    asking = [suite for suite in suites if answers[suite["name"]]]
    questions = dict.fromkeys(question for name in found for question in answers[name])
    rows = [(question, [answers[suite["name"]].get(question, NOTHING) for suite in asking]) for question in questions]
    return environment().get_template("index.md.j2").render(suites=suites, asking=asking, rows=rows)


def _effects(table: Path) -> list[dict[str, str]]:
    """A report's `effects.csv`; empty where it has none."""
    if not table.exists():
        return []
    with table.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _answers(effects: list[dict[str, str]], depending: set[str]) -> dict[str, str]:
    """A suite's questions, each with its answer, size and interval; none of a report that asks nothing.

    Args:
        depending: interactions of which any suite is sure: every suite that has them tells the effects at each level.
    """
    answers = {_question(row): _answer(row) for row in effects if row["table"] == "question"}
    told = [row for row in effects if row["table"] == "conditional" and row["name"] in depending]
    sure = {row["name"] for row in effects if row["answer"] == "depends"}
    mark = {name: "**depends**: " if name in sure else "" for name in depending}
    return answers | {f"{_question(row)}, where {row['where']}": mark[row["name"]] + _size(row) for row in told}


def _question(row: dict[str, str]) -> str:
    """The ingredient, which suites may name differently; with its levels where it is no switch."""
    return (
        row["title"] if row["other"] in ("off", "none") else f"{row['title']}: {row['level']} instead of {row['other']}"
    )


def _answer(row: dict[str, str]) -> str:
    answer = row["answer"] if row["answer"] in ("not decided", "no answer yet") else f"**{row['answer']}**"
    looked_at = row.get("answered_at")  # not in reports of older versions
    at = f", answered at {looked_at} seeds" if looked_at else ""
    return f"{answer}: {_size(row)}{at}" if row["fid_percent"] else answer


def _size(row: dict[str, str]) -> str:
    size, low, high = (float(row[part]) if row[part] else None for part in ("fid_percent", "low", "high"))
    return f"{change(size)} ({between(low, high)})"


def _line(name: str, params: Params, summary: Json) -> dict[str, Any]:
    suite = params.suites[name]
    fids = {
        key.removesuffix(".fid"): value for key, value in summary.items() if key.endswith(".fid") and "/" not in key
    }
    fids = {name: fid for name, fid in fids.items() if name != "noise_floor" and f"{name}.unranked" not in summary}
    best = min(fids, key=lambda variant: (fids[variant], variant), default=None)
    return {
        "name": name,
        "title": suite.title or name,
        "dataset": suite.dataset,
        "resolution": params.datasets[suite.dataset].resolution,
        "features": suite.evaluation.extractor,
        "runs": _runs(summary),
        "best": best or NOTHING,
        "best_fid": number(fids.get(best)),
    }


def _runs(summary: Json) -> str:
    """Such as "31 of 35 measured, 2 diverged, 2 missing"."""
    counts = {
        status: sum(value for key, value in summary.items() if key.endswith(f".{status}"))
        for status in ("measured", "diverged", "missing")
    }
    notes = [f"{counts[status]} {status}" for status in ("diverged", "missing") if counts[status]]
    return ", ".join([f"{counts['measured']} of {sum(counts.values())} measured", *notes])

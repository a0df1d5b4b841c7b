"""reports/README.md and the front page's table: the answers of all suites side by side, from their reports alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from sagan.analysis.build import read_effects, read_report
from sagan.analysis.model import Question, Report
from sagan.analysis.words import parts_of_title
from sagan.report.templating import environment, write_text
from sagan.store.paths import Paths

BEGIN, END = "<!-- answers: `make readme` renders them from reports/ -->", "<!-- end of answers -->"


def render_index(paths: Paths) -> Path:
    """Write reports/README.md, and return it."""
    write_text(path := paths.report("README.md"), text_of("index.md.j2", "", paths))
    return path


def render_front(paths: Paths) -> Path:
    """Write the front page's table between its two marks, and return the page."""
    path = paths.root / "README.md"
    text = path.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    write_text(path, f"{before}{BEGIN}\n\n{text_of('answers.md.j2', 'reports/', paths)}\n{after}")
    return path


def text_of(template: str, base: str, paths: Paths) -> str:
    """A template, for a page from which reports/ lies at `base`, with the reports that are on disk: those that ask
    something first, small ones before large ones. The front page has the questions that several suites ask."""
    folders = [file.parent for file in sorted(paths.report("").glob("[!.]*/report.json"))]
    known: list[dict[str, Any]] = [
        {"name": of.name, "report": read_report(of), "effects": read_effects(of)} for of in folders
    ]
    known.sort(key=lambda of: (not of["report"].questions, of["report"].counts.total))
    asking = [of for of in known if of["report"].questions]
    lines: dict[str, dict[str, Question]] = {}
    for of in asking:
        for found in of["report"].questions:
            lines.setdefault(_what(found, of["report"]), {})[of["name"]] = found
    if base and len(asking) > 1:
        lines = {what: found for what, found in lines.items() if len(found) > 1} or lines
    shown = {(name, of.question) for found in lines.values() for name, of in found.items()}
    for of in asking:
        told = of["report"].dependences
        of["dependences"] = [one for one in told if {(of["name"], one["question"]), (of["name"], one["by"])} <= shown]
    of_their_own = _of_their_own([of["name"] for of in asking], paths)
    page = environment().get_template(template)
    return page.render(known=known, base=base, asking=asking, lines=lines, of_their_own=of_their_own)


def _of_their_own(suites: list[str], paths: Paths) -> list[str]:
    """The suites, largest first, without those that have runs of a larger one: evidence counts once."""
    chosen: dict[str, set[str]] = {}
    for suite in reversed(suites):
        runs = set(pd.read_csv(paths.report(suite) / "results.csv", usecols=["run"])["run"])
        if not any(runs & others for others in chosen.values()):
            chosen[suite] = runs
    return list(chosen)


def _what(found: Question, report: Report) -> str:
    """The ingredient, which suites may place differently; with its levels where it is no switch."""
    title, levels = parts_of_title(found, report.design)
    return title if levels.endswith(("instead of off", "instead of none")) else f"{title}, {levels}"

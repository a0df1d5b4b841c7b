"""Where reports lie and what they answer, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sagan.analysis.build import read_report
from sagan.analysis.model import Report
from sagan.analysis.words import sentence
from sagan.store.paths import Paths


def whereabouts(suites: Iterable[str], paths: Paths, is_terminal: bool) -> list[str]:
    """Of each suite that has a report its answers, and links to its pages.

    Args:
        is_terminal: mark the links for a terminal (OSC 8), which opens them on a click.
    """
    lines = []
    for suite in suites:
        report = read_report(paths.report(suite))
        if report is None:
            lines.append(f"{suite}: no report yet; `make repro` makes it")
            continue
        lines += [f"{suite}:", *(f"  - {line}" for line in answers(report))]
        pages = (paths.pages(suite) / "report.html", paths.pages(suite) / "explorer.html")
        links = [page for page in (*pages, paths.report(suite) / "README.md") if page.exists()]
        lines += [f"  {page.name:<14}{_link(page, is_terminal)}" for page in links]
    return lines


def answers(report: Report) -> list[str]:
    """A line for each question; of a suite that asks none, for each variant against the baseline."""
    if report.too_short:
        return ["this budget is too short to say anything of ingredients"]
    if report.waits:
        return [f"no answers before there are {report.waits}"]
    return [sentence(found, report.design) for found in report.questions or report.pairs]


def _link(path: Path, is_terminal: bool) -> str:
    uri = path.resolve().as_uri()
    return f"\033]8;;{uri}\033\\{uri}\033]8;;\033\\" if is_terminal else uri

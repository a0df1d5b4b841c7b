"""Where reports lie and what they answer, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sagan.analysis.build import read_report
from sagan.analysis.model import Report
from sagan.analysis.words import sentence
from sagan.store.paths import Paths


def whereabouts(suites: Iterable[str], paths: Paths, is_terminal: bool) -> Iterator[str]:
    """Of each suite that has a report its answers and links to its pages, which a terminal opens on a click (OSC 8)."""
    for suite in suites:
        if (report := read_report(paths.report(suite))) is None:
            yield f"{suite}: no report yet; `make repro` makes it"
            continue
        yield from (f"{suite}:", *(f"  - {line}" for line in answers(report)))
        pages = [paths.pages(suite) / name for name in ("report.html", "explorer.html")]
        for page in [*pages, paths.report(suite) / "README.md"]:
            if page.exists():
                uri = page.resolve().as_uri()
                yield f"  {page.name:<14}" + (f"\033]8;;{uri}\033\\{uri}\033]8;;\033\\" if is_terminal else uri)


def answers(report: Report) -> list[str]:
    """A line for each question; of a suite that asks none, for each variant against the baseline."""
    if report.too_short:
        return ["this budget is too short to say anything of ingredients"]
    if report.waits:
        return [f"no answers before there are {report.waits}"]
    return [sentence(found, report.design) for found in report.questions or report.pairs]

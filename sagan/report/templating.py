"""The templates' environment, and files written whole."""

from __future__ import annotations

import html
from pathlib import Path

import jinja2

from sagan.analysis import build, comparisons, curves, factorial, rows, statistics, wording
from sagan.analysis.build import HALF
from sagan.metrics import collapse
from sagan.report.troubles import kept_of, trouble
from sagan.store.records import atomic

FORMATS = [
    *("md", "number", "spread", "interval", "p_value", "sizes", "copies", "verdict", "change", "between"),
    *("metric_cell", "metric_effect", "unranked_note", "comparison_sentence", "comparison_cells"),
    *("interaction_sentence", "modes_sentence"),
]
# What decides, where prose names it.
THRESHOLDS = {
    name: getattr(module, name)
    for module, names in (
        (statistics, ("CONFIDENCE", "FEWEST_FOR_INTERVAL")),
        (factorial, ("FEWEST_A_SIDE",)),
        (build, ("BEGUN",)),
        (comparisons, ("AGREEMENT", "LOAD")),
        (rows, ("WORSENED_FACTOR",)),
        (curves, ("SMOOTHING",)),
        (collapse, ("DIVERSITY_BELOW", "RECALL_BELOW", "RECALL_ONCE")),
    )
    for name in names
} | {"HALF": HALF}


def environment() -> jinja2.Environment:
    """Templates in which a missing name is an error, with the formats and pictures of a report at hand."""
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("sagan.report"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters |= {name: getattr(wording, name) for name in FORMATS} | {"kept_of": kept_of, "trouble": trouble}
    env.globals |= {"chart": chart, "sheet": sheet} | THRESHOLDS
    return env


def chart(name: str, alt: str) -> str:
    """A chart that follows the reader's light or dark page."""
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="figures/{name}-dark.png">'
        f'<img alt="{html.escape(alt)}" src="figures/{name}.png"></picture>'
    )


def sheet(file: str, alt: str) -> str:
    """A contact sheet, one file for both."""
    return f'<img alt="{html.escape(alt)}" src="figures/{file}">'


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")

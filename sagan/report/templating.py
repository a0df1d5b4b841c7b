"""The templates' environment, and files written whole."""

from __future__ import annotations

import html
import inspect
from pathlib import Path

import jinja2

from sagan.analysis import build, comparisons, curves, factorial, rows, statistics, wording
from sagan.metrics import collapse
from sagan.report.troubles import kept_of, trouble
from sagan.store.records import atomic

# What decides, where prose names it.
THRESHOLDS = {
    name: value
    for module in (statistics, factorial, build, comparisons, rows, curves, collapse)
    for name, value in vars(module).items()
    if name.isupper()
}


def environment() -> jinja2.Environment:
    """Templates in which a missing name is an error, with the formats and pictures of a report at hand."""
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("sagan.report"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters |= dict(inspect.getmembers(wording, inspect.isfunction)) | {"kept_of": kept_of, "trouble": trouble}
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

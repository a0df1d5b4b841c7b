"""The templates' environment, and files written whole."""

from __future__ import annotations

import html
from pathlib import Path

import jinja2

from sagan.records import atomic
from sagan.report.wording import md, number


def environment() -> jinja2.Environment:
    """Templates in which a missing name is an error, with the formats and pictures of a report at hand."""
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("sagan.report"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters |= {"md": md, "number": number}
    env.globals |= {"chart": chart, "sheet": sheet}
    return env


def chart(name: str, alt: str) -> str:
    """A chart that follows the reader's light or dark page."""
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="figures/{name}-dark.png">'
        f'<img alt="{html.escape(alt)}" src="figures/{name}.png"></picture>'
    )


def sheet(name: str, alt: str) -> str:
    """A contact sheet, one file for both."""
    return f'<img alt="{html.escape(alt)}" src="figures/{name}.png">'


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")

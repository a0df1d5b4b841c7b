"""The templates' environment, and files written whole."""

from __future__ import annotations

import html
import inspect
from pathlib import Path

import jinja2

from sagan import names
from sagan.analysis import metrics, words
from sagan.store.records import atomic


def environment() -> jinja2.Environment:
    """Templates in which a missing name is an error, with the formats and pictures of a report at hand."""
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("sagan.report"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    formats = {"metric": metrics.metric_of, "md": names.for_markdown, "html": names.for_html, "short": short}
    env.filters |= dict(inspect.getmembers(words, inspect.isfunction)) | formats
    env.globals |= {"chart": chart, "sheet": sheet, "METRICS": metrics.METRICS}
    return env


def short(name: str) -> str:
    """A setting's own name: "generator.spectral_norm" is "G spectral norm", "optimizer.lr_g" is "lr g"."""
    group, _, own = name.rpartition(".")
    return {"generator": "G ", "discriminator": "D ", "ema": "ema "}.get(group, "") + own.replace("_", " ")


def chart(name: str, alt: str, width: str = "") -> str:
    """A chart that follows the reader's light or dark page; `width` is of the page, such as "60%"."""
    sized = f' width="{width}"' if width else ""
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="figures/{name}-dark.png">'
        f'<img alt="{html.escape(alt)}" src="figures/{name}.png"{sized}></picture>'
    )


def sheet(file: str, alt: str, width: str = "") -> str:
    """A contact sheet, one file for both."""
    sized = f' width="{width}"' if width else ""
    return f'<img alt="{html.escape(alt)}" src="figures/{file}"{sized}>'


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")

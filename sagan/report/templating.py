"""The templates' environment, Markdown as a page of its own, and files written whole."""

from __future__ import annotations

import base64
import inspect
import re
from pathlib import Path

import jinja2
from markdown_it import MarkdownIt

from sagan import names
from sagan.analysis import words
from sagan.analysis.ranking import across_suites
from sagan.metrics.table import METRICS
from sagan.store.records import atomic

_PICTURE = re.compile(r'(?P<name>src|srcset)="(?P<file>figures/[\w-]+\.(?P<kind>png|webp))"')
_LINK = re.compile(r'href="(?![a-z]+:|#)')


def environment() -> jinja2.Environment:
    """Templates in which a missing name is an error, with the formats of a report at hand."""
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("sagan.report"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    formats = {"md": names.for_markdown, "html": names.for_html, "short": short, "across_suites": across_suites}
    env.filters |= dict(inspect.getmembers(words, inspect.isfunction)) | formats
    env.globals["METRICS"] = METRICS
    return env


def short(name: str) -> str:
    """A setting's own name: "generator.spectral_norm" is "G spectral norm", "optimizer.lr_g" is "lr g"."""
    group, _, own = name.rpartition(".")
    return {"generator": "G ", "discriminator": "D ", "ema": "ema "}.get(group, "") + own.replace("_", " ")


def page_of(markdown: str, folder: Path, at: str) -> str:
    """Markdown as HTML, with the pictures of `folder` inlined and links to the files that lie at an address."""
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)

    def inlined(match: re.Match[str]) -> str:
        data = base64.b64encode((folder / match["file"]).read_bytes()).decode()
        return f'{match["name"]}="data:image/{match["kind"]};base64,{data}"'

    return _PICTURE.sub(inlined, _LINK.sub(f'href="{at}/', html))


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")

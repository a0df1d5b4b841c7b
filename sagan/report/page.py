"""A report's Markdown as one HTML file that needs no network and no other file."""

from __future__ import annotations

import base64
import itertools
import re
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

_PICTURE = re.compile(r'(src|srcset)="(figures/[\w-]+\.(?:png|webp))"')


def body(markdown: str, folder: Path) -> Markup:
    """The Markdown as HTML, with headings that links can point at and the pictures of `folder` inlined."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = parser.parse(markdown)
    for heading, text in itertools.pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", slug(text.content))
    html = parser.renderer.render(tokens, parser.options, {})
    return Markup(_PICTURE.sub(lambda match: f'{match[1]}="{_data_uri(folder / match[2])}"', html))


def slug(heading: str) -> str:
    """A heading's anchor as code hosts make it: "Runs that went wrong" is runs-that-went-wrong."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _data_uri(path: Path) -> str:
    return f"data:image/{path.suffix[1:]};base64,{base64.b64encode(path.read_bytes()).decode()}"

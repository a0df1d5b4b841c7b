"""A report's Markdown as one HTML file that needs no network and no other file."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

_PICTURE = re.compile(r'(src|srcset)="(figures/[\w-]+\.(?:png|webp))"')
_LINK = re.compile(r'href="(?![a-z]+:|#)')


def body(markdown: str, folder: Path, at: str) -> Markup:
    """The Markdown as HTML, with the pictures of `folder` inlined and links to the files that lie at an address."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    html = _LINK.sub(f'href="{at}/', parser.render(markdown))
    return Markup(_PICTURE.sub(lambda match: f'{match[1]}="{_data_uri(folder / match[2])}"', html))


def _data_uri(path: Path) -> str:
    return f"data:image/{path.suffix[1:]};base64,{base64.b64encode(path.read_bytes()).decode()}"

"""Contact sheets: the runs' own pictures side by side with a label over each, pixel for pixel.

A sheet is transparent between its pictures and its letters are grey, so that one file is readable
on a light and on a dark page.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

GAP = 16
LABEL_HEIGHT = 46
SMALLEST_SIDE = 300
INK = "#768390"


@dataclass(frozen=True)
class Tile:
    """A picture file with two lines of text over it."""

    path: Path
    title: str
    subtitle: str


def sheet(tiles: list[Tile], columns: int) -> Image.Image:
    """The tiles in rows of at most `columns`. Pictures grow by whole factors only: every pixel stays one."""
    pictures = [_enlarged(tile.path) for tile in tiles]
    columns = min(columns, len(tiles))
    width, height = max(p.width for p in pictures), max(p.height for p in pictures)
    rows = -(-len(tiles) // columns)
    canvas = Image.new("RGBA", (columns * (width + GAP) - GAP, rows * (height + LABEL_HEIGHT + GAP) - GAP))
    draw = ImageDraw.Draw(canvas)
    for i, (tile, picture) in enumerate(zip(tiles, pictures, strict=True)):
        left = (i % columns) * (width + GAP)
        top = (i // columns) * (height + LABEL_HEIGHT + GAP)
        draw.text((left, top), _fitted(tile.title, width, 18, bold=True), INK, font=_font(18, bold=True))
        draw.text((left, top + 23), _fitted(tile.subtitle, width, 14), INK, font=_font(14))
        canvas.paste(picture, (left, top + LABEL_HEIGHT))
    return canvas


def save_sheet(tiles: list[Tile], path: Path, columns: int) -> None:
    """Write a sheet as PNG; PIL stores neither date nor software in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet(tiles, columns).save(path)


def _enlarged(path: Path) -> Image.Image:
    picture = Image.open(path).convert("RGB")
    factor = max(1, -(-SMALLEST_SIDE // max(picture.size)))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _fitted(text: str, width: int, size: int, bold: bool = False) -> str:
    """The text, or as much of it as the tile is wide."""
    font = _font(size, bold)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """matplotlib's own DejaVu Sans: the same letters on every machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)

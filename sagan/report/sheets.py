"""Contact sheets: the runs' own pictures side by side with a label over each, pixel for pixel.

A sheet is transparent between its pictures and its letters are grey, so that one file is readable
on a light and on a dark page.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from sagan.names import WEBP_SIDE, one_line

GAP = 16
# Height of the letters as a share of the sheet's width: pages show a sheet about 1,000 pixels wide.
LETTERS = 0.0135
SMALLEST_LETTERS = 13
SMALLEST_SIDE = 300
INK = "#768390"
# Bytes of a PNG beyond which a sheet is stored with losses.
LARGE = 1_000_000
QUALITY = 90


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
    total = columns * (width + GAP) - GAP
    size = max(SMALLEST_LETTERS, round(total * LETTERS))
    label = round(2.9 * size)
    rows = -(-len(tiles) // columns)
    canvas = Image.new("RGBA", (total, rows * (label + height + GAP) - GAP))
    draw = ImageDraw.Draw(canvas)
    for i, (tile, picture) in enumerate(zip(tiles, pictures, strict=True)):
        row, column = divmod(i, columns)
        left, top = column * (width + GAP), row * (label + height + GAP)
        for text, font, down in ((tile.title, _font(size, bold=True), 0), (tile.subtitle, _font(size), 1.3 * size)):
            draw.text((left, top + down), _fitted(one_line(text), width, font), INK, font=font)
        canvas.paste(picture, (left, top + label))
    return canvas


def save_sheet(tiles: list[Tile], path: Path, columns: int) -> Path:
    """Write a sheet and return its file: PNG, or where that is large, as of photographs, WebP if its sides allow that.

    PIL stores neither date nor software in them.

    Args:
        path: without a suffix.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    picture, file = sheet(tiles, columns), path.with_suffix(".png")
    picture.save(file)
    if file.stat().st_size <= LARGE:
        return file
    if max(picture.size) > WEBP_SIDE:
        return file
    file.unlink()
    picture.save(small := path.with_suffix(".webp"), quality=QUALITY)
    return small


def _enlarged(path: Path) -> Image.Image:
    picture = Image.open(path).convert("RGB")
    factor = max(1, -(-SMALLEST_SIDE // picture.width))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _fitted(text: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    """The text, or as much of it as the tile is wide."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """matplotlib's own DejaVu Sans: the same letters on every machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)

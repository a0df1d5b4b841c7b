"""Contact sheets: the runs' own pictures side by side with a label over each, pixel for pixel.

A sheet is transparent between its pictures and its letters are grey, so that one file is readable
on a light and on a dark page.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont, ImageOps

from sagan.names import WEBP_SIDE, one_line
from sagan.store.reading import warn_once

GAP = 16
# Height of the letters as a share of the sheet's width: pages show a sheet about 1,000 pixels wide.
LETTERS = 0.0135
SMALLEST_LETTERS = 13
SMALLEST_SIDE = 300
INK = "#768390"
# Bytes of a PNG beyond which a sheet is stored with losses.
LARGE = 1_000_000


def whole_picture(path: Path) -> Image.Image | None:
    """A picture in colours; None where it is broken, which is said."""
    try:
        return Image.open(path).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        warn_once(f"{path}: broken ({type(error).__name__}), and left out")
        return None


def sheet(tiles: list[tuple[Image.Image, str]], columns: int, letters: float = LETTERS) -> Image.Image:
    """Pictures below their labels, in rows of at most `columns`; they grow by whole factors: every pixel stays one."""
    pictures = [ImageOps.scale(of, max(1, -(-SMALLEST_SIDE // of.width)), Image.Resampling.NEAREST) for of, _ in tiles]
    columns = min(columns, len(tiles))
    width, height = (max(sides) for sides in zip(*(picture.size for picture in pictures), strict=True))
    total, rows = columns * (width + GAP) - GAP, -(-len(tiles) // columns)
    size = max(SMALLEST_LETTERS, round(total * letters))
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)  # on every machine
    above = round(2.9 * size)
    canvas = Image.new("RGBA", (total, rows * (above + height + GAP) - GAP))
    for i, (picture, (_, label)) in enumerate(zip(pictures, tiles, strict=True)):
        row, column = divmod(i, columns)
        left, top = column * (width + GAP), row * (above + height + GAP)
        head = Image.new("RGBA", (width, above))  # cuts a text that is longer
        ImageDraw.Draw(head).text((0, 0), "\n".join(map(one_line, label.splitlines())), INK, font)
        canvas.paste(head, (left, top))
        canvas.paste(picture, (left, top + above))
    return canvas


def save_sheet(picture: Image.Image, path: Path) -> Path:
    """Write a sheet beside a path without a suffix, as PNG, or where that is large, as of photographs, as WebP if its
    sides allow that; return its file. PIL stores neither date nor software in them."""
    picture.save(file := path.with_suffix(".png"))
    if file.stat().st_size > LARGE and max(picture.size) <= WEBP_SIDE:
        file.unlink()
        picture.save(file := path.with_suffix(".webp"), quality=90)
    return file

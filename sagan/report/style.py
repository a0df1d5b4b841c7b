"""One look for every figure: two themes, colours that colour-blind readers can tell apart, no clock in files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import style as matplotlib_style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

DPI = 160


@dataclass(frozen=True)
class Theme:
    """Colours of a page.

    Any two of ink and `cycle` lie at least 20 apart in CIELAB, also as seen with protanopia,
    deuteranopia and tritanopia (Machado et al. 2009), and at least 3:1 in contrast from the page.
    """

    suffix: str
    page: str
    ink: str
    muted: str
    grid: str
    cycle: tuple[str, ...]
    good: str
    bad: str


LIGHT = Theme(
    suffix="",
    page="#ffffff",
    ink="#1f2328",
    muted="#59636e",
    grid="#d9dee3",
    cycle=("#0077fd", "#bf8605", "#00a35e", "#7e5f7a", "#7f4e1a", "#1b43a2", "#42250e"),
    good="#1a7f37",
    bad="#cf222e",
)
DARK = Theme(
    suffix="-dark",
    page="#0d1117",
    ink="#f0f6fc",
    muted="#9198a1",
    grid="#2f363d",
    cycle=("#315fc9", "#ff8a4c", "#51e8a4", "#bc70a3", "#f2cd13", "#9ac3fd", "#7c7256"),
    good="#3fb950",
    bad="#f85149",
)
THEMES = (LIGHT, DARK)
_LINES = ("-", "--", ":")


@dataclass(frozen=True)
class LineStyle:
    """How a variant is drawn, the same in every figure of a report."""

    color: str
    line: str


def looks(variants: list[str], baseline: str, theme: Theme) -> dict[str, LineStyle]:
    """The baseline in ink; the others in the cycle, with other line styles once the colours are used up."""
    assigned = {baseline: LineStyle(theme.ink, "-")}
    for i, variant in enumerate(v for v in variants if v != baseline):
        round_, place = divmod(i, len(theme.cycle))
        assigned[variant] = LineStyle(theme.cycle[place], _LINES[round_ % len(_LINES)])
    return assigned


@contextmanager
def themed(theme: Theme) -> Iterator[None]:
    """matplotlib's settings for a theme, whatever the reader's own matplotlibrc says."""
    settings = {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": theme.muted,
        "axes.facecolor": theme.page,
        "axes.labelcolor": theme.ink,
        "axes.titlecolor": theme.ink,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": theme.grid,
        "grid.linewidth": 0.6,
        "figure.facecolor": theme.page,
        "savefig.facecolor": theme.page,
        "text.color": theme.ink,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "lines.linewidth": 1.6,
        "lines.solid_capstyle": "round",
    }
    with matplotlib_style.context(settings, after_reset=True):
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a PNG that is the same bytes for the same figure: no date and no software version in it.

    One drawing instead of savefig's two; 256 colours are plenty for lines and a third of the bytes.
    """
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(256, dither=Image.Dither.NONE).save(path, dpi=(DPI, DPI))

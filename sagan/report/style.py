"""One look for every figure: two themes, colours that colour-blind readers can tell apart, no clock in files."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from matplotlib import style
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
    good: str
    bad: str
    cycle: tuple[str, ...]

    def colours(self, variants: list[str], baseline: str) -> dict[str, str]:
        """A colour for each variant, the same in every figure of a report: ink is the baseline's."""
        others = [name for name in variants if name != baseline]
        return {baseline: self.ink} | dict(zip(others, self.cycle, strict=False))


_ON_LIGHT = ("#0077fd", "#bf8605", "#00a35e", "#7e5f7a", "#7f4e1a", "#1b43a2", "#42250e")
_ON_DARK = ("#315fc9", "#ff8a4c", "#51e8a4", "#bc70a3", "#f2cd13", "#9ac3fd", "#7c7256")
LIGHT = Theme("", "#ffffff", "#1f2328", "#59636e", "#d9dee3", "#1a7f37", "#cf222e", _ON_LIGHT)
DARK = Theme("-dark", "#0d1117", "#f0f6fc", "#9198a1", "#2f363d", "#3fb950", "#f85149", _ON_DARK)


def themed(theme: Theme) -> AbstractContextManager[None]:
    """matplotlib's settings for a theme, whatever the reader's own matplotlibrc says."""
    settings = {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": theme.muted,
        "axes.facecolor": theme.page,
        "axes.labelcolor": theme.ink,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": theme.grid,
        "grid.linewidth": 0.6,
        "figure.facecolor": theme.page,
        "text.color": theme.ink,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "lines.solid_capstyle": "round",
    }
    for side in "xy":
        settings |= {f"{side}tick.color": theme.muted, f"{side}tick.labelcolor": theme.ink, f"{side}tick.labelsize": 8}
    return style.context(settings, after_reset=True)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG without date and software; 256 colours are plenty for lines, and a third of the bytes."""
    figure.savefig(path, dpi=DPI)
    picture = Image.open(path).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(path, dpi=(DPI, DPI))

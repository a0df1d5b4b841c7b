"""Charts of what happened inside the runs: losses, largest singular values, attention's gammas and entropies."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sagan.analysis.curves import Panel
from sagan.analysis.model import Analysis
from sagan.report.charts import LEGEND_LINE, WIDTH, looks_of
from sagan.report.style import Theme


def losses(analysis: Analysis, theme: Theme) -> Figure | None:
    """Both losses, each network's largest singular value, and whether the discriminator memorises; seeds and means."""
    panels = analysis.dynamics.losses
    return _panels(analysis, theme, panels, columns=2) if panels else None


def attention(analysis: Analysis, theme: Theme) -> Figure | None:
    """The magnitude of gamma over training in each network that attends, and how concentrated its maps are."""
    panels, entropies = analysis.dynamics.attention, analysis.dynamics.entropies
    if not panels and not entropies:
        return None
    count = len(panels) + bool(entropies)
    figure = _panels(analysis, theme, panels, columns=count if count < 4 else 2, extra=bool(entropies))
    if entropies:
        _entropy_panel(figure.axes[len(panels)], analysis, theme)
    return figure


def _panels(analysis: Analysis, theme: Theme, drawn: list[Panel], columns: int, extra: bool = False) -> Figure:
    """A panel for each title; the legend holds the variants once."""
    count = len(drawn) + extra
    rows = -(-count // columns)
    ordered = [v.name for v in analysis.shown if any(v.name in panel.runs for panel in drawn)]
    legend_columns = _legend_columns(ordered)
    legend_rows = -(-len(ordered) // legend_columns)
    height = 0.9 + 1.9 * rows + LEGEND_LINE * max(0, legend_rows - 2)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = list(figure.subplots(rows, columns if rows > 1 else count, squeeze=False).flat)
    styles = looks_of(analysis, theme)
    handles = {}
    for ax, panel in zip(axes, drawn, strict=False):
        ax.set_title(panel.title)
        ax.set_xlabel("generator step")
        for variant, runs in panel.runs.items():
            look = styles[variant]
            for line in runs:
                ax.plot(line.steps, line.values, color=look.color, ls=look.line, lw=0.6, alpha=0.35)
            mean = panel.means[variant]
            (handles[variant],) = ax.plot(mean.steps, mean.values, color=look.color, ls=look.line, lw=1.6)
        if panel.base is not None:
            ax.axhline(panel.base, color=theme.muted, lw=0.8, ls="--" if panel.base else "-")
    for ax in axes[count:]:
        ax.set_visible(False)
    figure.legend([handles[v] for v in ordered], ordered, loc="outside lower center", ncols=legend_columns)
    return figure


def _legend_columns(names: list[str]) -> int:
    """As many columns, at most five, as names of these lengths have room for beside each other."""
    for columns in range(min(len(names), 5), 1, -1):
        rows = -(-len(names) // columns)
        longest = [max(map(len, names[top : top + rows])) for top in range(0, len(names), rows)]
        if sum(0.53 + 0.06 * length for length in longest) <= WIDTH:
            return columns
    return 1


def _entropy_panel(ax: Axes, analysis: Analysis, theme: Theme) -> None:
    styles, entropies = looks_of(analysis, theme), analysis.dynamics.entropies
    for x, by_variant in enumerate(entropies.values()):
        for i, (variant, shares) in enumerate(by_variant.items()):
            look = styles[variant]
            place = x + 0.6 * ((i + 0.5) / len(by_variant) - 0.5)
            ax.plot([place] * len(shares), shares, ls="", marker=look.marker, ms=3.5, color=look.color, alpha=0.75)
    ax.axhline(1, color=theme.muted, lw=0.8, ls="--")
    ax.set_xticks(range(len(entropies)), [layer.replace(".", " at ") for layer in entropies], fontsize=7)
    ax.set_xlim(-0.5, len(entropies) - 0.5)
    ax.grid(False, axis="x")
    ax.set_title("entropy / uniform, at the end")

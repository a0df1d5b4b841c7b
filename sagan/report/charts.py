"""A report's charts, of an analysis and a theme, None for nothing; and what is shown where there is no room for all."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from sagan.analysis.model import At, Design, Question, Report
from sagan.analysis.tables import Analysis
from sagan.analysis.words import parts_of_title
from sagan.names import for_figure

# Variants in charts and on sheets, and comparisons in the first lines of a suite that asks nothing.
SHOWN = 8
# Steps that a line of training averages over, as a share of the run.
SMOOTHING = 0.05
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


def shown_variants(report: Report) -> list[str]:
    """All variants, or of a large suite the baseline, the best and the worst."""
    ranking, baseline, names = report.ranking, report.design.baseline, list(report.design.variants)
    if len(names) <= SHOWN:
        return names
    order = [one.variant for one in ranking.standings] if ranking else names
    others = [name for name in order if name != baseline]
    half = SHOWN // 2
    return [baseline, *(others if len(others) < SHOWN else [*others[:half], *others[half - SHOWN + 1 :]])]


def told_questions(report: Report) -> list[Question]:
    """What the first lines answer: the questions; of a suite that asks none, variants against the baseline."""
    shown = shown_variants(report)
    return report.questions or [pair for pair in report.pairs if pair.level in shown]


def typical_run(analysis: Analysis, variant: str) -> pd.Series | None:
    """The row of results.csv of a variant's median run; of two in the middle, the worse. None without a figure."""
    runs, metric = analysis.tables.runs, analysis.design.metric
    of = runs[(runs["space"] == analysis.design.space) & (runs["variant"] == variant)].dropna(subset=[metric])
    return of.sort_values(metric, kind="stable").iloc[len(of) // 2] if len(of) else None


def effects(asked: Sequence[Question], design: Design, theme: Theme) -> Figure | None:
    """Each question per step and per second: the estimate, its 95 % interval (thick) and the deciding one (thin)."""
    if not any(found.steps.effect or found.time.effect for found in asked):
        return None
    figure = Figure(figsize=(6.2, 0.75 + 0.42 * len(asked)), layout="constrained")
    # Of a difference nothing says how large one is worth having, nor what its unit is.
    worth = 100 * design.smallest_effect if design.main.scale == "log" else 0.0
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    colours = {None: theme.muted, "helps": theme.good, "hurts": theme.bad}
    for ax, title, of in zip(axes, ("per step", "per second"), ("steps", "time"), strict=True):
        ax.axvspan(-worth, worth, color=theme.muted, alpha=0.18, lw=0, zorder=0)
        ax.axvline(0, color=theme.ink, lw=0.8, zorder=1)
        for y, answer in enumerate(getattr(found, of) for found in asked):
            if (effect := answer.effect) is None:
                ax.text(0.02, y, answer.why, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
                continue
            color = colours[effect.direction]
            ax.plot([effect.decide_low, effect.decide_high], [y, y], color=color, lw=1, marker="|", ms=6)
            ax.plot([effect.low, effect.high], [y, y], color=color, lw=3)
            ax.plot(effect.estimate, y, marker="o", ms=6, color=color, mec=theme.page, zorder=4)
        ax.set_title(title)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        if worth:
            ax.xaxis.set_major_formatter(_percent)
        ax.set_yticks(range(len(asked)), [_name(found, design) for found in asked])
        ax.set_ylim(len(asked) - 0.5, -0.5)
        ax.grid(False, axis="y")
        ax.tick_params(axis="y", length=0)
    low, high = axes[0].get_xlim()
    axes[0].set_xlim(min(low, -2 * worth), max(high, 2 * worth))
    figure.supxlabel(f"change of {design.main.title}", fontsize=8)
    return figure


def budget(analysis: Analysis, theme: Theme) -> Figure | None:
    """A panel a question: its effect and 95 % interval at each snapshot, at equal steps and at equal time."""
    design, rows = analysis.design, defaultdict(list)
    for row in sorted(analysis.effects, key=lambda row: row.budget):
        if (row.given, row.metric, row.space) == ("", design.metric, design.space):
            rows[row.question, row.level, row.at].append(row)
    asked = [of for of in analysis.report.questions if len(rows[of.question, of.level, "steps"]) > 1]
    if not asked:
        return None
    figure, axes = _panels(len(asked), 4, 2.1, sharey=True)
    for ax, found in zip(axes, asked, strict=True):
        ax.axhline(0, color=theme.ink, lw=0.8, zorder=1)
        last = rows[found.question, found.level, "steps"][-1].budget
        ways: list[tuple[At, str, str]] = [("steps", theme.ink, "o"), ("time", theme.cycle[1], "s")]
        for at, color, marker in ways:
            if of := rows[found.question, found.level, at]:
                # Time in units of the cheaper level's steps, beside the steps, so that both stand on one axis.
                unit, beside = (1, 0) if at == "steps" else (last / of[-1].budget, 0.012 * last)
                error = [[row.estimate - row.low for row in of], [row.high - row.estimate for row in of]]
                x, y = [row.budget * unit + beside for row in of], [row.estimate for row in of]
                ax.errorbar(x, y, error, color=color, marker=marker, ms=4, lw=1.4, label=f"equal {at}")
        ax.set_title(_name(found, design), fontsize=8.5)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.yaxis.set_major_formatter(_percent)
        ax.set_xlim(0, 1.06 * last)
    _legend(figure, axes, "outside upper right")
    figure.supxlabel("generator steps (at equal time: of the cheaper level)", fontsize=8)
    return figure


def training(analysis: Analysis, theme: Theme) -> Figure | None:
    """Each variant's mean over runs, smoothed: of the metric at each snapshot, and of what the log says of training."""
    design, tables = analysis.design, analysis.tables
    snapshots = tables.snapshots[(tables.snapshots["space"] == design.space) & (tables.snapshots["step"] > 0)]
    logged = pd.concat([tables.training, snapshots[["variant", "step", design.metric]]])
    if {"score_train", "score_held_out"} <= set(logged):
        logged["by_heart"] = logged["score_train"] - logged["score_held_out"]
    gammas = [name for name in logged if name.startswith("gamma.")]
    logged[gammas] = logged[gammas].abs()
    titles = {
        design.metric: design.main.title,
        "loss_g": "generator's loss",
        "loss_d": "discriminator's loss",
        "sigma_max.generator": "largest sigma, generator",
        "sigma_max.discriminator": "largest sigma, discriminator",
        "by_heart": "score, training over held-out",
    } | {name: "gamma, {} at {}".format(*name.split(".")[1:3]) for name in gammas}
    drawn = [name for name in shown_variants(analysis.report) if name in set(logged["variant"])]
    means = logged[logged["variant"].isin(drawn)].groupby(["variant", "step"])[list(titles.keys() & set(logged))].mean()
    titles = {name: title for name, title in titles.items() if name in means and means[name].nunique() > 1}
    if not titles:
        return None
    figure, axes = _panels(len(titles), 3, 1.7)
    colours = theme.colours(drawn, design.baseline)
    for ax, (name, title) in zip(axes, titles.items(), strict=True):
        for variant, mean in means[name].dropna().groupby("variant"):
            smooth = mean.droplevel(0).rolling(max(1, round(SMOOTHING * len(mean))), min_periods=1).mean()
            ax.plot(smooth, color=colours[variant], lw=1.3, label=for_figure(variant))
        ax.set_title(title, fontsize=8.5)
    _legend(figure, axes, "outside lower center")
    return figure


CHARTS = {
    "answers": lambda of, theme: effects(told_questions(of.report), of.design, theme),
    "along-the-budget": budget,
    "training": training,
}


def _percent(value: float, _: float) -> str:
    return f"{value:+g} %" if value else "0"


def _panels(count: int, columns: int, height: float, **shared: Any) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels of a height, at most so many side by side."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(max(4.8, 2.5 * columns), 0.7 + height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for ax in axes[count:]:
        ax.set_visible(False)
    return figure, axes[:count]


def _legend(figure: Figure, axes: list[Axes], place: str) -> None:
    """Of everything that any panel draws, each once."""
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    beside = int(figure.get_figwidth() / (0.55 + 0.065 * max(map(len, handles))))
    figure.legend(handles.values(), handles.keys(), loc=place, ncols=min(4, beside) or 1)


def _name(found: Question, design: Design) -> str:
    return "\n".join(for_figure(part) for part in parts_of_title(found, design) if part)

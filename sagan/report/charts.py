"""Charts of quality: functions of an analysis and a theme. They return None where nothing was measured."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from sagan.analysis.model import Analysis
from sagan.analysis.statistics import Estimate
from sagan.report.style import Look, Theme, looks

WIDTH = 8.0
PANELS_PER_ROW = 4
# Intervals between the ticks that a narrow panel has room for.
TICKS = 3
# Letters of a variant's name that fit over a panel at full size.
LONG_NAME = 20
# Inches of a line of a legend.
LEGEND_LINE = 0.172
# From this ratio of largest to smallest on, an axis is logarithmic.
WIDE = 4


def fid_by_variant(analysis: Analysis, theme: Theme) -> Figure | None:
    """Every seed's FID with mean and interval, and beside it the difference from the baseline."""
    variants = analysis.shown
    fids = [fid for variant in variants for fid in variant.fids()]
    if not fids:
        return None
    styles = looks_of(analysis, theme)
    figure = Figure(figsize=(WIDTH, 1.0 + 0.36 * len(variants)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for y, variant in enumerate(variants):
        look = styles[variant.name]
        if variant.fid:
            _seeds_and_mean(left, y, variant.fids(), variant.fid, look, theme)
        if lost := variant.counts.told("diverged", "missing"):
            left.annotate(
                lost, (1, y), (0, -9), xycoords=("axes fraction", "data"), textcoords="offset points",
                ha="right", va="center", fontsize=7, color=theme.muted,
            )  # fmt: skip
        found = analysis.space.against_baseline.get(variant.name)
        if found and found.percent is not None:
            _effect(right, y, found.percent, found.low, found.high, look.color, theme, look.marker)
    _plain_log_if_wide(left.xaxis, fids)
    left.set_yticks(range(len(variants)), [variant.label for variant in variants])
    left.set_ylim(len(variants) - 0.4, -0.6)
    left.set_xlabel("FID (lower is better)")
    right.axvline(0, color=theme.ink, lw=0.8, zorder=1)
    right.set_xlabel(f"change from {analysis.records.baseline} in % (left is better)")
    for ax in (left, right):
        ax.grid(False, axis="y")
        ax.tick_params(axis="y", length=0)
    for label, variant in zip(left.get_yticklabels(), variants, strict=True):
        label.set_color(styles[variant.name].color)
    return figure


def answers(analysis: Analysis, theme: Theme) -> Figure | None:
    """A panel for each metric with the effect of each question and its interval; FID in percent."""
    asked = analysis.questions
    if asked is None or not asked.metrics:
        return None
    metrics, factors = asked.shown_metrics, analysis.records.suite.questions
    columns = min(len(metrics), PANELS_PER_ROW)
    rows = -(-len(metrics) // columns)
    figure = Figure(figsize=(WIDTH, rows * (0.75 + 0.25 * len(factors))), layout="constrained")
    figure.subplots(rows, columns, sharey=True, squeeze=False)
    for ax, metric in zip(figure.axes, metrics, strict=False):
        ax.axvline(0, color=theme.ink, lw=0.8, zorder=1)
        if metric.name == "fid":
            worth = analysis.records.suite.smallest_effect
            ax.axvspan(-100 * worth, 100 * worth, color=theme.muted, alpha=0.18, lw=0, zorder=0)
        for effect in asked.metrics:
            if effect.metric == metric:
                y = factors.index(effect.factor)
                color = {None: theme.muted, True: theme.good, False: theme.bad}[effect.better]
                _effect(ax, y, effect.size, effect.low, effect.high, color, theme)
        ax.set_title(metric.heading + (" (%)" if metric.scale == "log" else ""))
        ax.xaxis.set_major_locator(MaxNLocator(TICKS))
        ax.set_yticks(range(len(factors)), [factor.replace("_", " ") for factor in factors])
        ax.set_ylim(len(factors) - 0.5, -0.5)
        ax.grid(False, axis="y")
        ax.tick_params(axis="y", length=0)
    for ax in figure.axes[len(metrics) :]:
        ax.set_visible(False)
    return figure


def fid_against_step(analysis: Analysis, theme: Theme) -> Figure | None:
    """A panel for each variant: every seed, their mean, and the baseline's mean for comparison."""
    drawn = [variant for variant in analysis.shown if any(row.curve for row in variant.rows)]
    if not drawn or not analysis.has_curve:
        return None
    styles, baseline = looks_of(analysis, theme), analysis.records.baseline
    rows = -(-len(drawn) // PANELS_PER_ROW)
    columns = min(len(drawn), PANELS_PER_ROW)
    figure = Figure(figsize=(WIDTH, 0.6 + 1.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    means = {variant.name: [(p.step, p.mean) for p in variant.curve] for variant in analysis.space.variants.values()}
    fids = [fid for variant in drawn for row in variant.rows for _, fid in row.curve]
    for ax, variant in zip(axes.flat, drawn, strict=False):
        look = styles[variant.name]
        if variant.name != baseline and means[baseline]:
            ax.plot(*zip(*means[baseline], strict=True), color=theme.muted, lw=1, ls=(0, (4, 2)))
        for row in variant.rows:
            if row.curve:
                ax.plot(*zip(*row.curve, strict=True), color=look.color, lw=0.8, alpha=0.6)
                if row.status == "diverged":
                    ax.plot(*row.curve[-1], marker="x", ms=6, mew=1.6, color=look.color)
        if means[variant.name]:
            ax.plot(*zip(*means[variant.name], strict=True), color=look.color, lw=2)
        ax.set_title(variant.label, color=look.color, fontsize=min(9, 9 * LONG_NAME / len(variant.label)))
        counts = f"{variant.counts.measured}/{variant.counts.total}"
        ax.set_title(counts, loc="right", fontsize=7, fontweight="normal", color=theme.muted)
    for ax in axes.flat[len(drawn) :]:
        ax.set_visible(False)
    _plain_log_if_wide(axes.flat[0].yaxis, fids)
    figure.supylabel("FID", fontsize=9)
    figure.supxlabel("generator step", fontsize=9)
    for column in range(columns):
        lowest = max(row for row in range(rows) if row * columns + column < len(drawn))
        axes[lowest, column].tick_params(labelbottom=True)
    return figure


def fid_against_time(analysis: Analysis, theme: Theme) -> Figure | None:
    """Mean FID against seconds of the steps, the range over seeds as a band: which variant is ahead at equal cost."""
    timed = [(v, points) for v in analysis.shown if (points := [p for p in v.curve if p.seconds is not None])]
    if not timed or not analysis.has_curve:
        return None
    styles = looks_of(analysis, theme)
    figure = Figure(figsize=(WIDTH, _height_beside_legend(3.6, len(analysis.shown))), layout="constrained")
    ax = figure.subplots()
    for variant, points in timed:
        look, seconds = styles[variant.name], [point.seconds for point in points]
        lows, highs = [point.low for point in points], [point.high for point in points]
        ax.fill_between(seconds, lows, highs, color=look.color, alpha=0.13, lw=0)
        means = [point.mean for point in points]
        ax.plot(seconds, means, color=look.color, ls=look.line, marker=look.marker, ms=4, label=variant.label)
    measured = [fid for _, points in timed for point in points for fid in (point.low, point.high)]
    _plain_log_if_wide(ax.yaxis, measured)
    ax.set_xlabel("time of the steps (s)")
    ax.set_ylabel("FID")
    figure.legend(loc="outside right upper")
    return figure


def fid_against_cost(analysis: Analysis, theme: Theme) -> Figure | None:
    """Final FID against what a run's steps took; the line joins the variants that none beats in both."""
    drawn = [variant for variant in analysis.space.variants.values() if variant.at_cost]
    if not drawn:
        return None
    named = [variant.name for variant in analysis.shown]
    named += [name for name in analysis.front if name not in named]  # last: the others look as in every other chart
    styles = looks(named, analysis.records.baseline, theme)
    figure = Figure(figsize=(WIDTH, _height_beside_legend(3.4, len(named) + 1)), layout="constrained")
    ax = figure.subplots()
    for variant in drawn:
        if variant.name not in styles:
            ax.plot(*variant.at_cost, ls="", marker="o", ms=3, mew=0, color=theme.muted, zorder=2)
            continue
        look, label = styles[variant.name], variant.label
        runs = zip(*variant.runs_at_cost, strict=True)
        ax.plot(*runs, ls="", marker=look.marker, ms=3.5, color=look.color, alpha=0.5)
        ax.plot(
            *variant.at_cost, ls="", marker=look.marker, ms=9, color=look.color, mec=theme.page, label=label, zorder=4
        )
    line = zip(*(analysis.space.variants[name].at_cost for name in analysis.front), strict=True)
    ax.plot(*line, color=theme.muted, lw=1, ls="--", zorder=1, label="Pareto front")
    _plain_log_if_wide(ax.yaxis, [fid for variant in drawn for fid in variant.fids()])
    ax.set_xlabel("time of a run's steps (s)")
    ax.set_ylabel("FID")
    figure.legend(loc="outside right upper")
    return figure


def looks_of(analysis: Analysis, theme: Theme) -> dict[str, Look]:
    return looks([variant.name for variant in analysis.shown], analysis.records.baseline, theme)


def _height_beside_legend(least: float, entries: int) -> float:
    """Inches of a chart that has all of its legend's lines at its side."""
    return max(least, 0.2 + LEGEND_LINE * entries)


def _seeds_and_mean(ax: Axes, y: float, values: list[float], summary: Estimate, look: Look, theme: Theme) -> None:
    """One line of a forest plot: seeds as dots, and under them their mean with its interval where there is one."""
    ax.plot(values, [y - 0.17] * len(values), ls="", marker="o", ms=4, mew=0, color=look.color, alpha=0.6, zorder=3)
    if summary.low is not None:
        ax.plot([summary.low, summary.high], [y + 0.13] * 2, color=look.color, lw=2)
    ax.plot(summary.mean, y + 0.13, marker=look.marker, ms=7, mec=theme.page, mew=0.8, color=look.color, zorder=4)


def _effect(
    ax: Axes, y: float, size: float, low: float | None, high: float | None, color: str, theme: Theme, marker: str = "o"
) -> None:
    """One line of a forest plot of effects: the interval, where there is one, under the size."""
    if low is not None:
        ax.plot([low, high], [y, y], color=color, lw=2)
    ax.plot(size, y, marker=marker, ms=6, color=color, mec=theme.page, zorder=4)


def _plain_log_if_wide(axis: Axis, values: list[float]) -> None:
    """A logarithmic axis with plain numbers where the values span much, a linear one otherwise."""
    if min(values) <= 0 or max(values) < WIDE * min(values):
        return
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    very_wide = max(values) > 15 * min(values)
    axis.set_major_locator(LogLocator(base=10, subs=(1, 3) if very_wide else (1, 1.5, 2, 3, 5, 7)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())

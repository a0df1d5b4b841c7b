"""Charts of quality: functions of a suite's records and a theme. They return None where nothing was measured."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from sagan.report.collect import SuiteRecords
from sagan.report.effects import Effect, baseline_effects, ingredient_effects
from sagan.report.selection import shown, shown_effects
from sagan.report.statistics import Estimate, estimate, pareto_front
from sagan.report.style import Look, Theme, looks
from sagan.report.wording import judged

WIDTH = 8.0
PANELS_PER_ROW = 4
# Letters of a variant's name that fit over a panel at full size.
LONG_NAME = 20
# Inches of a line of a legend.
LEGEND_LINE = 0.172
# From this ratio of largest to smallest on, an axis is logarithmic.
WIDE = 4


def fid_by_variant(records: SuiteRecords, theme: Theme) -> Figure | None:
    """Every seed's FID with mean and interval, and beside it the difference from the baseline."""
    records = shown(records)
    drawn = [variant for variant in records.variants if records.figures(variant)]
    if not drawn:
        return None
    effects = baseline_effects(records)
    styles = looks(records.variants, records.baseline, theme)
    figure = Figure(figsize=(WIDTH, 1.0 + 0.36 * len(records.variants)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for y, variant in enumerate(records.variants):
        look, fids = styles[variant], list(records.figures(variant).values())
        if (summary := estimate(fids)) is not None:
            _seeds_and_mean(left, y, fids, summary, look, theme)
        lost = [f"{n} {what}" for what in ("diverged", "missing") if (n := len(records.of(variant, what)))]
        if lost:
            left.annotate(
                ", ".join(lost), (1, y), (0, -9), xycoords=("axes fraction", "data"), textcoords="offset points",
                ha="right", va="center", fontsize=7, color=theme.muted,
            )  # fmt: skip
        effect = effects.get(variant)
        if effect and effect.difference:
            _seeds_and_mean(right, y, effect.difference.by_seed.values(), effect.difference.estimate, look, theme)
    _plain_log_if_wide(left.xaxis, [fid for variant in drawn for fid in records.figures(variant).values()])
    left.set_yticks(range(len(records.variants)), records.variants)
    left.set_ylim(len(records.variants) - 0.4, -0.6)
    left.set_xlabel("FID (lower is better)")
    _difference_axis(right, records, theme, f"difference from {records.baseline}")
    for ax in (left, right):
        ax.grid(False, axis="y")
        ax.tick_params(axis="y", length=0)
    for label, variant in zip(left.get_yticklabels(), records.variants, strict=True):
        label.set_color(styles[variant].color)
    return figure


def ingredients(records: SuiteRecords, theme: Theme) -> Figure | None:
    """The effect of each ingredient with the others held: seeds, mean, interval, and the noise floor as a band."""
    effects = shown_effects(ingredient_effects(records))
    if not effects:
        return None
    figure = Figure(figsize=(WIDTH, 0.9 + 0.42 * len(effects)), layout="constrained")
    ax = figure.subplots()
    for y, effect in enumerate(effects):
        is_muted = effect.interaction or effect.judgement == "runs lost"
        look = Look(theme.muted if is_muted else theme.cycle[0], "-", "D" if effect.interaction else "o")
        _seeds_and_mean(ax, y, effect.difference.by_seed.values(), effect.difference.estimate, look, theme)
    ax.set_yticks(range(len(effects)), [_effect_label(effect) for effect in effects])
    ax.set_ylim(len(effects) - 0.4, -0.6)
    ax.grid(False, axis="y")
    ax.tick_params(axis="y", length=0)
    _difference_axis(ax, records, theme, "change of FID")
    return figure


def fid_against_step(records: SuiteRecords, theme: Theme) -> Figure | None:
    """A panel for each variant: every seed, their mean, and the baseline's mean for comparison."""
    records = shown(records)
    drawn = [variant for variant in records.variants if any(row.curve for row in records.of(variant))]
    if not drawn:
        return None
    styles = looks(records.variants, records.baseline, theme)
    rows = -(-len(drawn) // PANELS_PER_ROW)
    columns = min(len(drawn), PANELS_PER_ROW)
    figure = Figure(figsize=(WIDTH, 0.6 + 1.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    baseline_mean = _mean_curve(records, records.baseline)
    fids = [fid for row in records.rows for _, fid in row.curve]
    for ax, variant in zip(axes.flat, drawn, strict=False):
        look = styles[variant]
        if variant != records.baseline and baseline_mean:
            ax.plot(*zip(*baseline_mean, strict=True), color=theme.muted, lw=1, ls=(0, (4, 2)))
        for row in records.of(variant):
            if row.curve:
                ax.plot(*zip(*row.curve, strict=True), color=look.color, lw=0.8, alpha=0.6)
                if row.status == "diverged":
                    ax.plot(*row.curve[-1], marker="x", ms=6, mew=1.6, color=look.color)
        mean = _mean_curve(records, variant)
        if mean:
            ax.plot(*zip(*mean, strict=True), color=look.color, lw=2)
        _floor_line(ax, records, theme, fids)
        ax.set_title(variant, color=look.color, fontsize=min(9, 9 * LONG_NAME / len(variant)))
        counts = f"{len(records.of(variant, 'measured'))}/{len(records.of(variant))}"
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


def fid_against_time(records: SuiteRecords, theme: Theme) -> Figure | None:
    """Mean FID against training seconds with the range over seeds as a band: which variant is ahead at equal cost."""
    records = shown(records)
    styles = looks(records.variants, records.baseline, theme)
    figure = Figure(figsize=(WIDTH, _height_beside_legend(3.6, len(records.variants))), layout="constrained")
    ax = figure.subplots()
    measured = []
    for variant in records.variants:
        points = _by_step(records, variant)
        if not points:
            continue
        look = styles[variant]
        seconds = [np.median([s for s, _ in at_step]) for at_step in points.values()]
        fids = [[fid for _, fid in at_step] for at_step in points.values()]
        ax.fill_between(seconds, [min(f) for f in fids], [max(f) for f in fids], color=look.color, alpha=0.13, lw=0)
        ax.plot(
            seconds, [np.mean(f) for f in fids], color=look.color, ls=look.line, marker=look.marker, ms=4, label=variant
        )
        measured += [fid for at_step in fids for fid in at_step]
    if not measured:
        return None
    _plain_log_if_wide(ax.yaxis, measured)
    _floor_line(ax, records, theme, measured)
    ax.set_xlabel("training time (s)")
    ax.set_ylabel("FID")
    figure.legend(loc="outside right upper")
    return figure


def fid_against_cost(records: SuiteRecords, theme: Theme) -> Figure | None:
    """Final FID against what a run's training took; the line joins the variants that none beats in both."""
    runs = {variant: _seconds_and_fid(records, variant) for variant in records.variants}
    means = {
        v: (float(np.median(points[:, 0])), float(np.mean(points[:, 1]))) for v, points in runs.items() if len(points)
    }
    if not means:
        return None
    front, named = pareto_front(means), shown(records).variants
    named += [variant for variant in front if variant not in named]  # last: the others look as in every other chart
    styles = looks(named, records.baseline, theme)
    figure = Figure(figsize=(WIDTH, _height_beside_legend(3.4, len(named) + 1)), layout="constrained")
    ax = figure.subplots()
    for variant, mean in means.items():
        if variant not in styles:
            ax.plot(*mean, ls="", marker="o", ms=3, mew=0, color=theme.muted, zorder=2)
            continue
        look = styles[variant]
        ax.plot(*runs[variant].T, ls="", marker=look.marker, ms=3.5, color=look.color, alpha=0.5)
        ax.plot(*mean, ls="", marker=look.marker, ms=9, color=look.color, mec=theme.page, label=variant, zorder=4)
    line = np.array([means[variant] for variant in front]).T
    ax.plot(*line, color=theme.muted, lw=1, ls="--", zorder=1, label="Pareto front")
    _plain_log_if_wide(ax.yaxis, [row.metric("fid") for row in records.rows if row.metric("fid") is not None])
    ax.set_xlabel("training time of a run (s)")
    ax.set_ylabel("FID")
    figure.legend(loc="outside right upper")
    return figure


def _seconds_and_fid(records: SuiteRecords, variant: str) -> np.ndarray:
    """Training seconds and final FID [N, 2] of the measured runs that have both."""
    points = [(row.seconds, row.metric("fid")) for row in records.of(variant, "measured")]
    return np.array([point for point in points if None not in point]).reshape(-1, 2)


def _height_beside_legend(least: float, entries: int) -> float:
    """Inches of a chart that has all of its legend's lines at its side."""
    return max(least, 0.2 + LEGEND_LINE * entries)


def _seeds_and_mean(ax: Axes, y: float, values: Iterable[float], summary: Estimate, look: Look, theme: Theme) -> None:
    """One line of a forest plot: seeds as dots, and under them their mean with its interval where there is one."""
    values = list(values)
    ax.plot(values, [y - 0.17] * len(values), ls="", marker="o", ms=4, mew=0, color=look.color, alpha=0.6, zorder=3)
    if summary.low is not None:
        ax.plot([summary.low, summary.high], [y + 0.13] * 2, color=look.color, lw=2)
    ax.plot(summary.mean, y + 0.13, marker=look.marker, ms=7, mec=theme.page, mew=0.8, color=look.color, zorder=4)


def _difference_axis(ax: Axes, records: SuiteRecords, theme: Theme, label: str) -> None:
    ax.axvline(0, color=theme.ink, lw=0.8, zorder=1)
    if records.floor:
        ax.axvspan(-records.floor, records.floor, color=theme.muted, alpha=0.18, lw=0, zorder=0)
    ax.set_xlabel(f"{label} (left is better)")


def _effect_label(effect: Effect) -> str:
    """Two lines at most: what is compared, in which variants, and what they lost."""
    lost = f" ({judged(effect)})" if effect.judgement == "runs lost" else ""
    if effect.interaction:
        return effect.ingredient + lost
    where = f"\n{effect.where}" if len(effect.treated) == 1 else f"\nmain effect, {effect.where}"
    return f"{effect.ingredient}: {effect.level} instead of {effect.other}{where}{lost}"


def _mean_curve(records: SuiteRecords, variant: str) -> list[tuple[int, float]]:
    """The mean over the seeds that were measured to the end, so that it never jumps when a run drops out."""
    by_step: dict[int, list[float]] = {}
    for row in records.of(variant, "measured"):
        for step, fid in row.curve:
            by_step.setdefault(step, []).append(fid)
    return [(step, float(np.mean(fids))) for step, fids in sorted(by_step.items())]


def _by_step(records: SuiteRecords, variant: str) -> dict[int, list[tuple[float, float]]]:
    """step -> (seconds, FID) of the measured seeds, in order of steps."""
    points: dict[int, list[tuple[float, float]]] = {}
    for row in records.of(variant, "measured"):
        for step, fid in row.curve:
            seconds = row.at_step(step)[1]
            if seconds is not None:
                points.setdefault(step, []).append((seconds, fid))
    return dict(sorted(points.items()))


def _floor_line(ax: Axes, records: SuiteRecords, theme: Theme, fids: list[float]) -> None:
    """The noise floor, where drawing it does not squeeze the rest."""
    if records.floor and records.floor > min(fids) / 3:
        ax.axhline(records.floor, color=theme.muted, lw=1, ls=":")


def _plain_log_if_wide(axis: Axis, values: list[float]) -> None:
    """A logarithmic axis with plain numbers where the values span much, a linear one otherwise."""
    if min(values) <= 0 or max(values) < WIDE * min(values):
        return
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    very_wide = max(values) > 15 * min(values)
    axis.set_major_locator(LogLocator(base=10, subs=(1, 3) if very_wide else (1, 1.5, 2, 3, 5, 7)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())

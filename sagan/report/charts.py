"""The report's charts: functions of a suite's records and a theme. They return None where nothing was measured."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from sagan.report.collect import SuiteRecords
from sagan.report.style import Theme, looks

WIDTH = 8.0
PANELS_PER_ROW = 4


def fid_against_step(records: SuiteRecords, theme: Theme) -> Figure | None:
    """A panel for each variant: every seed, their mean, and the baseline's mean for comparison."""
    drawn = [variant for variant in records.variants if any(row.curve for row in records.of(variant))]
    if not drawn:
        return None
    styles = looks(records.variants, records.baseline, theme)
    rows = -(-len(drawn) // PANELS_PER_ROW)
    columns = min(len(drawn), PANELS_PER_ROW)
    figure = Figure(figsize=(WIDTH, 0.5 + 1.75 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    baseline_mean = _mean_curve(records, records.baseline)
    for ax, variant in zip(axes.flat, drawn, strict=False):
        look = styles[variant]
        if variant != records.baseline and baseline_mean:
            ax.plot(*zip(*baseline_mean, strict=True), color=theme.muted, lw=1, ls=(0, (4, 2)))
        for row in records.of(variant):
            if row.curve:
                ax.plot(*zip(*row.curve, strict=True), color=look.color, lw=0.8, alpha=0.55)
                if row.status == "diverged":
                    ax.plot(*row.curve[-1], marker="x", ms=6, mew=1.6, color=look.color)
        mean = _mean_curve(records, variant)
        if mean:
            ax.plot(*zip(*mean, strict=True), color=look.color, lw=2)
        counts = f"{len(records.of(variant, 'measured'))} of {len(records.of(variant))}"
        ax.set_title(f"{variant}", color=look.color)
        ax.text(
            0.98, 0.94, f"{counts} seeds", transform=ax.transAxes, ha="right", va="top", fontsize=7, color=theme.muted
        )
    for ax in axes.flat[len(drawn) :]:
        ax.set_visible(False)
    _log_fid(axes.flat[0], records)
    for ax in axes[:, 0]:
        ax.set_ylabel("FID")
    figure.supxlabel("generator step", fontsize=9)
    for column in range(columns):
        lowest = max(row for row in range(rows) if row * columns + column < len(drawn))
        axes[lowest, column].tick_params(labelbottom=True)
    return figure


def _mean_curve(records: SuiteRecords, variant: str) -> list[tuple[int, float]]:
    """The mean over the seeds that were measured to the end, so that it never jumps when a run drops out."""
    by_step: dict[int, list[float]] = {}
    for row in records.of(variant, "measured"):
        for step, fid in row.curve:
            by_step.setdefault(step, []).append(fid)
    return [(step, float(np.mean(fids))) for step, fids in sorted(by_step.items())]


def _log_fid(ax: Axes, records: SuiteRecords) -> None:
    """A logarithmic FID axis with plain numbers."""
    ax.set_yscale("log")
    fids = [fid for row in records.rows for _, fid in row.curve] + [
        fid for variant in records.variants for fid in records.figures(variant).values()
    ]
    wide = bool(fids) and max(fids) > 15 * max(min(fids), 1e-9)
    ax.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 3) if wide else (1, 2, 3, 5, 7)))
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())

"""Charts of an analysis: functions of it and a theme, which return None where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from sagan.analysis.build import Analysis
from sagan.analysis.metrics import metric_of
from sagan.analysis.model import Design, Effect, Question
from sagan.analysis.words import parts_of_title
from sagan.names import for_figure
from sagan.report.choice import shown_variants, told_questions
from sagan.report.style import Theme, looks

WIDTH = 8.0
PANELS_PER_ROW = 4
# From this ratio of largest to smallest on, an axis is logarithmic.
WIDE = 4
# Steps that a line of training averages over, as a share of the run.
SMOOTHING = 0.05


def answers(analysis: Analysis, theme: Theme) -> Figure | None:
    return effects(told_questions(analysis.report), analysis.design, theme)


def effects(asked: Sequence[Question], design: Design, theme: Theme) -> Figure | None:
    """Each question per step and per second: the estimate, its 95 % interval (thick) and the deciding one (thin)."""
    if not any(found.steps.effect or found.time.effect for found in asked):
        return None
    figure = Figure(figsize=(6.2, 0.75 + 0.42 * len(asked)), layout="constrained")
    worth, axes = 100 * design.smallest_effect, figure.subplots(1, 2, sharey=True)
    for ax, title, of in zip(axes, ("per step", "per second"), ("steps", "time"), strict=True):
        if any(getattr(found, of).effect for found in asked):
            ax.axvspan(-worth, worth, color=theme.muted, alpha=0.18, lw=0, zorder=0)
            ax.axvline(0, color=theme.ink, lw=0.8, zorder=1)
        else:
            ax.set_xticks([])
        for y, found in enumerate(asked):
            answer = getattr(found, of)
            if answer.effect is None:
                told = (answer.why or "no answer").replace("learning", "learning\n")
                ax.text(0.02, y, told, transform=ax.get_yaxis_transform(), va="center", fontsize=8, color=theme.muted)
            else:
                _effect(ax, y, answer.effect, theme)
        ax.set_title(title)
        if len(ax.get_xticks()):
            ax.xaxis.set_major_locator(MaxNLocator(4))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g} %" if value else "0"))
        ax.set_yticks(range(len(asked)), [_name(found, design) for found in asked])
        ax.set_ylim(len(asked) - 0.5, -0.5)
        ax.grid(False, axis="y")
        ax.tick_params(axis="y", length=0)
    figure.supxlabel(f"change of {metric_of(design.metric).title}", fontsize=8)
    return figure


def budget(analysis: Analysis, theme: Theme) -> Figure | None:
    """A panel a question: its effect and 95 % interval at each snapshot, at equal steps and at equal time."""
    rows = [row for row in analysis.effects if _is_along(row, analysis)]
    asked = [found for found in analysis.report.questions if sum(_is_of(row, found, "steps") for row in rows) > 1]
    if not asked:
        return None
    columns = min(len(asked), PANELS_PER_ROW)
    height = 0.5 + 2.1 * -(-len(asked) // columns)
    figure = Figure(figsize=(max(2.4 * columns, 4.8), height), layout="constrained")
    axes = figure.subplots(-(-len(asked) // columns), columns, sharey=True, squeeze=False).flat
    for ax, found in zip(axes, asked, strict=False):
        ax.axhline(0, color=theme.ink, lw=0.8, zorder=1)
        last = max(row.budget for row in rows if _is_of(row, found, "steps"))
        for at, color, marker in (("steps", theme.ink, "o"), ("time", theme.cycle[1], "s")):
            of = sorted((row for row in rows if _is_of(row, found, at)), key=lambda row: row.budget)
            if of:
                # Time in units of the cheaper level's steps, so that both stand on one axis.
                unit = 1 if at == "steps" else last / of[-1].budget
                x = [row.budget * unit + (0.012 * last if at == "time" else 0) for row in of]
                y = [row.estimate for row in of]
                error = [[row.estimate - row.low for row in of], [row.high - row.estimate for row in of]]
                ax.errorbar(x, y, error, color=color, marker=marker, ms=4, lw=1.4)
        ax.set_title(_name(found, analysis.design), fontsize=8.5)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g} %" if value else "0"))
        ax.set_xlim(0, 1.06 * last)
    for ax in list(axes):
        ax.set_visible(False)
    keys = [Line2D([], [], color=theme.ink, marker="o", ms=4), Line2D([], [], color=theme.cycle[1], marker="s", ms=4)]
    figure.legend(keys, ["equal steps", "equal time"], loc="outside upper right", ncols=2)
    figure.supxlabel("generator steps (at equal time: of the cheaper level)", fontsize=8)
    return figure


def curves(analysis: Analysis, theme: Theme) -> Figure | None:
    """A panel a variant: the metric of each run at each snapshot, their mean, and the baseline's for comparison."""
    design, snapshots = analysis.design, analysis.tables.snapshots
    metric = design.metric
    known = snapshots[snapshots["space"] == design.space].dropna(subset=[metric])
    drawn = [name for name in shown_variants(analysis.report) if name in set(known["variant"])]
    if known.empty or known["step"].nunique() < 3:
        return None
    means = known.groupby(["variant", "step"])[metric].mean()
    columns = min(len(drawn), PANELS_PER_ROW)
    rows = -(-len(drawn) // columns)
    figure = Figure(figsize=(WIDTH, 0.6 + 1.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    styles = looks(drawn, design.baseline, theme)
    for ax, name in zip(axes.flat, drawn, strict=False):
        if design.baseline in means:
            ax.plot(means[design.baseline], color=theme.muted, lw=1, ls=(0, (4, 2)))
        for _, run in known[known["variant"] == name].groupby("seed"):
            ax.plot(run["step"], run[metric], color=styles[name].color, lw=0.8, alpha=0.6)
        ax.plot(means[name], color=styles[name].color, lw=2)
        ax.set_title(for_figure(name), color=styles[name].color, fontsize=min(9, 180 / len(name)))
    for ax in axes.flat[len(drawn) :]:
        ax.set_visible(False)
    _plain_log_if_wide(axes.flat[0].yaxis, known[metric])
    figure.supylabel(metric_of(metric).title, fontsize=9)
    figure.supxlabel("generator step", fontsize=9)
    return figure


def losses(analysis: Analysis, theme: Theme) -> Figure | None:
    """Both losses, each network's largest singular value, and whether the discriminator learns images by heart."""
    logged = analysis.tables.training
    if {"score_train", "score_held_out"} <= set(logged):
        logged = logged.assign(by_heart=logged["score_train"] - logged["score_held_out"])
    titles = {
        "loss_g": "generator's loss",
        "loss_d": "discriminator's loss",
        "sigma_max.generator": "largest sigma, generator",
        "sigma_max.discriminator": "largest sigma, discriminator",
        "by_heart": "score of training images over held-out ones",
    }
    return _panels(analysis, logged, titles, theme)


def attention(analysis: Analysis, theme: Theme) -> Figure | None:
    """The magnitude of gamma over training, of each layer that attends."""
    logged = analysis.tables.training
    gammas = [name for name in logged if str(name).startswith("gamma.")]
    titles = {name: "gamma, {} at {}".format(*name.split(".")[1:3]) for name in gammas}
    return _panels(analysis, logged.assign(**{name: logged[name].abs() for name in gammas}), titles, theme)


CHARTS = {
    "answers": answers,
    "along-the-budget": budget,
    "curves": curves,
    "losses": losses,
    "attention": attention,
}


def _panels(analysis: Analysis, logged: pd.DataFrame, titles: Mapping[str, str], theme: Theme) -> Figure | None:
    """A panel for each column of the training log: the mean over runs of each variant, smoothed."""
    titles = {name: title for name, title in titles.items() if name in logged and logged[name].notna().any()}
    drawn = [name for name in shown_variants(analysis.report) if name in set(logged["variant"])]
    if not titles or not drawn:
        return None
    columns = min(len(titles), 3)
    rows = -(-len(titles) // columns)
    figure = Figure(figsize=(WIDTH, 1.1 + 1.7 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    styles, handles = looks(drawn, analysis.design.baseline, theme), {}
    for ax, (name, title) in zip(axes.flat, titles.items(), strict=False):
        for variant in drawn:
            mean = logged[logged["variant"] == variant].groupby("step")[name].mean().dropna()
            if len(mean):
                smooth = mean.rolling(max(1, round(SMOOTHING * len(mean))), min_periods=1).mean()
                (handles[variant],) = ax.plot(smooth, color=styles[variant].color, ls=styles[variant].line, lw=1.3)
        ax.set_title(title, fontsize=8.5)
    for ax in axes.flat[len(titles) :]:
        ax.set_visible(False)
    beside = int(WIDTH / (0.55 + 0.065 * max(map(len, handles))))
    figure.legend(handles.values(), map(for_figure, handles), loc="outside lower center", ncols=min(4, beside) or 1)
    return figure


def _name(found: Question, design: Design) -> str:
    return "\n".join(for_figure(part) for part in parts_of_title(found, design) if part)


def _is_along(row: Effect, analysis: Analysis) -> bool:
    design = analysis.design
    return (row.given, row.metric, row.space) == ("", design.metric, design.space) and row.estimate is not None


def _is_of(row: Effect, found: Question, at: str) -> bool:
    return (row.question, row.level, row.at) == (found.question, found.level, at)


def _effect(ax: Axes, y: float, effect: Effect, theme: Theme) -> None:
    color = {None: theme.muted, "helps": theme.good, "hurts": theme.bad}[effect.direction]
    if effect.decide_low is not None:
        ax.plot([effect.decide_low, effect.decide_high], [y, y], color=color, lw=1, marker="|", ms=6)
    ax.plot([effect.low, effect.high], [y, y], color=color, lw=3)
    ax.plot(effect.estimate, y, marker="o", ms=6, color=color, mec=theme.page, zorder=4)


def _plain_log_if_wide(axis: Axis, values: pd.Series) -> None:
    """A logarithmic axis with plain numbers where the values span much, a linear one otherwise."""
    if values.min() <= 0 or values.max() < WIDE * values.min():
        return
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")  # type: ignore[attr-defined]
    very_wide = values.max() > 15 * values.min()
    axis.set_major_locator(LogLocator(base=10, subs=(1, 3) if very_wide else (1, 1.5, 2, 3, 5, 7)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())

"""Charts of what happened inside the runs: losses, largest singular values, attention's gammas and entropies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sagan.records import Json
from sagan.report.charts import LEGEND_LINE, WIDTH
from sagan.report.collect import SuiteRecords
from sagan.report.selection import shown
from sagan.report.style import Theme, looks
from sagan.report.tables import largest_sigmas

# The moving average spans this share of a run's log.
SMOOTHING = 1 / 20
NETWORKS = ("generator", "discriminator")


def losses(records: SuiteRecords, theme: Theme) -> Figure | None:
    """Both losses and the largest singular value of each network, every seed and their mean."""
    records = shown(records)
    panels = {
        "generator loss": "loss_g",
        "discriminator loss": "loss_d",
        r"largest $\sigma$, generator": "sigma_max.generator",
        r"largest $\sigma$, discriminator": "sigma_max.discriminator",
    }
    drawn = {title: _series(records, name) for title, name in panels.items()}
    drawn = {title: series for title, series in drawn.items() if series}
    return _panels(records, theme, drawn, columns=2) if drawn else None


def attention(records: SuiteRecords, theme: Theme) -> Figure | None:
    """The magnitude of gamma over training in each network that attends, and how concentrated its maps are.

    Gamma's sign says nothing: with gamma and the output convolution both negated a layer is the same layer. Maps over
    training are the generator's alone: of the discriminator there is only the last state.
    """
    records = shown(records)
    names = sorted({key for row in records.rows for line in row.log[-1:] for key in line if key.startswith("gamma.")})
    names.sort(key=lambda name: NETWORKS.index(name.split(".")[1]))
    drawn = {_gamma_title(name): _series(records, name, np.abs) for name in names}
    drawn = {title: series for title, series in drawn.items() if series}
    gammas = len(drawn)
    drawn |= _entropy_series(records)
    entropies = _entropies(records)
    if not drawn and not entropies:
        return None
    panels = len(drawn) + bool(entropies)
    figure = _panels(records, theme, drawn, columns=panels if panels < 4 else 2, extra=bool(entropies))
    for index, ax in enumerate(figure.axes[: len(drawn)]):
        ax.axhline(0 if index < gammas else 1, color=theme.muted, lw=0.8, ls="-" if index < gammas else "--")
    if entropies:
        _entropy_panel(figure.axes[len(drawn)], entropies, records, theme)
    return figure


def _gamma_title(name: str) -> str:
    _, network, side = name.split(".")
    return rf"$|\gamma|$, {network} at {side}x{side}"


@dataclass(frozen=True)
class _Line:
    """One run's smoothed values by step."""

    steps: list[int]
    values: np.ndarray
    finished: bool


Series = dict[str, list[_Line]]


def _series(records: SuiteRecords, name: str, of: Callable[[np.ndarray], np.ndarray] = np.asarray) -> Series:
    """variant -> a line for each run whose log has the name, of a function of the values."""
    series: Series = {}
    for row in records.rows:
        points = [(line["step"], value) for line in row.log if (value := _value(line, name)) is not None]
        if points:
            steps, values = zip(*points, strict=True)
            line = _Line(list(steps), _smooth(of(np.array(values))), row.status != "diverged")
            series.setdefault(row.variant, []).append(line)
    return series


def _mean(lines: list[_Line]) -> tuple[list[int], np.ndarray]:
    """The mean at the steps that all have. Runs that diverged count only where all did, so that it never breaks off."""
    lines = [line for line in lines if line.finished] or lines
    steps = sorted(set.intersection(*(set(line.steps) for line in lines)))
    return steps, np.mean([line.values[np.searchsorted(line.steps, steps)] for line in lines], axis=0)


def _value(line: dict, name: str) -> float | None:
    return largest_sigmas(line).get(name) if name.startswith("sigma_max.") else line.get(name)


def _smooth(values: np.ndarray) -> np.ndarray:
    """A centred moving average that is cut, not padded, at both ends."""
    reach = round(len(values) * SMOOTHING / 2)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    low, high = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def _panels(records: SuiteRecords, theme: Theme, drawn: dict[str, Series], columns: int, extra: bool = False) -> Figure:
    """A panel for each title; the legend holds the variants once."""
    count = len(drawn) + extra
    rows = -(-count // columns)
    ordered = [variant for variant in records.variants if any(variant in series for series in drawn.values())]
    legend_columns = _legend_columns(ordered)
    legend_rows = -(-len(ordered) // legend_columns)
    height = 0.9 + 1.9 * rows + LEGEND_LINE * max(0, legend_rows - 2)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, columns if rows > 1 else count, squeeze=False).flat
    styles = looks(records.variants, records.baseline, theme)
    handles = {}
    for ax, (title, series) in zip(axes, drawn.items(), strict=False):
        ax.set_title(title)
        ax.set_xlabel("generator step")
        for variant, runs in series.items():
            look = styles[variant]
            for line in runs:
                ax.plot(line.steps, line.values, color=look.color, ls=look.line, lw=0.6, alpha=0.35)
            (handles[variant],) = ax.plot(*_mean(runs), color=look.color, ls=look.line, lw=1.6)
    for ax in list(axes)[count:]:
        ax.set_visible(False)
    figure.legend([handles[v] for v in ordered], ordered, loc="outside lower center", ncols=legend_columns)
    return figure


def _legend_columns(names: list[str]) -> int:
    """As many columns, at most five, as names of these lengths have room for beside each other."""
    for columns in range(min(len(names), 5), 1, -1):
        if sum(0.53 + 0.06 * max(map(len, part)) for part in np.array_split(names, columns)) <= WIDTH:
            return columns
    return 1


def _entropy_series(records: SuiteRecords) -> dict[str, Series]:
    """Title -> for each layer whose maps every snapshot tells of: its entropy over that of uniform maps."""
    drawn: dict[str, Series] = {}
    for row in records.rows:
        points: dict[str, list[tuple[int, float]]] = {}
        for point in row.evaluation_record.get("curve", []):
            for layer, share in entropy_shares(point).items():
                points.setdefault(layer, []).append((point["step"], share))
        for layer, found in points.items():
            steps, shares = zip(*found, strict=True)
            network, side = layer.split(".")
            series = drawn.setdefault(f"entropy / uniform, {network} at {side}x{side}", {})
            series.setdefault(row.variant, []).append(_Line(list(steps), np.array(shares), row.status != "diverged"))
    return drawn


def _entropies(records: SuiteRecords) -> dict[str, dict[str, list[float]]]:
    """layer -> variant -> entropy at the end over that of uniform maps, of each run."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in records.rows:
        for layer, share in entropy_shares(row.evaluation_record).items():
            found.setdefault(layer, {}).setdefault(row.variant, []).append(share)
    return found


def entropy_shares(record: Json) -> dict[str, float]:
    """layer -> mean entropy of its maps over ln(number of keys): 1 is uniform, 0 looks at one place.

    Args:
        record: an evaluation, or a point of its curve. Layers whose maps are not finite are left out.
    """
    layers = record.get("attention", {})
    return {
        name: layer["entropy"] / layer["entropy_uniform"]
        for name, layer in layers.items()
        if layer["entropy"] is not None
    }


def _entropy_panel(ax: Axes, entropies: dict[str, dict[str, list[float]]], records: SuiteRecords, theme: Theme) -> None:
    styles = looks(records.variants, records.baseline, theme)
    layers = sorted(entropies, key=lambda layer: NETWORKS.index(layer.split(".")[0]))
    for x, layer in enumerate(layers):
        variants = [variant for variant in records.variants if variant in entropies[layer]]
        for i, variant in enumerate(variants):
            look, shares = styles[variant], entropies[layer][variant]
            place = x + 0.6 * ((i + 0.5) / len(variants) - 0.5)
            ax.plot([place] * len(shares), shares, ls="", marker=look.marker, ms=3.5, color=look.color, alpha=0.75)
    ax.axhline(1, color=theme.muted, lw=0.8, ls="--")
    ax.set_xticks(range(len(layers)), [layer.replace(".", " at ") for layer in layers], fontsize=7)
    ax.set_xlim(-0.5, len(layers) - 0.5)
    ax.grid(False, axis="x")
    ax.set_title("entropy / uniform, at the end")

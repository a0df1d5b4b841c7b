"""What happened during training: curves of FID, smoothed logs, gammas and entropies, over a variant's seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sagan.analysis.memorising import score_gaps
from sagan.analysis.rows import Row
from sagan.store.types import Attention, LogLine

# The moving average spans this share of a run's log.
SMOOTHING = 1 / 20
NETWORKS = ("generator", "discriminator")
_LOGS = {
    "generator loss": "loss_g",
    "discriminator loss": "loss_d",
    r"largest $\sigma$, generator": "sigma_max.generator",
    r"largest $\sigma$, discriminator": "sigma_max.discriminator",
}


@dataclass(frozen=True)
class Line:
    """Values by step, of one run or of a mean."""

    steps: list[int]
    values: list[float]


@dataclass(frozen=True)
class Panel:
    """One quantity by step: variant -> a line for each run, and variant -> their mean. `base` is where it starts."""

    title: str
    runs: dict[str, list[Line]]
    means: dict[str, Line]
    base: float | None = None


@dataclass(frozen=True)
class Dynamics:
    """What happened inside the runs. `entropies` are at the end: layer -> variant -> over that of uniform maps."""

    losses: list[Panel]
    attention: list[Panel]
    entropies: dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class TimePoint:
    """A variant at a snapshot: median training seconds, and mean, lowest and highest FID over seeds."""

    seconds: float
    mean: float
    low: float
    high: float


def mean_curve(rows: list[Row]) -> list[tuple[int, float]]:
    """(step, mean FID) over the seeds that were measured to the end, so that it never jumps when a run drops out."""
    by_step: dict[int, list[float]] = {}
    for row in rows:
        for step, fid in row.curve if row.status == "measured" else []:
            by_step.setdefault(step, []).append(fid)
    return [(step, float(np.mean(fids))) for step, fids in sorted(by_step.items())]


def by_time(rows: list[Row]) -> list[TimePoint]:
    """The measured seeds at each snapshot whose training time is known, in order of steps."""
    points: dict[int, list[tuple[float, float]]] = {}
    for row in rows:
        for step, fid in row.curve if row.status == "measured" else []:
            if (seconds := row.at_step(step)[1]) is not None:
                points.setdefault(step, []).append((seconds, fid))
    found = []
    for _, at_step in sorted(points.items()):
        seconds, fids = zip(*at_step, strict=True)
        found.append(TimePoint(float(np.median(seconds)), float(np.mean(fids)), min(fids), max(fids)))
    return found


def dynamics(rows: list[Row]) -> Dynamics:
    """Logs as moving averages, magnitudes of gamma and entropies of the attention maps, where there are any.

    Gamma's sign says nothing: with gamma and the output convolution both negated a layer is the same layer. Maps over
    training are the generator's alone: of the discriminator there is only the last state.
    """
    gammas = sorted(
        {name for row in rows for line in row.log[-1:] for name in line.values if name.startswith("gamma.")}
    )
    gammas.sort(key=lambda name: NETWORKS.index(name.split(".")[1]))
    attention = [_log_panel(rows, _title(r"$|\gamma|$", name.removeprefix("gamma.")), name, 0.0) for name in gammas]
    entropies: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for layer, share in entropy_shares(row.evaluation.attention if row.evaluation else {}).items():
            entropies.setdefault(layer, {}).setdefault(row.variant, []).append(share)
    return Dynamics(
        losses=[panel for title, name in _LOGS.items() if (panel := _log_panel(rows, title, name)).runs]
        + [panel for panel in [_memorising_panel(rows)] if panel.runs],
        attention=[*(panel for panel in attention if panel.runs), *_entropy_panels(rows)],
        entropies=dict(sorted(entropies.items(), key=lambda item: NETWORKS.index(item[0].split(".")[0]))),
    )


def entropy_shares(attention: Attention) -> dict[str, float]:
    """layer -> `AttentionLayer.share`, without layers whose maps are not finite."""
    return {name: layer.share for name, layer in attention.items() if layer.share is not None}


def largest_sigmas(line: LogLine) -> dict[str, float]:
    """The largest of a log line's sigmas for each network that has any."""
    largest = {}
    for network in NETWORKS:
        sigmas = [v for k, v in line.values.items() if k.startswith(f"sigma.{network}.") and v is not None]
        if sigmas:
            largest[f"sigma_max.{network}"] = max(sigmas)
    return largest


def _title(what: str, layer: str) -> str:
    network, side = layer.split(".")
    return f"{what}, {network} at {side}x{side}"


def _log_panel(rows: list[Row], title: str, name: str, base: float | None = None) -> Panel:
    """A log's entry by step, smoothed; of gammas (those with a base) the magnitude."""
    lines: list[tuple[Row, Line]] = []
    for row in rows:
        points = [(line.step, value) for line in row.log if (value := _value(line, name)) is not None]
        if points:
            steps, values = zip(*points, strict=True)
            smooth = _smooth(np.array(values) if base is None else np.abs(values))
            lines.append((row, Line(list(steps), smooth.tolist())))
    return _panel(title, lines, base)


def _entropy_panels(rows: list[Row]) -> list[Panel]:
    """For each layer whose maps every snapshot tells of, its entropy over that of uniform maps."""
    lines: dict[str, list[tuple[Row, Line]]] = {}
    for row in rows:
        points: dict[str, list[tuple[int, float]]] = {}
        for point in row.points:
            for layer, share in entropy_shares(point.attention).items():
                points.setdefault(layer, []).append((point.step, share))
        for layer, found in points.items():
            steps, shares = zip(*found, strict=True)
            lines.setdefault(layer, []).append((row, Line(list(steps), list(shares))))
    return [_panel(_title("entropy / uniform", layer), found, 1.0) for layer, found in lines.items()]


def _memorising_panel(rows: list[Row]) -> Panel:
    """What the discriminator's scores of training images are above those of held-out ones, at each snapshot."""
    lines = []
    for row in rows:
        if gaps := score_gaps((line.step, line.values) for line in row.log):
            steps, values = zip(*gaps, strict=True)
            lines.append((row, Line(list(steps), list(values))))
    return _panel("discriminator's score, training over held-out", lines, 0.0)


def _panel(title: str, lines: list[tuple[Row, Line]], base: float | None) -> Panel:
    runs: dict[str, list[tuple[Row, Line]]] = {}
    for row, line in lines:
        runs.setdefault(row.variant, []).append((row, line))
    means = {variant: _mean(found) for variant, found in runs.items()}
    return Panel(title, {variant: [line for _, line in found] for variant, found in runs.items()}, means, base)


def _mean(lines: list[tuple[Row, Line]]) -> Line:
    """The mean at the steps that all have. Runs that diverged count only where all did, so that it never breaks off."""
    kept = [line for row, line in lines if row.status != "diverged"] or [line for _, line in lines]
    steps = sorted(set.intersection(*(set(line.steps) for line in kept)))
    values = [np.array(line.values)[np.searchsorted(line.steps, steps)] for line in kept]
    return Line(steps, np.mean(values, axis=0).tolist())


def _value(line: LogLine, name: str) -> float | None:
    return largest_sigmas(line).get(name) if name.startswith("sigma_max.") else line.values.get(name)


def _smooth(values: np.ndarray) -> np.ndarray:
    """A centred moving average that is cut, not padded, at both ends."""
    reach = round(len(values) * SMOOTHING / 2)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    low, high = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)

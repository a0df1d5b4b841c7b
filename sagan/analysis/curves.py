"""What happened during training: curves of FID, smoothed logs, gammas and entropies, over a variant's seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

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


Points = list[tuple[int, float]]  # by step


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
class FidPoint:
    """A variant at a snapshot: median seconds of the steps where known, and mean, lowest and highest FID over seeds."""

    step: int
    seconds: float | None
    mean: float
    low: float
    high: float


def fid_curve(rows: list[Row]) -> list[FidPoint]:
    """FID at each snapshot over the seeds that were measured to the end, so that no run drops out."""
    by_step: dict[int, list[tuple[float, float | None]]] = {}
    for row in rows:
        for step, fid in row.curve if row.status == "measured" else []:
            by_step.setdefault(step, []).append((fid, row.at_step(step)["step_seconds"]))
    points = []
    for step, found in sorted(by_step.items()):
        fids, times = zip(*found, strict=True)
        seconds = [time for time in times if time is not None]
        median = float(np.median(seconds)) if seconds else None
        points.append(FidPoint(step, median, float(np.mean(fids)), min(fids), max(fids)))
    return points


def dynamics(rows: list[Row]) -> Dynamics:
    """Logs as moving averages, magnitudes of gamma and entropies of the attention maps, where there are any.

    Gamma's sign says nothing: with gamma and the output convolution both negated a layer is the same layer. Maps over
    training are the generator's alone: of the discriminator there is only the last state.
    """
    names = {name for row in rows for line in row.log[-1:] for name in line.values if name.startswith("gamma.")}
    gammas = sorted(names, key=lambda name: (NETWORKS.index(name.split(".")[1]), name))
    layers = dict.fromkeys(layer for row in rows for point in row.points for layer in entropy_shares(point.attention))
    losses = [_panel(rows, title, partial(_logged, name=name)) for title, name in _LOGS.items()]
    losses.append(_panel(rows, "discriminator's score, training over held-out", lambda row: score_gaps(row.log), 0.0))
    attention = [
        _panel(rows, _title(r"$|\gamma|$", name.removeprefix("gamma.")), partial(_logged, name=name), 0.0)
        for name in gammas
    ]
    attention += [_panel(rows, _title("entropy / uniform", at), partial(_shares, layer=at), 1.0) for at in layers]
    entropies: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for layer, share in entropy_shares(row.evaluation.attention if row.evaluation else {}).items():
            entropies.setdefault(layer, {}).setdefault(row.variant, []).append(share)
    return Dynamics(
        losses=[panel for panel in losses if panel.runs],
        attention=[panel for panel in attention if panel.runs],
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


def score_gaps(log: list[LogLine]) -> Points:
    """(step, mean logit of training images minus that of held-out ones) over a run's training, in the log's order.

    Near 0 where the discriminator tells real from generated; it grows where it tells training images from others
    (Brock et al. 2019, section 4.2; Karras et al. 2020, figure 1). Lines without both scores, which only snapshots
    have, and scores that were not finite (None) give no point.
    """
    scores = ((line.step, line.values.get("score_train"), line.values.get("score_held_out")) for line in log)
    return [(step, train - held_out) for step, train, held_out in scores if train is not None and held_out is not None]


def _logged(row: Row, name: str) -> Points:
    """A log's entry by step, smoothed; of gammas the magnitude."""
    found = [(line.step, value) for line in row.log if (value := _value(line, name)) is not None]
    values = np.array([value for _, value in found])
    smooth = _smooth(np.abs(values) if name.startswith("gamma.") else values)
    return [(step, value) for (step, _), value in zip(found, smooth.tolist(), strict=True)]


def _shares(row: Row, layer: str) -> Points:
    """The entropy of a layer's maps over that of uniform maps, at each snapshot that tells of it."""
    shares = ((point.step, entropy_shares(point.attention).get(layer)) for point in row.points)
    return [(step, share) for step, share in shares if share is not None]


def _panel(rows: list[Row], title: str, points: Callable[[Row], Points], base: float | None = None) -> Panel:
    runs: dict[str, list[tuple[Row, Line]]] = {}
    for row in rows:
        if found := points(row):
            steps, values = zip(*found, strict=True)
            runs.setdefault(row.variant, []).append((row, Line(list(steps), list(values))))
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

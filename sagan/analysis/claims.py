"""What the literature and its ports claim, and what this suite's figures say to each claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from scipy import stats

from sagan.analysis.comparisons import Comparison
from sagan.analysis.curves import entropy_shares
from sagan.analysis.metrics import METRICS
from sagan.analysis.questions import effect_on
from sagan.analysis.rows import Row, SuiteRecords
from sagan.analysis.statistics import FEWEST_FOR_SPREAD, SpreadRatio, spread_ratio
from sagan.analysis.wording import change, fid_change, number, p_value
from sagan.store.types import Attention

Verdict = Literal["supported", "contradicted", "not decided"]

SIGNIFICANT = 0.05
TIME_RANGE = (10.0, 30.0)
GAMMA_RANGE = (0.1, 0.3)
# Below this share of the entropy of uniform maps, a map counts as concentrated.
CONCENTRATED = 0.95
# Fewer runs decide nothing.
FEWEST_RUNS = 4
# So many of the runs have to show what a claim says of single runs, and so few to contradict it.
MOST, FEW = 0.8, 0.2


@dataclass(frozen=True)
class Finding:
    """What was measured of a claim, and what that says."""

    measured: str
    verdict: Verdict


@dataclass(frozen=True)
class Claim:
    """A claim, who makes it, and the quantity that decides it; that gives None where a suite does not test it."""

    text: str
    source: str
    quantity: Callable[[SuiteRecords, list[Comparison]], Finding | None]


def claims(records: SuiteRecords, compared: list[Comparison]) -> dict[Claim, Finding]:
    """The claims that the suite tests, in order, each with what it says.

    Args:
        compared: the suite's questions, and single ingredients.
    """
    return {claim: finding for claim in CLAIMS if (finding := claim.quantity(records, compared))}


def _attention_helps(records: SuiteRecords, compared: list[Comparison]) -> Finding | None:
    found = _of(compared, "attention", other="off")
    if found is None or found.answer is None:
        return None
    score = effect_on(records, found, METRICS["is"])
    score_falls, measured = False, f"FID {fid_change(found)}; IS not measured"
    if score is not None and score.estimate is not None:
        low, high = score.interval() or (None, None)
        score_falls = high is not None and high < 0
        between = "" if low is None else f" (95 % interval {number(low, signed=True)} to {number(high, signed=True)})"
        measured = f"FID {fid_change(found)}; IS {number(score.estimate, signed=True)}{between}"
    if not found.is_borne_out:
        return Finding(measured, "not decided")
    if found.answer.direction == "helps" and not found.answer.negligible and not score_falls:
        return Finding(measured, "supported")
    if found.answer.direction == "hurts" or found.answer.negligible:
        return Finding(measured, "contradicted")
    return Finding(measured, "not decided")


def _attention_costs(records: SuiteRecords, compared: list[Comparison]) -> Finding | None:
    found = _of(compared, "attention", other="off")
    if found is None or found.cost is None:
        return None
    cost, (low, high) = found.cost, TIME_RANGE
    measured = f"{change(cost.percent)} a step"
    if cost.low is not None:
        measured += f" (95 % interval {change(cost.low)} to {change(cost.high)})"
    if cost.doubt or cost.low is None:
        return Finding(f"{measured}; {cost.doubt or 'too few runs to judge it'}", "not decided")
    if low <= cost.low and cost.high <= high:
        return Finding(measured, "supported")
    return Finding(measured, "contradicted" if cost.high < low or cost.low > high else "not decided")


def _gamma_grows(records: SuiteRecords, compared: list[Comparison]) -> Finding | None:
    """Of its magnitude: with gamma and the output convolution both negated a layer is the same layer."""
    low, high = GAMMA_RANGE
    magnitudes = {
        (row.run, layer): abs(entry.gamma)
        for row in records.rows
        for layer, entry in _attention_of(row).items()
        if entry.gamma is not None
    }
    if not magnitudes:
        return None
    holds = {key: low <= magnitude <= high for key, magnitude in magnitudes.items()}
    return Finding(f"magnitude at the end: {_ranges(magnitudes)}", _in_most_runs(holds))


def _maps_concentrate(records: SuiteRecords, compared: list[Comparison]) -> Finding | None:
    """Of the discriminator, of which nothing is kept before the end, the end alone counts."""
    starts, ends = {}, {}
    for row in records.rows:
        ends |= {(row.run, layer): share for layer, share in entropy_shares(_attention_of(row)).items()}
        for untrained in (point for point in row.points if point.step == 0):
            starts |= {(row.run, layer): share for layer, share in entropy_shares(untrained.attention).items()}
    if not ends:
        return None
    holds = {key: share < CONCENTRATED <= starts.get(key, CONCENTRATED) for key, share in ends.items()}
    measured = f"entropy over that of uniform maps at the end: {_ranges(ends)}; before training: "
    return Finding(measured + (_ranges(starts) if starts else "not recorded"), _in_most_runs(holds))


def _generator_sn_steadies(records: SuiteRecords, compared: list[Comparison]) -> Finding | None:
    found = _of(compared, "spectral norm in the generator", other="off")
    if found is None:
        return None
    bad, well = [], []
    for side in (found.treated, found.control):
        rows = [row for variant in side for row in records.of(variant) if row.status != "missing"]
        bad.append(sum(row.lost or row.went_wrong for row in rows))
        well.append(len(rows) - bad[-1])
    counts = [b + w for b, w in zip(bad, well, strict=True)]
    measured = f"{bad[0]} of {counts[0]} runs lost or gone wrong with, {bad[1]} of {counts[1]} without"
    if min(counts) < FEWEST_RUNS:
        return Finding(f"{measured}; too few runs", "not decided")
    p_lost = float(stats.fisher_exact([bad, well]).pvalue)
    measured += f" (Fisher's p {p_value(p_lost)})"
    sure = [(p_lost, bad[0] < bad[1])] if bad[0] != bad[1] else []
    words, spread = _spread(records, found)
    if spread and spread.p is not None:
        sure.append((spread.p, spread.ratio < 1))
    sides = {helps for p, helps in sure if p <= SIGNIFICANT}
    verdict = "not decided" if len(sides) != 1 else "supported" if sides.pop() else "contradicted"
    return Finding(f"{measured}; {words}", verdict)


def _losses_settle(records: SuiteRecords, compared: list[Comparison]) -> Finding | None:
    attending = [row for row in records.rows if row.status == "measured" and _attention_of(row)]
    shapes = [shape for row in attending if (shape := _late_trends(row))]
    if not shapes:
        return None
    falls = sum(generator < -1 for generator, _ in shapes)
    level = sum(abs(discriminator) < 1 for _, discriminator in shapes)
    both = sum(generator < -1 and abs(discriminator) < 1 for generator, discriminator in shapes)
    measured = (
        f"after the first quarter, by more than the scatter around the trend: the generator's loss falls in {falls} of "
        f"{len(shapes)} runs, the discriminator's stays level in {level}, both in {both}"
    )
    return Finding(measured, _by_share(both, len(shapes)))


def _of(compared: list[Comparison], ingredient: str, other: str) -> Comparison | None:
    """The first comparison of an ingredient with this level of it."""
    return next((found for found in compared if (found.ingredient, found.other) == (ingredient, other)), None)


def _spread(records: SuiteRecords, found: Comparison) -> tuple[str, SpreadRatio | None]:
    """How much an ingredient widens the spread of FID over seeds; nothing where lost runs took their share of it."""
    if any(row.lost for variant in (*found.treated, *found.control) for row in records.of(variant)):
        return "spread of FID not compared, since lost runs have none", None
    pairs = zip(found.treated, found.control, strict=True)
    ratio = spread_ratio([(records.figures(treated), records.figures(control)) for treated, control in pairs])
    if ratio is None:
        return "spread of FID not compared", None
    words = f"spread of FID {number(ratio.ratio)} times as wide with"
    if ratio.p is None:
        return f"{words}, too few seeds to judge it ({ratio.count} of {FEWEST_FOR_SPREAD})", ratio
    return f"{words} (p {p_value(ratio.p)})", ratio


def _more_is_needless(records: SuiteRecords, compared: list[Comparison], ingredient: str) -> Finding | None:
    """More instead of one: needless where it surely hurts, or surely gains nothing worth having."""
    found = _of(compared, ingredient, other="1")
    if found is None or found.answer is None:
        return None
    measured, answer = f"{found.level} instead of 1: FID {fid_change(found)}", found.answer
    if not found.is_borne_out:
        return Finding(measured, "not decided")
    if answer.negligible or answer.direction == "hurts":
        return Finding(measured, "supported")
    return Finding(measured, "contradicted" if answer.direction == "helps" else "not decided")


def _ranges(values: dict[tuple[str, str], float]) -> str:
    """The range over runs of each layer, of values by run and layer."""
    parts = []
    for layer in sorted({layer for _, layer in values}, reverse=True):
        found = [value for (_, name), value in values.items() if name == layer]
        network, _, side = layer.partition(".")
        low, high = number(min(found)), number(max(found))
        shown = low if low == high else f"{low} to {high}"
        parts.append(f"{network} at {side}: {shown} in {len(found)} run{'s' if len(found) > 1 else ''}")
    return "; ".join(parts)


def _in_most_runs(holds: dict[tuple[str, str], bool]) -> Verdict:
    """Whether something holds for every layer of nearly all runs, or of nearly none."""
    runs = {run: all(held for (name, _), held in holds.items() if name == run) for run, _ in holds}
    return _by_share(sum(runs.values()), len(runs))


def _by_share(count: int, total: int) -> Verdict:
    if total < FEWEST_RUNS:
        return "not decided"
    return "supported" if count >= MOST * total else "contradicted" if count <= FEW * total else "not decided"


def _attention_of(row: Row) -> Attention:
    return row.evaluation.attention if row.evaluation else {}


def _late_trends(row: Row) -> tuple[float, float] | None:
    """Change of the generator's and the discriminator's loss over the last three quarters, in units of its scatter."""
    late = [line for line in row.log if line.step > row.log[-1].step / 4]
    trends = []
    for name in ("loss_g", "loss_d"):
        points = [(line.step, loss) for line in late if (loss := line.values[name]) is not None]
        if len(points) < 10:
            return None
        steps, losses = np.array(points).T
        fit = stats.linregress(steps, losses)
        scatter = float(np.std(losses - fit.intercept - fit.slope * steps))
        trends.append(float(fit.slope * (steps[-1] - steps[0])) / max(scatter, 1e-12))
    return trends[0], trends[1]


CLAIMS = (
    Claim(
        "Attention improves FID and IS",
        "Zhang et al. 2018, ImageNet 128: FID 27.62 to 18.65, IS 36.8 to 52.52 for the whole recipe",
        _attention_helps,
    ),
    Claim("Attention costs 10 to 30 % more training time", "an MNIST port", _attention_costs),
    Claim(
        "gamma leaves 0 and grows to 0.1 to 0.3", "a 64x64 face port; others see it near 0 or negative", _gamma_grows
    ),
    Claim("Attention maps start uniform and concentrate", "ports of SAGAN", _maps_concentrate),
    Claim(
        "Spectral norm in the generator steadies training: fewer lost runs, less spread",
        "Zhang et al. 2018, section 4.1",
        _generator_sn_steadies,
    ),
    Claim(
        "With spectral norm and TTUR, one discriminator step per generator step is enough",
        "Zhang et al. 2018, section 4.2",
        partial(_more_is_needless, ingredient="discriminator steps per generator step"),
    ),
    Claim(
        "One power iteration is enough",
        "Miyato et al. 2018; a port says five are needed",
        partial(_more_is_needless, ingredient="power iterations"),
    ),
    Claim(
        "Losses settle early; then the generator's falls while the discriminator's stays level",
        "a 64x64 face port",
        _losses_settle,
    ),
)

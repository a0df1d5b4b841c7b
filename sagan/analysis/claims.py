"""What the literature and its ports claim, and what this suite's figures say to each claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from sagan.analysis.curves import entropy_shares
from sagan.analysis.effects import Effect, extra_time
from sagan.analysis.rows import Row, SuiteRecords
from sagan.analysis.statistics import (
    FEWEST_FOR_P,
    FEWEST_FOR_SPREAD,
    Difference,
    SpreadRatio,
    difference_by_seed,
    spread_ratio,
)
from sagan.analysis.wording import effect_size, number, p_value, survivors
from sagan.store.types import Attention

Verdict = Literal["supported", "contradicted", "not decided"]

SIGNIFICANT = 0.05
TIME_RANGE = (10.0, 30.0)
GAMMA_RANGE = (0.1, 0.3)
# Below this share of the entropy of uniform maps, a map counts as concentrated.
CONCENTRATED = 0.95
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
    quantity: Callable[[SuiteRecords, list[Effect]], Finding | None]


def claims(records: SuiteRecords, effects: list[Effect]) -> dict[Claim, Finding]:
    """The claims that the suite tests, in order, each with what it says; with few seeds none is decided.

    Args:
        effects: the headline effects of the suite.
    """
    seeds = len({row.seed for row in records.rows if row.status != "missing"})
    found = {claim: finding for claim in CLAIMS if (finding := claim.quantity(records, effects))}
    for claim, finding in found.items():
        if seeds < FEWEST_FOR_P and finding.verdict != "not decided":
            found[claim] = Finding(f"{finding.measured}; too few seeds to judge it", "not decided")
    return found


def _attention_helps(records: SuiteRecords, effects: list[Effect]) -> Finding | None:
    effect = _of(effects, "attention", other="off")
    if effect and effect.lost:
        return Finding(survivors(effect), "not decided")
    if effect is None or effect.difference is None:
        return None
    fid, score = effect.difference, _over_cells(records, effect, "is")
    measured = f"FID {effect_size(fid)}; " + (f"IS {effect_size(score)}" if score else "IS not measured")
    if fid.estimate.count < FEWEST_FOR_P:
        return Finding(f"{measured}; too few seeds", "not decided")
    score_falls = score is not None and score.estimate.high < 0
    if effect.judgement in ("better", "likely better"):
        if fid.estimate.mean > -_worth_having(records, effect):
            return Finding(f"{measured}; a gain, by less than is worth having", "not decided")
        if not score_falls:
            return Finding(measured, "supported")
    if fid.estimate.low > -_worth_having(records, effect):
        return Finding(f"{measured}; any gain in FID is less than is worth having", "contradicted")
    return Finding(measured, "not decided")


def _attention_costs(records: SuiteRecords, effects: list[Effect]) -> Finding | None:
    effect = _of(effects, "attention", other="off")
    cost = effect and extra_time(records, effect.treated, effect.control)
    if not cost:
        return None
    measured = (
        f"{number(cost.median, signed=True)} % a generator step ({number(cost.minimum)} to {number(cost.maximum)}, "
    )
    measured += f"{cost.count} pair{'s' if cost.count > 1 else ''} of runs)"
    low, high = TIME_RANGE
    if low <= cost.minimum and cost.maximum <= high:
        return Finding(measured, "supported")
    return Finding(measured, "contradicted" if cost.maximum < low or cost.minimum > high else "not decided")


def _gamma_grows(records: SuiteRecords, effects: list[Effect]) -> Finding | None:
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


def _maps_concentrate(records: SuiteRecords, effects: list[Effect]) -> Finding | None:
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


def _generator_sn_steadies(records: SuiteRecords, effects: list[Effect]) -> Finding | None:
    effect = _of(effects, "spectral norm in the generator", other="off")
    if effect is None:
        return None
    bad, well = [], []
    for side in (effect.treated, effect.control):
        rows = [row for variant in side for row in records.of(variant) if row.status != "missing"]
        bad.append(sum(row.lost or row.went_wrong for row in rows))
        well.append(len(rows) - bad[-1])
    counts = [b + w for b, w in zip(bad, well, strict=True)]
    measured = f"{bad[0]} of {counts[0]} runs lost or gone wrong with, {bad[1]} of {counts[1]} without"
    if min(counts) < FEWEST_FOR_P:
        return Finding(f"{measured}; too few seeds", "not decided")
    p_lost = float(stats.fisher_exact([bad, well]).pvalue)
    measured += f" (Fisher's p {p_value(p_lost)})"
    found = [(p_lost, bad[0] < bad[1])] if bad[0] != bad[1] else []
    words, spread = _spread(records, effect)
    if spread and spread.p is not None:
        found.append((spread.p, spread.ratio < 1))
    sides = {helps for p, helps in found if p <= SIGNIFICANT}
    verdict = "not decided" if len(sides) != 1 else "supported" if sides.pop() else "contradicted"
    return Finding(f"{measured}; {words}", verdict)


def _one_step_is_enough(records: SuiteRecords, effects: list[Effect]) -> Finding | None:
    name = "discriminator steps per generator step"
    for effect in effects:
        if effect.ingredient == name and effect.other == "1":
            return _more_is_needless(records, effect)
    return None


def _one_iteration_is_enough(records: SuiteRecords, effects: list[Effect]) -> Finding | None:
    for effect in effects:
        if effect.ingredient == "power iterations" and effect.other == "1":
            return _more_is_needless(records, effect)
    return None


def _losses_settle(records: SuiteRecords, effects: list[Effect]) -> Finding | None:
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


def _of(effects: list[Effect], ingredient: str, other: str) -> Effect | None:
    return next((e for e in effects if e.ingredient == ingredient and e.other == other), None)


def _worth_having(records: SuiteRecords, effect: Effect) -> float:
    """The smallest difference of FID that is worth having: the suite's share of the FID without."""
    fids = [fid for variant in effect.control for fid in records.figures(variant).values()]
    return records.suite.smallest_effect * float(np.mean(fids))


def _over_cells(records: SuiteRecords, effect: Effect, metric: str) -> Difference | None:
    """An effect's difference in another metric, by seed: the mean over its pairs of cells."""
    sides = [
        (records.figures(t, metric), records.figures(c, metric))
        for t, c in zip(effect.treated, effect.control, strict=True)
    ]
    seeds = set.intersection(*(set(t) & set(c) for t, c in sides))
    return difference_by_seed({s: float(np.mean([t[s] - c[s] for t, c in sides])) for s in sorted(seeds)})


def _spread(records: SuiteRecords, effect: Effect) -> tuple[str, SpreadRatio | None]:
    """How much an ingredient widens the spread of FID over seeds; nothing where lost runs took their share of it."""
    if any(row.lost for variant in (*effect.treated, *effect.control) for row in records.of(variant)):
        return "spread of FID not compared, since lost runs have none", None
    found = spread_ratio(
        [(records.figures(t), records.figures(c)) for t, c in zip(effect.treated, effect.control, strict=True)]
    )
    if found is None:
        return "spread of FID not compared", None
    words = f"spread of FID {number(found.ratio)} times as wide with"
    if found.p is None:
        return f"{words}, too few seeds to judge it ({found.count} of {FEWEST_FOR_SPREAD})", found
    return f"{words} (p {p_value(found.p)})", found


def _more_is_needless(records: SuiteRecords, effect: Effect) -> Finding | None:
    """More instead of one: needless where a gain worth having lies outside the interval, and none is sure."""
    if effect.lost:
        return Finding(f"{effect.level} instead of 1: {survivors(effect)}", "not decided")
    if effect.difference is None:
        return None
    found, worth = effect.difference.estimate, _worth_having(records, effect)
    measured = f"{effect.level} instead of 1: FID {effect_size(effect.difference)}"
    if found.count < FEWEST_FOR_P:
        return Finding(f"{measured}; too few seeds", "not decided")
    if found.high < 0:
        return Finding(measured, "contradicted" if found.high < -worth else "not decided")
    return Finding(measured, "supported" if found.low > -worth else "not decided")


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
    if total < FEWEST_FOR_P:
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
        _one_step_is_enough,
    ),
    Claim("One power iteration is enough", "Miyato et al. 2018; a port says five are needed", _one_iteration_is_enough),
    Claim(
        "Losses settle early; then the generator's falls while the discriminator's stays level",
        "a 64x64 face port",
        _losses_settle,
    ),
)

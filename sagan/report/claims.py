"""What the literature and its ports claim, and what this suite's figures say to each claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from sagan.report.collect import Row, SuiteRecords
from sagan.report.dynamics import entropy_shares
from sagan.report.effects import Effect, extra_time, headline_effects, ingredient_effects
from sagan.report.statistics import (
    FEWEST_FOR_P,
    FEWEST_FOR_SPREAD,
    Difference,
    SpreadRatio,
    difference_of_pairs,
    spread_ratio,
)
from sagan.report.wording import effect_size, number, p_value, survivors

Verdict = Literal["supported", "contradicted", "not decided"]

SIGNIFICANT = 0.05
TIME_RANGE = (10.0, 30.0)
GAMMA_RANGE = (0.1, 0.3)
# Below this share of the entropy of uniform maps, a map counts as concentrated.
CONCENTRATED = 0.95
# So many of the runs have to show what a claim says of single runs, and so few to contradict it.
MOST, FEW = 0.8, 0.2


@dataclass(frozen=True)
class Claim:
    """A claim, who makes it, what was measured here, and what that says."""

    text: str
    source: str
    measured: str
    verdict: Verdict


def claims(records: SuiteRecords) -> list[Claim]:
    """The eight claims, in order; one that the suite does not test, or with few seeds, is not decided and says why."""
    effects = headline_effects(ingredient_effects(records), records.baseline)
    texts: list[tuple[str, str, Callable[[SuiteRecords, list[Effect]], tuple[str, Verdict]]]] = [
        (
            "Attention improves FID and IS",
            "Zhang et al. 2018, ImageNet 128: FID 27.62 to 18.65, IS 36.8 to 52.52 for the whole recipe",
            _attention_helps,
        ),
        ("Attention costs 10 to 30 % more training time", "an MNIST port", _attention_costs),
        (
            "gamma leaves 0 and grows to 0.1 to 0.3",
            "a 64x64 face port; others see it near 0 or negative",
            _gamma_grows,
        ),
        ("Attention maps start uniform and concentrate", "ports of SAGAN", _maps_concentrate),
        (
            "Spectral norm in the generator steadies training: fewer lost runs, less spread",
            "Zhang et al. 2018, section 4.1",
            _generator_sn_steadies,
        ),
        (
            "With spectral norm and TTUR, one discriminator step per generator step is enough",
            "Zhang et al. 2018, section 4.2",
            _one_step_is_enough,
        ),
        ("One power iteration is enough", "Miyato et al. 2018; a port says five are needed", _one_iteration_is_enough),
        (
            "Losses settle early; then the generator's falls while the discriminator's stays level",
            "a 64x64 face port",
            _losses_settle,
        ),
    ]
    seeds = len({row.seed for row in records.rows if row.status != "missing"})
    found = []
    for text, source, judge in texts:
        measured, verdict = judge(records, effects)
        if seeds < FEWEST_FOR_P and verdict != "not decided":
            measured, verdict = f"{measured}; too few seeds to judge it", "not decided"
        found.append(Claim(text, source, measured, verdict))
    return found


def _attention_helps(records: SuiteRecords, effects: list[Effect]) -> tuple[str, Verdict]:
    effect = _of(effects, "attention", other="off")
    if effect and effect.lost:
        return survivors(effect), "not decided"
    if effect is None or effect.difference is None:
        return "no two measured variants differ in attention alone", "not decided"
    fid, score = effect.difference, _over_cells(records, effect, "is")
    measured = f"FID {effect_size(fid)}; " + (f"IS {effect_size(score)}" if score else "IS not measured")
    if fid.estimate.count < FEWEST_FOR_P:
        return f"{measured}; too few seeds", "not decided"
    score_falls = score is not None and score.estimate.high < 0
    if effect.judgement in ("better", "likely better") and not score_falls:
        return measured, "supported"
    if fid.estimate.high < 0 and effect.judgement == "noise":
        return f"{measured}; a gain, but below the noise floor", "not decided"
    if fid.estimate.low > -(records.floor or 0):
        return f"{measured}; any gain in FID is below the noise floor", "contradicted"
    return measured, "not decided"


def _attention_costs(records: SuiteRecords, effects: list[Effect]) -> tuple[str, Verdict]:
    effect = _of(effects, "attention", other="off")
    cost = effect and extra_time(records, effect.treated, effect.control)
    if not cost:
        return "no two runs on like hardware differ in attention alone", "not decided"
    measured = (
        f"{number(cost.median, signed=True)} % a generator step ({number(cost.minimum)} to {number(cost.maximum)}, "
    )
    measured += f"{cost.count} pair{'s' if cost.count > 1 else ''} of runs)"
    low, high = TIME_RANGE
    if low <= cost.minimum and cost.maximum <= high:
        return measured, "supported"
    return measured, "contradicted" if cost.maximum < low or cost.minimum > high else "not decided"


def _gamma_grows(records: SuiteRecords, effects: list[Effect]) -> tuple[str, Verdict]:
    """Of its magnitude: with gamma and the output convolution both negated a layer is the same layer."""
    low, high = GAMMA_RANGE
    magnitudes = {
        (row.run, layer): abs(entry["gamma"])
        for row in records.rows
        for layer, entry in _attention_of(row).items()
        if entry["gamma"] is not None
    }
    if not magnitudes:
        return "no run with attention was measured", "not decided"
    holds = {key: low <= magnitude <= high for key, magnitude in magnitudes.items()}
    return f"magnitude at the end: {_ranges(magnitudes)}", _in_most_runs(holds)


def _maps_concentrate(records: SuiteRecords, effects: list[Effect]) -> tuple[str, Verdict]:
    """Of the discriminator, of which nothing is kept before the end, the end alone counts."""
    starts, ends = {}, {}
    for row in records.rows:
        ends |= {(row.run, layer): share for layer, share in entropy_shares(row.evaluation_record).items()}
        for untrained in (point for point in row.points if point["step"] == 0):
            starts |= {(row.run, layer): share for layer, share in entropy_shares(untrained).items()}
    if not ends:
        return "no run with attention was measured", "not decided"
    holds = {key: share < CONCENTRATED <= starts.get(key, CONCENTRATED) for key, share in ends.items()}
    measured = f"entropy over that of uniform maps at the end: {_ranges(ends)}; before training: "
    return measured + (_ranges(starts) if starts else "not recorded"), _in_most_runs(holds)


def _generator_sn_steadies(records: SuiteRecords, effects: list[Effect]) -> tuple[str, Verdict]:
    effect = _of(effects, "spectral norm in the generator", other="off")
    if effect is None:
        return "no two variants differ in this alone", "not decided"
    bad, well = [], []
    for side in (effect.treated, effect.control):
        rows = [row for variant in side for row in records.of(variant) if row.status != "missing"]
        bad.append(sum(row.lost or row.went_wrong for row in rows))
        well.append(len(rows) - bad[-1])
    counts = [b + w for b, w in zip(bad, well, strict=True)]
    measured = f"{bad[0]} of {counts[0]} runs lost or gone wrong with, {bad[1]} of {counts[1]} without"
    if min(counts) < FEWEST_FOR_P:
        return f"{measured}; too few seeds", "not decided"
    p_lost = float(stats.fisher_exact([bad, well]).pvalue)
    measured += f" (Fisher's p {p_value(p_lost)})"
    found = [(p_lost, bad[0] < bad[1])] if bad[0] != bad[1] else []
    words, spread = _spread(records, effect)
    if spread and spread.p is not None:
        found.append((spread.p, spread.ratio < 1))
    sides = {helps for p, helps in found if p <= SIGNIFICANT}
    verdict = "not decided" if len(sides) != 1 else "supported" if sides.pop() else "contradicted"
    return f"{measured}; {words}", verdict


def _one_step_is_enough(records: SuiteRecords, effects: list[Effect]) -> tuple[str, Verdict]:
    name = "discriminator steps per generator step"
    for effect in effects:
        if effect.ingredient == name and effect.other == "1":
            return _more_is_needless(records, effect)
    rows = [row for row in records.rows if row.status != "missing" and _is_sn_ttur(row)]
    bad = sum(row.lost or row.went_wrong for row in rows)
    measured = "no two variants differ in this alone"
    if rows:
        measured += f"; of {len(rows)} runs with one step, spectral norm and TTUR, {bad} lost or gone wrong"
    return measured, "not decided"


def _one_iteration_is_enough(records: SuiteRecords, effects: list[Effect]) -> tuple[str, Verdict]:
    for effect in effects:
        if effect.ingredient == "power iterations" and effect.other == "1":
            return _more_is_needless(records, effect)
    return "no two variants differ in this alone, and the logs hold the estimated singular values only", "not decided"


def _losses_settle(records: SuiteRecords, effects: list[Effect]) -> tuple[str, Verdict]:
    attending = [row for row in records.rows if row.status == "measured" and _attention_of(row)]
    shapes = [shape for row in attending if (shape := _late_trends(row))]
    if not shapes:
        return "no run with attention has a log that is long enough", "not decided"
    falls = sum(generator < -1 for generator, _ in shapes)
    level = sum(abs(discriminator) < 1 for _, discriminator in shapes)
    both = sum(generator < -1 and abs(discriminator) < 1 for generator, discriminator in shapes)
    measured = (
        f"after the first quarter, by more than the scatter around the trend: the generator's loss falls in {falls} of "
        f"{len(shapes)} runs, the discriminator's stays level in {level}, both in {both}"
    )
    return measured, _by_share(both, len(shapes))


def _of(effects: list[Effect], ingredient: str, other: str) -> Effect | None:
    return next((e for e in effects if e.ingredient == ingredient and e.other == other), None)


def _over_cells(records: SuiteRecords, effect: Effect, metric: str) -> Difference | None:
    """An effect's difference in another metric, by seed: the mean over its pairs of cells."""
    sides = [
        (records.figures(t, metric), records.figures(c, metric))
        for t, c in zip(effect.treated, effect.control, strict=True)
    ]
    seeds = set.intersection(*(set(t) & set(c) for t, c in sides))
    return difference_of_pairs({s: float(np.mean([t[s] - c[s] for t, c in sides])) for s in sorted(seeds)})


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


def _more_is_needless(records: SuiteRecords, effect: Effect) -> tuple[str, Verdict]:
    """More instead of one: needless where a gain beyond the noise floor lies outside the interval, and none is sure."""
    if effect.lost:
        return f"{effect.level} instead of 1: {survivors(effect)}", "not decided"
    if effect.difference is None:
        return f"{effect.level} instead of 1: not measured", "not decided"
    found, floor = effect.difference.estimate, records.floor or 0
    measured = f"{effect.level} instead of 1: FID {effect_size(effect.difference)}"
    if found.count < FEWEST_FOR_P:
        return f"{measured}; too few seeds", "not decided"
    if found.high < 0:
        return measured, "contradicted" if found.high < -floor else "not decided"
    return measured, "supported" if found.low > -floor else "not decided"


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


def _attention_of(row: Row) -> dict[str, dict[str, float]]:
    return row.evaluation_record.get("attention", {})


def _is_sn_ttur(row: Row) -> bool:
    recipe = row.config["variant"]
    both = recipe["generator"]["spectral_norm"] and recipe["discriminator"]["spectral_norm"]
    return both and recipe["optimizer"]["lr_ratio"] > 1 and recipe["n_dis"] == 1


def _late_trends(row: Row) -> tuple[float, float] | None:
    """Change of the generator's and the discriminator's loss over the last three quarters, in units of its scatter."""
    late = [line for line in row.log if line["step"] > row.log[-1]["step"] / 4]
    trends = []
    for name in ("loss_g", "loss_d"):
        points = [(line["step"], line[name]) for line in late if line[name] is not None]
        if len(points) < 10:
            return None
        steps, losses = np.array(points).T
        fit = stats.linregress(steps, losses)
        scatter = float(np.std(losses - fit.intercept - fit.slope * steps))
        trends.append(float(fit.slope * (steps[-1] - steps[0])) / max(scatter, 1e-12))
    return trends[0], trends[1]

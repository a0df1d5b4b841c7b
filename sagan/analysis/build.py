"""Records of a suite to its analysis: everything that a report says is computed here, once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean, median

from sagan.analysis import provenance
from sagan.analysis.circular import ranked
from sagan.analysis.claims import claims
from sagan.analysis.comparisons import Comparison, against_baseline, is_busy, single_ingredients
from sagan.analysis.curves import dynamics, fid_curve
from sagan.analysis.literature import PUBLISHED
from sagan.analysis.metrics import METRICS
from sagan.analysis.model import Analysis, Beside, Best, Counts, Figures, Modes, Space, Variant
from sagan.analysis.questions import Questions, questions
from sagan.analysis.rows import Row, SuiteRecords, collect
from sagan.analysis.statistics import Estimate, estimate, pareto_front
from sagan.params import Params
from sagan.plan import Plan
from sagan.store.paths import Paths

# A run has begun to learn where its FID is below this share of its untrained generator's.
BEGUN = 0.5
# Charts show so many of the best variants and effects, and so many of the worst; with the baseline, a chart can tell
# all of them apart. Tables hold everything.
HALF = 10


def analyse(suite: str, plan: Plan, params: Params, paths: Paths) -> Analysis:
    """What the records on disk say of a suite of the plan.

    Raises:
        UserError: the plan does not hold the suite, or a run's log is not JSON lines.
    """
    return analysis_of(collect(suite, plan, params, paths))


def analysis_of(records: SuiteRecords) -> Analysis:
    """The analysis of a suite's rows."""
    asked = questions(ranked(records))
    records = _as_far_as_asked(records, asked)
    space, of_ranked = _space(records), ranked(records)
    single = single_ingredients(of_ranked)
    headlines = asked.answered if asked else single
    best = _best(space)
    points = {variant.name: variant.at_cost for variant in space.ranked if variant.at_cost}
    shown = _shown(space, records.baseline)
    return Analysis(
        records=records,
        space=space,
        spaces=[_space(other) for other in records.also.values()],
        headlines=headlines,
        told=headlines if len(headlines) <= 2 * HALF else _extremes(headlines),
        too_short=_too_short(records),
        questions=asked,
        beside=_beside(best.variant, space) if best else None,
        modes=_modes(space),
        best=best,
        claims=claims(of_ranked, [*(asked.answered if asked else []), *single]),
        shown=shown,
        front=pareto_front(points),
        dynamics=dynamics([row for variant in shown for row in variant.rows]),
        busy=is_busy(records.rows),
        facts=provenance.facts(records),
        machines=provenance.machines(records),
        no_curve=_no_curve(records),
        searched=_searched(records),
        class_rows=_class_rows(records),
        published=PUBLISHED.get(records.reference.kind, ()) if records.reference else (),
    )


def _as_far_as_asked(records: SuiteRecords, asked: Questions | None) -> SuiteRecords:
    """Without the runs of the next look that are not there yet: they are only asked for next, and nothing is wrong."""
    if not asked or not asked.last_look or asked.state.complete:
        return records
    taken = asked.last_look.seeds
    rows = [row for row in records.rows if row.seed < taken or not row.to_come]
    return replace(records, rows=rows, also={name: _as_far_as_asked(of, asked) for name, of in records.also.items()})


def _space(records: SuiteRecords) -> Space:
    estimates = {
        name: {v: estimate(list(records.figures(v, name).values()), metric.least) for v in records.variants}
        for name, metric in METRICS.items()
    }
    measured = [metric for metric in METRICS.values() if any(estimates[metric.name].values())]
    reasons = {m: next((why for row in records.rows if (why := row.reason(m.name))), None) for m in METRICS.values()}
    return Space(
        records=records,
        counts=counts(records.rows),
        variants={name: _variant(records, name, estimates) for name in records.variants},
        metrics=measured,
        unmeasured=[(metric, why) for metric, why in reasons.items() if why and metric not in measured],
        real=_real(records),
        protocols=provenance.protocols(records),
        against_baseline=against_baseline(records),
    )


def counts(rows: Sequence[Row]) -> Counts:
    """What became of some runs."""
    return Counts(
        total=len(rows),
        **{status: sum(row.status == status for row in rows) for status in ("measured", "diverged", "missing")},
        collapsed=sum(row.collapsed for row in rows),
        ended_badly=sum(row.went_wrong and not row.collapsed for row in rows),
        with_figures=sum(row.metric("fid") is not None for row in rows),
        lost=sum(row.lost for row in rows),
    )


def _variant(records: SuiteRecords, name: str, estimates: dict[str, dict[str, Estimate | None]]) -> Variant:
    rows = records.of(name)
    there = [row for row in rows if row.training]
    untrained = [row.fid_untrained for row in rows if row.fid_untrained is not None]
    at_cost = [(row.training.step_seconds, row.metric("fid")) for row in there if row.metric("fid") is not None]
    at_cost = [point for point in at_cost if point[0] is not None]
    left_out = set(records.unranked)
    shares = [row.evaluation.memorisation.closer for row in rows if row.evaluation]
    copied = [100 * share for share in shares if share is not None]
    return Variant(
        name=name,
        description=records.descriptions[name],
        rows=rows,
        counts=counts(rows),
        figures={metric: _figures(name, metric, of, rows, left_out) for metric, of in estimates.items()},
        untrained=estimate(untrained),
        images_per_second=median(row.training.images_per_second for row in there) if there else None,
        parameters=next((row.training.parameters for row in there if row.training.parameters), {}),
        typical=_typical(rows),
        copied=(min(copied), max(copied)) if copied else None,
        curve=fid_curve(rows),
        runs_at_cost=at_cost,
        at_cost=(median(s for s, _ in at_cost), mean(f for _, f in at_cost)) if at_cost else None,
        is_ranked=name not in records.unranked,
    )


def _figures(
    name: str, metric: str, estimates: dict[str, Estimate | None], rows: list[Row], left_out: set[str]
) -> Figures:
    """Set apart where its interval lies on the good side of every other's; never where runs were lost.

    Args:
        left_out: variants that are not ranked.
    """
    mine, sign = estimates[name], METRICS[metric].sign
    others = [other for variant, other in estimates.items() if variant not in {name, *left_out} and other]
    leads = (
        mine is not None
        and name not in left_out
        and bool(others)
        and not any(row.lost for row in rows)
        and all(_separate(mine, other) and sign * mine.mean < sign * other.mean for other in others)
    )
    return Figures(mine, mine and mine.times(METRICS[metric].factor), leads)


def _separate(first: Estimate, second: Estimate) -> bool:
    """Two intervals that do not touch."""
    if first.low is None or second.low is None:
        return False
    return first.high < second.low or second.high < first.low


def _typical(rows: list[Row]) -> Row | None:
    by_fid = sorted(
        (row for row in rows if row.metric("fid") is not None), key=lambda row: (row.metric("fid"), row.seed)
    )
    if by_fid:
        return by_fid[len(by_fid) // 2]
    return next((row for row in rows if row.status == "diverged"), None)


def _best(space: Space) -> Best | None:
    found = [variant for variant in space.ranked if variant.fid]
    if not found:
        return None
    best = min(found, key=lambda variant: (variant.fid.mean, variant.name))
    return Best(best, [v.name for v in found if v is not best and not _separate(best.fid, v.fid)])


def _too_short(records: SuiteRecords) -> bool:
    """Whether more than half of the runs that can tell have not begun to learn."""
    pairs = [(row.metric("fid"), row.fid_untrained) for row in records.rows]
    near = [fid >= BEGUN * untrained for fid, untrained in pairs if fid is not None and untrained is not None]
    return 2 * sum(near) > len(near)


def _beside(variant: Variant, space: Space) -> Beside | None:
    matched = [row.evaluation.matched for row in variant.rows if row.evaluation and row.evaluation.matched]
    if not matched:
        return None
    count, figures = matched[0].count, []
    for metric in space.metrics:
        values = [m.generated[metric.name].value for m in matched if m.count == count and metric.name in m.generated]
        real = matched[0].real.get(metric.name)
        if values and None not in values and real and real.value is not None:
            figures.append((metric, metric.factor * mean(values), metric.factor * real.value))
    return Beside(variant.name, count, matched[0].split, figures)


def _modes(space: Space) -> Modes | None:
    best = {
        name: min(found, key=lambda v: METRICS[name].sign * v.figures[name].estimate.mean)
        for name in ("modes", "mode_kl")
        if (found := [v for v in space.ranked if v.figures[name].estimate and not v.counts.lost])
    }
    protocols = [row.evaluation.metrics["mode_kl"].protocol for row in space.records.rows if row.metric("mode_kl")]
    if len(best) < 2 or len(space.ranked) < 2:
        return None
    return Modes(protocols[0]["modes"], protocols[0]["floor"], best["modes"], best["mode_kl"])


def _shown(space: Space, baseline: str) -> list[Variant]:
    """The baseline and the variants of lowest and of highest mean FID, in the suite's order; all, where they are few.

    A variant without a single figure counts as one of highest FID.
    """
    variants = list(space.variants.values())
    if len(variants) <= 2 * HALF + 1:
        return variants
    others = [variant for variant in space.ranked if variant.name != baseline]
    by_fid = sorted(others, key=lambda variant: variant.fid.mean if variant.fid else math.inf)
    kept = {baseline, *(variant.name for variant in (*by_fid[:HALF], *by_fid[-HALF:]))}
    return [variant for variant in variants if variant.name in kept]


def _extremes(compared: list[Comparison]) -> list[Comparison]:
    """Those of lowest and of highest change, in order; all that have one, where they are few."""
    found = [comparison for comparison in compared if comparison.percent is not None]
    if len(found) <= 2 * HALF:
        return found
    by_size = sorted(range(len(found)), key=lambda place: found[place].percent)
    return [found[place] for place in sorted([*by_size[:HALF], *by_size[-HALF:]])]


def _real(records: SuiteRecords) -> dict[str, float | None] | None:
    found = records.reference and records.reference.other_split
    at_one_count = any(row.evaluation and row.evaluation.matched for row in records.rows)
    if found is None or at_one_count:
        return None
    values = {name: entry.value for name, entry in found.metrics.items() if name in METRICS}
    return {name: value and METRICS[name].factor * value for name, value in values.items()}


def _no_curve(records: SuiteRecords) -> str | None:
    if any(row.curve for row in records.rows):
        return None
    reasons = (point.status for row in records.rows for point in row.points if point.status != "measured")
    return next(reasons, None)


def _searched(records: SuiteRecords) -> tuple[int, int] | None:
    found = (row.evaluation.memorisation for row in records.rows if row.evaluation)
    return next(((m.train_count, m.training_images) for m in found if m.training_images is not None), None)


def _class_rows(records: SuiteRecords) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for variant in records.variants:
        if classes := records.of(variant)[0].config["image"].get("classes"):
            names.setdefault(", ".join(classes), []).append(variant)
    return names

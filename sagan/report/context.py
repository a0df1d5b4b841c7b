"""What the README's template is filled with: rows of strings, nothing to be computed any more."""

from __future__ import annotations

from typing import Any

from sagan.report import provenance
from sagan.report.claims import claims
from sagan.report.collect import HIGHER_IS_BETTER, SuiteRecords
from sagan.report.effects import (
    PAIRWISE_UP_TO,
    Effect,
    baseline_effects,
    headline_effects,
    ingredient_effects,
)
from sagan.report.judgement import smallest_p, unsure
from sagan.report.selection import HALF, shown, shown_effects
from sagan.report.statistics import COVERAGE, FEWEST_FOR_P, Estimate, estimate
from sagan.report.troubles import kept_of, trouble
from sagan.report.wording import (
    NOTHING,
    agreement,
    effect_sentence,
    interval,
    judged,
    md,
    number,
    p_value,
    percent,
    spread,
)

METRIC_TITLES = {
    "fid_infinity": "FID∞ ↓",
    "intra_fid": "intra-class FID ↓",
    "kid": "1000 KID ↓",
    "is": "IS ↑",
    "precision": "precision ↑",
    "recall": "recall ↑",
    "density": "density ↑",
    "coverage": "coverage ↑",
}


def context(records: SuiteRecords) -> dict[str, Any]:
    """Everything that the template names."""
    effects = ingredient_effects(records)
    headlines = headline_effects(effects, records.baseline)
    told = headlines if len(headlines) <= 2 * HALF else shown_effects(headlines)
    against_baseline = baseline_effects(records)
    seeds = len(records.suite.seed_list())
    return {
        "suite": records.name,
        "title": records.suite.title or records.name,
        "dataset": records.suite.dataset,
        "baseline": records.baseline,
        "seeds": seeds,
        "few_seeds": seeds < FEWEST_FOR_P,
        "unsure": unsure(seeds, *([e.paired for e in table] for table in (effects, against_baseline.values()))),
        "smallest_p": p_value(smallest_p(seeds, paired=True)),
        "coverage": COVERAGE.get(seeds),
        "hardware": len({row.hardware for row in records.rows if row.hardware}),
        "machines": provenance.machines(records),
        "z_dims": len({row.config["variant"]["generator"]["z_dim"] for row in records.rows}),
        "counts": {
            status: sum(row.status == status for row in records.rows) for status in ("measured", "diverged", "missing")
        },
        "total": len(records.rows),
        "with_figures": sum(row.metric("fid") is not None for row in records.rows),
        "collapsed": sum(row.collapsed for row in records.rows),
        "ended_badly": sum(row.went_wrong and not row.collapsed for row in records.rows),
        "learned_nothing": sum(row.learned_nothing for row in records.rows),
        "floor": records.reference.get("floor"),
        "verdict": [effect_sentence(effect) for effect in told],
        "headlines": len(headlines),
        "best": _best(records),
        "other_metrics": [METRIC_TITLES[metric] for metric in _others(records)],
        "unmeasured": _unmeasured(records),
        "no_curve": _no_curve(records),
        "class_rows": _class_rows(records),
        "spaces": [_space(other) for other in records.also.values()],
        "variants": [_variant_line(records, variant) for variant in records.variants],
        "real": _real_line(records),
        "differences": [_effect_line(effect) for effect in against_baseline.values()],
        "effects": [_effect_line(effect) for effect in effects],
        "pairwise_up_to": PAIRWISE_UP_TO,
        "half": HALF,
        "shown_variants": len(shown(records).variants),
        "measured_effects": sum(effect.difference is not None for effect in effects),
        "shown_effects": len(shown_effects(effects)),
        "claims": claims(records),
        "copies": _copies(records),
        "searched": _searched(records),
        "troubles": [trouble(row) for row in records.rows if row.metric("fid") is None or row.went_wrong],
        "training": records.suite.training,
        "snapshots": records.rows[0].config["training"]["snapshots"],
        "evaluation": records.suite.evaluation,
        "reference": records.reference,
        "facts": provenance.facts(records),
        "protocols": [line for space in (records, *records.also.values()) for line in provenance.protocols(space)],
        "runs": records.rows,
        "experiment": records.experiment,
    }


def _best(records: SuiteRecords) -> dict[str, str] | None:
    """The lowest mean FID, and which others it cannot be told from."""
    estimates = {variant: estimate(list(records.figures(variant).values())) for variant in records.variants}
    estimates = {variant: value for variant, value in estimates.items() if value}
    if not estimates:
        return None
    best = min(estimates, key=lambda variant: (estimates[variant].mean, variant))
    tied = [v for v in estimates if v != best and not _separate(estimates[best], estimates[v])]
    return {
        "variant": best,
        "fid": spread(estimates[best]),
        "count": estimates[best].count,
        "tied": tied,
        "lost": sum(row.lost for row in records.of(best)),
    }


def _variant_line(records: SuiteRecords, variant: str) -> dict[str, Any]:
    fid = estimate(list(records.figures(variant).values()))
    rows = records.of(variant)
    sizes = next((provenance.parameters(row.run_record) for row in rows if row.run_record.get("parameters")), NOTHING)
    untrained = estimate([row.fid_untrained for row in rows if row.fid_untrained is not None])
    return {
        "variant": variant,
        "description": records.descriptions[variant],
        "seeds": kept_of(rows),
        "fid": _metric_cell(records, variant, "fid"),
        "others": [_metric_cell(records, variant, metric) for metric in _others(records)],
        "interval": interval(fid),
        "untrained": number(untrained.mean) if untrained else NOTHING,
        "speed": number(records.median_images_per_second(variant)),
        "sizes": sizes,
    }


def _real_line(records: SuiteRecords) -> dict[str, Any] | None:
    """The figures of real images of the other split, as if they had been generated; None where nobody measured them."""
    found = records.reference.get("other_split")
    if found is None:
        return None
    values = {name: entry["value"] for name, entry in found["metrics"].items()}
    if values.get("kid") is not None:
        values["kid"] *= 1000
    return {
        "what": f"{found['count']} real {found['split']} images",
        "fid": number(values["fid"]),
        "others": [number(values.get(metric)) for metric in _others(records)],
    }


def _space(records: SuiteRecords) -> dict[str, Any]:
    """The suite's figures in a further feature space."""
    return {
        "extractor": records.extractor,
        "floor": records.floor,
        "missing": sum(row.status == "missing" for row in records.rows),
        "set_aside": [f"{r.variant} seed {r.seed}: {r.set_aside}" for r in records.rows if r.set_aside],
        "other_metrics": [METRIC_TITLES[metric] for metric in _others(records)],
        "unmeasured": _unmeasured(records),
        "variants": [
            {
                "variant": variant,
                "count": len(records.figures(variant)),
                "fid": _metric_cell(records, variant, "fid"),
                "interval": interval(estimate(list(records.figures(variant).values()))),
                "others": [_metric_cell(records, variant, metric) for metric in _others(records)],
            }
            for variant in records.variants
        ],
        "real": _real_line(records),
    }


def _class_rows(records: SuiteRecords) -> list[str]:
    """What the rows of the samples by class are, for each set of classes that variants are told of."""
    names: dict[str, list[str]] = {}
    for variant in records.variants:
        if classes := records.of(variant)[0].config["image"].get("classes"):
            names.setdefault(", ".join(classes), []).append(variant)
    return [f"{', '.join(md(v) for v in variants)}: {md(classes)}" for classes, variants in names.items()]


def _others(records: SuiteRecords) -> list[str]:
    return [metric for metric in records.measured_metrics if metric != "fid"]


def _unmeasured(records: SuiteRecords) -> list[str]:
    """The metrics that were asked for and that no run has a figure of, each with the first reason that was given."""
    lines = []
    for metric, title in {"fid": "FID", **METRIC_TITLES}.items():
        reasons = [reason for row in records.rows if (reason := row.reason(metric))]
        if reasons and metric not in records.measured_metrics:
            lines.append(f"{title.rstrip(' ↑↓')} ({reasons[0]})")
    return lines


def _no_curve(records: SuiteRecords) -> str | None:
    """Why there is no FID at any snapshot of any run; None where there is one, or where nothing was measured."""
    if any(row.curve for row in records.rows):
        return None
    return next((point["status"] for row in records.rows for point in row.points if "status" in point), None)


def _metric_cell(records: SuiteRecords, variant: str, metric: str) -> str:
    """Mean ± standard deviation, bold where its interval lies on the good side of every other variant's.

    Never of a variant that lost runs: its survivors flatter it.
    """
    mine = _estimate(records, variant, metric)
    others = [other for v in records.variants if v != variant and (other := _estimate(records, v, metric))]
    sign = -1 if metric in HIGHER_IS_BETTER else 1
    leads = (
        mine is not None
        and bool(others)
        and not any(row.lost for row in records.of(variant))
        and all(_separate(mine, other) and sign * mine.mean < sign * other.mean for other in others)
    )
    return f"**{spread(mine)}**" if leads else spread(mine)


def _estimate(records: SuiteRecords, variant: str, metric: str) -> Estimate | None:
    scale = 1000 if metric == "kid" else 1
    return estimate([scale * value for value in records.figures(variant, metric).values()])


def _separate(first: Estimate, second: Estimate) -> bool:
    """Two intervals that do not touch, from enough seeds to mean it."""
    if min(first.count, second.count) < FEWEST_FOR_P:
        return False
    return first.high < second.low or second.high < first.low


def _effect_line(effect: Effect) -> dict[str, str]:
    found = effect.difference
    size = NOTHING
    if found:
        size = number(found.estimate.mean, signed=True)
        if effect.judgement.removeprefix("likely ") in ("better", "worse"):
            size = f"**{size}**"
    return {
        "ingredient": effect.ingredient,
        "interaction": effect.interaction,
        "level": effect.level,
        "other": effect.other,
        "where": effect.where,
        "size": size,
        "interval": interval(found.estimate, signed=True) if found else NOTHING,
        "agreement": agreement(found) if found else NOTHING,
        "p": p_value(found.p) if found else NOTHING,
        "holm": p_value(effect.p_holm) if found and found.p is not None else NOTHING,
        "cost": percent(effect.cost.median) if effect.cost else NOTHING,
        "judgement": judged(effect),
    }


def _copies(records: SuiteRecords) -> list[str]:
    """For each variant, the share of generated images that are nearer to a training image than held-out ones are."""
    lines = []
    for variant in records.variants:
        shares = [row.evaluation_record.get("memorisation", {}).get("closer") for row in records.of(variant)]
        shares = [100 * share for share in shares if share is not None]
        if shares:
            ends = dict.fromkeys(number(share, places=1) for share in (min(shares), max(shares)))
            lines.append(f"{md(variant)} {' to '.join(ends)} %")
    return lines


def _searched(records: SuiteRecords) -> str | None:
    """Among which training images the nearest were looked for."""
    for row in records.rows:
        found = row.evaluation_record.get("memorisation", {})
        if "training_images" in found:
            searched, there = found["train_count"], found["training_images"]
            if searched == there:
                return f"all {there} training images"
            return f"{searched} of the {there} training images, drawn at random; copies of others are not seen"
    return None

"""The report as data: results.csv, curves.csv, training.csv and the flat summary.json."""

from __future__ import annotations

import pandas as pd

from sagan.records import Json
from sagan.report.collect import METRICS, SuiteRecords
from sagan.report.effects import Effect, baseline_effects, ingredient_effects
from sagan.report.statistics import estimate

LOG_POINTS = 200

EFFECT_COLUMNS = (
    *("table", "ingredient", "level", "other", "compared", "interaction"),
    *(
        "fid_difference",
        "low",
        "high",
        "p",
        "p_holm",
        "training_time_percent",
        "runs_lost",
        "runs_lost_other",
        "judged",
    ),
)


def results(records: SuiteRecords) -> pd.DataFrame:
    """One row a run, also where nothing is on disk."""
    return pd.DataFrame(
        [
            {
                "variant": row.variant,
                "seed": row.seed,
                "run": row.run,
                "evaluation": row.evaluation,
                "status": row.status,
                "collapsed": int(row.collapsed),
                "collapsed_at": row.collapse.get("began"),
                "diverged_at": row.run_record.get("diverged_at"),
                **{metric: row.metric(metric) for metric in METRICS},
                "fid_untrained": row.fid_untrained,
                "fid_best": best.get("fid", {}).get("value"),
                "best_step": best.get("step"),
                "nearer_than_held_out": row.evaluation_record.get("memorisation", {}).get("closer"),
                "steps": row.run_record.get("steps"),
                "images": row.run_record.get("images"),
                "images_per_second": row.images_per_second,
                "seconds": row.seconds,
                "generated_per_second": row.evaluation_record.get("generated_per_second"),
                "evaluation_seconds": row.evaluation_record.get("seconds"),
                "parameters_generator": row.run_record.get("parameters", {}).get("generator"),
                "parameters_discriminator": row.run_record.get("parameters", {}).get("discriminator"),
                "device": row.run_record.get("provenance", {}).get("device"),
                "threads": row.run_record.get("provenance", {}).get("threads"),
            }
            for row in records.rows
            for best in [row.evaluation_record.get("best", {})]
        ]
    ).convert_dtypes()


def curves(records: SuiteRecords) -> pd.DataFrame:
    """FID, recall and relative diversity at each snapshot of each run."""
    columns = ["variant", "seed", "step", "images", "seconds", "fid", "recall", "diversity"]
    lines = []
    for row in records.rows:
        for point in row.points:
            images, seconds = row.at_step(point["step"])
            lines.append(
                {
                    "variant": row.variant,
                    "seed": row.seed,
                    "step": point["step"],
                    "images": images,
                    "seconds": seconds,
                    **{name: point.get(name) for name in ("fid", "recall", "diversity")},
                }
            )
    return pd.DataFrame(lines, columns=columns).convert_dtypes()


def training(records: SuiteRecords) -> pd.DataFrame:
    """The runs' logs, thinned to about 200 lines a run: losses, logits, gammas, each network's largest sigma."""
    lines = []
    for row in records.rows:
        every = -(-len(row.log) // LOG_POINTS) if row.log else 1
        for line in [*row.log[:-1:every], *row.log[-1:]]:
            kept = {k: v for k, v in line.items() if k != "time" and not k.startswith("sigma.")}
            lines.append({"variant": row.variant, "seed": row.seed, **kept, **largest_sigmas(line)})
    columns = ["variant", "seed", "step", "images", "seconds"]
    return pd.DataFrame(lines, columns=columns + sorted({key for line in lines for key in line} - set(columns)))


def effects(records: SuiteRecords) -> pd.DataFrame:
    """A row for each difference from the baseline, and for each ingredient's effect; empty where nothing is known."""
    against = [("baseline", effect) for effect in baseline_effects(records).values()]
    rows = [_effect_row(*pair) for pair in [*against, *(("ingredient", e) for e in ingredient_effects(records))]]
    return pd.DataFrame(rows, columns=EFFECT_COLUMNS)


def _effect_row(table: str, effect: Effect) -> Json:
    found = effect.difference
    row = {
        "table": table,
        "ingredient": effect.ingredient,
        "level": effect.level,
        "other": effect.other,
        "compared": effect.where,
        "interaction": int(effect.interaction),
        "p_holm": effect.p_holm,
        "runs_lost": effect.lost.treated,
        "runs_lost_other": effect.lost.control,
        "judged": effect.judgement,
    }
    if found:
        estimated = found.estimate
        row |= {"fid_difference": estimated.mean, "low": estimated.low, "high": estimated.high, "p": found.p}
    if effect.cost:
        row["training_time_percent"] = effect.cost.median
    return row


def largest_sigmas(line: Json) -> dict[str, float]:
    """The largest of a log line's sigmas for each network that has any."""
    largest = {}
    for network in ("generator", "discriminator"):
        sigmas = [v for k, v in line.items() if k.startswith(f"sigma.{network}.") and v is not None]
        if sigmas:
            largest[f"sigma_max.{network}"] = max(sigmas)
    return largest


def summary(records: SuiteRecords) -> Json:
    """A flat mapping of names to numbers, for `dvc metrics`; what was not measured is left out.

    Figures of further feature spaces are named by them.
    """
    flat: Json = {"noise_floor.fid": records.floor}
    for extractor, other in records.also.items():
        flat |= {f"{extractor}/{name}": value for name, value in summary(other).items() if _is_figure(name)}
    effects = baseline_effects(records)
    for variant in records.variants:
        rows = records.of(variant)
        for status in ("measured", "diverged", "missing"):
            flat[f"{variant}.{status}"] = sum(row.status == status for row in rows)
        flat[f"{variant}.collapsed"] = sum(row.collapsed for row in rows)
        for metric in METRICS:
            over_seeds = estimate(list(records.figures(variant, metric).values()))
            if over_seeds:
                flat[f"{variant}.{metric}"] = over_seeds.mean
                flat[f"{variant}.{metric}_std"] = over_seeds.sd
        fid = estimate(list(records.figures(variant).values()))
        if fid:
            flat |= {f"{variant}.fid_low": fid.low, f"{variant}.fid_high": fid.high}
        untrained = estimate([row.fid_untrained for row in rows if row.fid_untrained is not None])
        flat[f"{variant}.fid_untrained"] = untrained and untrained.mean
        flat[f"{variant}.images_per_second"] = records.median_images_per_second(variant)
        if variant in effects and effects[variant].difference:
            flat[f"{variant}.fid_difference"] = effects[variant].difference.estimate.mean
    return {key: value for key, value in flat.items() if value is not None}


def _is_figure(name: str) -> bool:
    """Whether an entry of the summary depends on the feature space."""
    return name.split(".")[1] not in ("measured", "diverged", "missing", "images_per_second")

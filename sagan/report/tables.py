"""The report as data: results.csv, curves.csv, training.csv, effects.csv and the flat summary.json."""

from __future__ import annotations

import csv
import io
from typing import get_args

from sagan.analysis.comparisons import Comparison
from sagan.analysis.curves import largest_sigmas
from sagan.analysis.metrics import METRICS
from sagan.analysis.model import Analysis, Space, Variant
from sagan.analysis.questions import Conditional, Crossing
from sagan.analysis.rows import Row, Status
from sagan.analysis.wording import verdict
from sagan.store.records import Json
from sagan.store.types import RunRecord

LOG_POINTS = 200
EFFECT_COLUMNS = [
    *("table", "name", "title", "level", "other", "ingredient", "fid_percent", "low", "high", "p_holm", "seeds"),
    *("answered_at", "runs_lost", "step_time_percent", "cost_doubt", "answer", "where"),
]
Table = tuple[list[str], list[Json]]  # columns and rows


def csv_text(table: Table) -> str:
    """What is not known is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, table[0], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(table[1])
    return text.getvalue()


def results(space: Space) -> Table:
    """One row a run, also where nothing is on disk; `ranked` is "no" of what is never compared."""
    rows = [_result(row) for row in space.records.rows]
    if space.unranked:
        for row in rows:
            row["ranked"] = "yes" if space.variants[row["variant"]].is_ranked else "no"
    return list(rows[0]), rows


def _result(row: Row) -> Json:
    run, evaluation = row.training, row.evaluation
    best = evaluation and evaluation.best
    return {
        "variant": row.variant,
        "seed": row.seed,
        "run": row.run,
        "evaluation": row.evaluation_key,
        "status": row.status,
        "collapsed": int(row.collapsed),
        "collapsed_at": row.collapse.began,
        "diverged_at": run and run.diverged_at,
        **{metric: row.metric(metric) for metric in METRICS},
        "fid_untrained": row.fid_untrained,
        "fid_best": best and best.fid.value,
        "best_step": best and best.step,
        "nearer_than_held_out": evaluation and evaluation.memorisation.closer,
        "steps": run and run.steps,
        "images": run and run.images,
        "images_per_second": run and run.images_per_second,
        "seconds": run and run.seconds,
        "generated_per_second": evaluation and evaluation.generated_per_second,
        "evaluation_seconds": evaluation and evaluation.seconds,
        "parameters_generator": run and run.parameters.get("generator"),
        "parameters_discriminator": run and run.parameters.get("discriminator"),
        "generator_sha256": run and _digest(run, "generator.safetensors"),
        "device": run and run.provenance.device,
        "threads": run and run.provenance.threads,
    }


def _digest(run: RunRecord, file: str) -> str | None:
    return run.files[file].sha256 if file in run.files else None


def curves(analysis: Analysis) -> Table:
    """FID, recall and relative diversity at each snapshot of each run."""
    lines = []
    for row in analysis.records.rows:
        for point in row.points:
            line = {"variant": row.variant, "seed": row.seed, "step": point.step, **row.at_step(point.step)}
            lines.append(line | {"fid": point.fid, "recall": point.recall, "diversity": point.diversity})
    return ["variant", "seed", "step", "images", "seconds", "step_seconds", "fid", "recall", "diversity"], lines


def training(analysis: Analysis) -> Table:
    """The runs' logs, thinned to about 200 lines a run: losses, logits, gammas, each network's largest sigma."""
    lines = []
    for row in analysis.records.rows:
        for line in row.thinned_log(LOG_POINTS):
            kept = {k: v for k, v in line.content().items() if k != "time" and not k.startswith("sigma.")}
            lines.append({"variant": row.variant, "seed": row.seed, **kept, **largest_sigmas(line)})
    first = ["variant", "seed", "step", "images", "seconds"]
    return [*first, *sorted({key for line in lines for key in line} - set(first))], lines


def effects(analysis: Analysis) -> Table:
    """A row for each question, each interaction and each variant against the baseline; what is not known is empty."""
    asked = analysis.questions
    rows = [_effect("question", found) for found in asked.answered] if asked else []
    rows += [row for found in asked.interactions for row in _interaction(found)] if asked else []
    return EFFECT_COLUMNS, rows + [_effect("baseline", found) for found in analysis.space.against_baseline.values()]


def _interaction(found: Crossing) -> list[Json]:
    """How far an effect depends on a factor, and the effect at each of its levels."""
    name = f"{found.effect_of} by {found.on_level_of}"
    of = {"name": name, "title": found.effect_of, "level": found.level, "other": found.other}
    answer = {"p_holm": found.p, "answer": "depends" if found.sure else "not decided"}
    where = [f"{found.on_level_of} is {at.level}" for at in found.at]
    return [
        {"table": "interaction", **of, **_change(found), **answer},
        *({"table": "conditional", **of, "where": w, **_change(at)} for w, at in zip(where, found.at, strict=True)),
    ]


def _change(found: Comparison | Crossing | Conditional) -> Json:
    return {"fid_percent": found.percent, "low": found.low, "high": found.high}


def _effect(table: str, found: Comparison) -> Json:
    row = {
        "table": table,
        "name": found.name,
        "title": found.title,
        "level": found.level,
        "other": found.other,
        "ingredient": found.ingredient,
        **_change(found),
        "seeds": found.seeds,
        "answered_at": found.answered_at,
        "answer": verdict(found),
    }
    if found.answer:
        row |= {"p_holm": found.answer.p_difference, "runs_lost": found.effect.lost}
    if found.cost:
        row |= {"step_time_percent": found.cost.percent, "cost_doubt": found.cost.doubt}
    return row


def answers(analysis: Analysis) -> Table:
    """A row for each metric and question: percent where the metric's scale is "log", else a difference as shown."""
    columns = ["metric", "question", "scale", "effect", "low", "high", "p_holm", "surely_better"]
    asked = analysis.questions
    rows = [
        (e.metric.name, e.factor, e.metric.scale, e.size, e.low, e.high, e.p, e.better)
        for e in (asked.metrics if asked else [])
    ]
    return columns, [dict(zip(columns, row, strict=True)) for row in rows]


def summary(analysis: Analysis) -> Json:
    """A flat mapping of names to numbers, for `dvc metrics`; what was not measured is left out.

    A name is `<variant>.<figure>`. A variant's name may hold dots, a figure's does not. Figures of further feature
    spaces begin with the space's name and a slash, those of answers with `question/`.
    """
    flat = _figures(analysis.space)
    for found in analysis.questions.answered if analysis.questions else []:
        figures = {"fid_percent": found.percent, "fid_percent_low": found.low, "fid_percent_high": found.high}
        flat |= {f"question/{found.name}.{figure}": value for figure, value in figures.items()}
    for variant in analysis.space.variants.values():
        flat |= {f"{variant.name}.{status}": getattr(variant.counts, status) for status in get_args(Status)}
        flat[f"{variant.name}.images_per_second"] = variant.images_per_second
    for space in analysis.spaces:
        flat |= {f"{space.records.extractor}/{name}": value for name, value in _figures(space).items()}
    return {key: value for key, value in flat.items() if value is not None}


def _figures(space: Space) -> Json:
    """What depends on the feature space."""
    flat: Json = {"noise_floor.fid": space.records.floor}
    for variant in space.variants.values():
        flat |= {f"{variant.name}.{figure}": value for figure, value in _variant_figures(variant).items()}
    for name, found in space.against_baseline.items():
        flat[f"{name}.fid_percent"] = found.percent
    return flat


def _variant_figures(variant: Variant) -> Json:
    figures: Json = {"collapsed": variant.counts.collapsed}
    if not variant.is_ranked:
        figures["unranked"] = 1
    for metric, found in variant.figures.items():
        if found.estimate:
            figures |= {metric: found.estimate.mean, f"{metric}_std": found.estimate.sd}
    if variant.fid:
        figures |= {"fid_low": variant.fid.low, "fid_high": variant.fid.high}
    return figures | {"fid_untrained": variant.untrained and variant.untrained.mean}

"""What the records tell of themselves: where the figures come from, and what each feature space is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sagan.analysis.design import flat
from sagan.analysis.model import ReportProvenance, Space
from sagan.analysis.tables import Row
from sagan.metrics.table import METRICS
from sagan.store.types import Provenance as Made
from sagan.store.types import Settings


def provenance_of(records: list[Row], experiment: str) -> ReportProvenance:
    """Everything but the figures; a fact that differs between runs is listed with how many runs have it."""
    rows = [row for row in records if row.space == records[0].space]
    trained = [row.training for row in rows if row.training]
    measured = [row.evaluation for row in rows if row.evaluation]
    training, measuring = [record.provenance for record in trained], [record.provenance for record in measured]
    machines = [f"{p.device}, {p.threads} thread(s)" for p in training]
    facts = {
        "training: commit": _counted(map(_commit, training)),
        "training: device": _counted(machines),
        "training: versions": _counted(map(_versions, training)),
        "training: code (sha256)": _counted(record.code for record in trained),
        "training: first started, last finished": ", ".join(
            [min(p.started for p in training), max(p.finished for p in training)] if training else []
        ),
        "evaluation: commit": _counted(map(_commit, measuring)),
        "evaluation: device": _counted(p.device for p in measuring),
        "evaluation: versions": _counted(map(_versions, measuring)),
        "dataset digest": _counted(record.dataset_digest for record in trained),
        "reference": rows[0].reference.key if rows[0].reference else "",
    }
    searched = [record.memorisation for record in measured if record.memorisation.training_images is not None]
    # What the rows of samples by class are -> the variants that are told of these classes.
    class_rows: dict[str, list[str]] = {}
    for variant, run in {row.cell.variant: row.training for row in rows if row.training}.items():
        if classes := run.config["image"].get("classes"):
            class_rows.setdefault(", ".join(classes), []).append(variant)
    # What a reader must know of single runs: evaluations that do not count, images with a defect, no curve.
    warnings = [
        f"{row.cell.variant}, seed {row.cell.seed}, {row.space}: {why}"
        for row in records
        for why in (row.set_aside, row.reason("fid"))
        if why
    ]
    points = [point for row in rows for point in row.curve]
    if points and all(point.fid is None for point in points):
        warnings.append(f"no snapshot has an FID: {points[0].status}")
    return ReportProvenance(
        facts=[{"what": what, "value": value} for what, value in facts.items() if value],
        protocols=_protocols(records),
        machines=dict(Counter(machines).most_common()),
        warnings=warnings,
        experiment=experiment,
        searched=(searched[0].train_count, searched[0].training_images) if searched else None,
        class_rows=class_rows,
    )


def space_of(name: str, records: list[Row]) -> Space:
    """A feature space: its noise floor, real images' own figures, and which metrics have none and why."""
    rows = [row for row in records if row.space == name]
    known, unmeasured = rows[0].reference, {}
    real = known and known.other_split
    matched: Settings = next((of.matched for row in rows if (of := row.evaluation) and of.matched), {})
    figures = {name: value.value for name, value in real.metrics.items() if name in METRICS} if real else {}
    for metric in METRICS:
        reasons = [why for row in rows if (why := row.reason(metric))]
        if reasons and all(row.metric(metric) is None for row in rows):
            unmeasured[metric] = reasons[0]
    return Space(
        name=name,
        floor=known and known.floor.fid,
        accuracy=known and known.accuracy,
        other_split=f"{matched.get('count', real.count)} {real.split}" if real else "",
        real=figures | {name: found["value"] for name, found in matched.get("real", {}).items()},
        unmeasured=unmeasured,
    )


def _protocols(records: list[Row]) -> list[dict[str, str]]:
    """A metric's full name and settings; several lines where runs were measured differently."""
    lines: dict[tuple[str, ...], None] = {}
    for row in records:
        for metric, record in (row.evaluation.metrics if row.evaluation else {}).items():
            # A run's own figure stands beside the settings: the spread over KID's subsets or IS's splits.
            settings = {k: v[:12] if k == "weights_digest" else v for k, v in flat(record.protocol).items()}
            told = ", ".join(f"{k} {v}" for k, v in sorted(settings.items()) if k != "std" and v != "none")
            lines[row.space, metric, record.name, told] = None
    return [dict(zip(("space", "metric", "name", "settings"), line, strict=True)) for line in lines]


def _commit(provenance: Made) -> str | None:
    commit = provenance.commit
    return commit and commit[:12] + (" with uncommitted changes" if provenance.dirty else "")


def _versions(provenance: Made) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(provenance.versions.items()))


def _counted(values: Iterable[str | None]) -> str:
    counts = Counter(value for value in values if value)
    if len(counts) < 2:
        return next(iter(counts), "")
    return "; ".join(f"{value} ({count} runs)" for value, count in counts.most_common())

"""Where the figures of a report come from: what the records say of code, data, machine and libraries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import median

from sagan.analysis.costs import LOAD
from sagan.analysis.design import flat
from sagan.analysis.literature import PUBLISHED
from sagan.analysis.metrics import METRICS
from sagan.analysis.model import Fact, Protocol, Provenance, Published, Space
from sagan.analysis.rows import Row, SuiteRecords
from sagan.store.types import Provenance as Made


def of_records(records: SuiteRecords) -> Provenance:
    """Everything but the figures that the records tell of themselves."""
    searched = (row.evaluation.memorisation for row in records.rows if row.evaluation)
    kinds = Counter(f"{run.provenance.device}, {run.provenance.threads} thread(s)" for run in _trained(records))
    return Provenance(
        facts=[Fact(what=what, value=value) for what, value in _facts(records)],
        protocols=[line for of in (records, *records.also.values()) for line in _protocols(of)],
        machines=dict(kinds.most_common()),
        busy=any(_is_busy(row) for row in records.rows),
        warnings=_warnings(records),
        experiment=records.experiment,
        published=[Published(**vars(of)) for of in _published(records)],
        searched=next(((m.train_count, m.training_images) for m in searched if m.training_images is not None), None),
        class_rows=_class_rows(records),
    )


def spaces(records: SuiteRecords) -> list[Space]:
    """Each feature space: its noise floor, real images' own figures, and which metrics have none and why."""
    return [_space(of) for of in (records, *records.also.values())]


def _space(records: SuiteRecords) -> Space:
    real = records.reference and records.reference.other_split
    figures = {name: value.value for name, value in real.metrics.items() if name in METRICS} if real else {}
    unmeasured = {
        name: why
        for name in METRICS
        if not any(row.metric(name) is not None for row in records.rows)
        and (why := next((why for row in records.rows if (why := row.reason(name))), None))
    }
    known = records.reference
    return Space(
        name=records.extractor,
        floor=known and known.floor.fid,
        real_count=known and known.real_count,
        accuracy=known and known.accuracy,
        other_split=f"{real.count} {real.split}" if real else "",
        real=figures,
        unmeasured=unmeasured,
    )


def _published(records: SuiteRecords):
    return PUBLISHED.get(records.reference.kind, ()) if records.reference else ()


def _trained(records: SuiteRecords):
    return [row.training for row in records.rows if row.training]


def _is_busy(row: Row) -> bool:
    """Whether a machine had other work during half of a run."""
    loads = [line.load for line in row.log if line.load is not None]
    return bool(loads) and median(loads) > LOAD


def _warnings(records: SuiteRecords) -> list[str]:
    """What a reader must know of single runs: evaluations that do not count, images with a defect, no curve."""
    told = []
    for of in (records, *records.also.values()):
        for row in of.rows:
            name = f"{row.variant}, seed {row.seed}, {of.extractor}"
            told += [f"{name}: {why}" for why in (row.set_aside, row.defect) if why]
    if not any(row.curve for row in records.rows):
        reasons = (point.status for row in records.rows for point in row.points if point.status != "measured")
        told += [f"no snapshot has an FID: {why}" for why in list(reasons)[:1]]
    return told


def _class_rows(records: SuiteRecords) -> dict[str, list[str]]:
    """What the rows of samples by class are -> the variants that are told of these classes."""
    names: dict[str, list[str]] = {}
    for variant in records.variants:
        if classes := records.of(variant)[0].config["image"].get("classes"):
            names.setdefault(", ".join(classes), []).append(variant)
    return names


def _facts(records: SuiteRecords) -> list[tuple[str, str]]:
    """(what, value) for the table; a value that differs between runs is listed with how many runs have it."""
    trained = _trained(records)
    training = [record.provenance for record in trained]
    measuring = [row.evaluation.provenance for row in records.rows if row.evaluation]
    lines = [
        ("training: commit", _counted(_commit(p) for p in training)),
        ("training: device", _counted(f"{p.device}, {p.threads} thread(s)" for p in training)),
        ("training: versions", _counted(_versions(p) for p in training)),
        ("training: code (sha256)", _counted(record.code for record in trained)),
        ("training: first started, last finished", _span(training)),
        ("evaluation: commit", _counted(_commit(p) for p in measuring)),
        ("evaluation: device", _counted(p.device for p in measuring)),
        ("evaluation: versions", _counted(_versions(p) for p in measuring)),
        ("dataset digest", _counted(record.dataset_digest for record in trained)),
        ("reference", records.reference and records.reference.key),
    ]
    return [(what, value) for what, value in lines if value]


def _protocols(records: SuiteRecords) -> list[Protocol]:
    """A metric's full name and settings; several lines where runs were measured differently."""
    lines: dict[tuple[str, str, str], None] = {}
    for row in records.rows:
        for metric, record in (row.evaluation.metrics if row.evaluation else {}).items():
            # A run's own figure stands beside the settings: the spread over KID's subsets or IS's splits.
            settings = {k: v for k, v in flat(record.protocol).items() if k != "std" and v != "none"}
            if "weights_digest" in settings:
                settings["weights_digest"] = settings["weights_digest"][:12]
            lines[metric, record.name, ", ".join(f"{key} {value}" for key, value in sorted(settings.items()))] = None
    return [
        Protocol(space=records.extractor, metric=metric, name=name, settings=settings)
        for metric, name, settings in lines
    ]


def _commit(provenance: Made) -> str | None:
    commit = provenance.commit
    return commit and commit[:12] + (" with uncommitted changes" if provenance.dirty else "")


def _versions(provenance: Made) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(provenance.versions.items()))


def _span(provenances: list[Made]) -> str | None:
    if not provenances:
        return None
    return f"{min(p.started for p in provenances)}, {max(p.finished for p in provenances)}"


def _counted(values: Iterable[str | None]) -> str:
    counts = Counter(value for value in values if value)
    if len(counts) < 2:
        return next(iter(counts), "")
    return "; ".join(f"{value} ({count} runs)" for value, count in counts.most_common())

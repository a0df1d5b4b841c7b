"""Where the figures of a report come from: what the records say of code, data, machine and libraries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sagan.analysis.differences import flat
from sagan.analysis.rows import SuiteRecords
from sagan.store.types import Provenance


def facts(records: SuiteRecords) -> list[tuple[str, str]]:
    """(what, value) for the table; a value that differs between runs is listed with how many runs have it."""
    trained = [row.training for row in records.rows if row.training]
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


def machines(records: SuiteRecords) -> str | None:
    """The models of CPU or GPU and the thread counts that trained a suite's runs; None where all ran on one kind."""
    kinds = [row.hardware for row in records.rows if row.hardware]
    return _counted(f"{device}, {threads} thread(s)" for device, threads in kinds) if len(set(kinds)) > 1 else None


def protocols(records: SuiteRecords) -> list[tuple[str, str, str]]:
    """(metric, its full name, its settings) of each metric; several lines where runs were measured differently."""
    lines: dict[tuple[str, str, str], None] = {}
    for row in records.rows:
        for metric, record in (row.evaluation.metrics if row.evaluation else {}).items():
            # A run's own figure stands beside the settings: the spread over KID's subsets or IS's splits.
            settings = {k: v for k, v in flat(record.protocol).items() if k != "std"}
            if settings.get("weights_digest"):
                settings["weights_digest"] = settings["weights_digest"][:12]
            text = ", ".join(f"{key} {value}" for key, value in sorted(settings.items()) if value is not None)
            lines[metric, record.name, text] = None
    return list(lines)


def _commit(provenance: Provenance) -> str | None:
    commit = provenance.commit
    return commit and commit[:12] + (" with uncommitted changes" if provenance.dirty else "")


def _versions(provenance: Provenance) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(provenance.versions.items()))


def _span(provenances: list[Provenance]) -> str | None:
    if not provenances:
        return None
    return f"{min(p.started for p in provenances)}, {max(p.finished for p in provenances)}"


def _counted(values: Iterable[str | None]) -> str:
    counts = Counter(value for value in values if value)
    if len(counts) < 2:
        return next(iter(counts), "")
    return "; ".join(f"{value} ({count} runs)" for value, count in counts.most_common())

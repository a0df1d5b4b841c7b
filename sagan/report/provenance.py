"""Where the figures of a report come from: what the records say of code, data, machine and libraries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sagan.records import Json
from sagan.report.collect import SuiteRecords
from sagan.report.ingredients import flat

_NOT_PROTOCOL = ("seed",)


def facts(records: SuiteRecords) -> list[tuple[str, str]]:
    """(what, value) for the table; a value that differs between runs is listed with how many runs have it."""
    trained = [row.run_record for row in records.rows if row.run_record]
    measured = [row.evaluation_record for row in records.rows if row.evaluation_record]
    training = [record["provenance"] for record in trained if "provenance" in record]
    measuring = [record["provenance"] for record in measured if "provenance" in record]
    lines = [
        ("training: commit", _counted(_commit(p) for p in training)),
        ("training: device", _counted(f"{p.get('device')}, {p.get('threads')} thread(s)" for p in training)),
        ("training: versions", _counted(_versions(p) for p in training)),
        ("training: code (sha256)", _counted(record.get("code") for record in trained)),
        ("training: first started, last finished", _span(training)),
        ("evaluation: commit", _counted(_commit(p) for p in measuring)),
        ("evaluation: device", _counted(p.get("device") for p in measuring)),
        ("evaluation: versions", _counted(_versions(p) for p in measuring)),
        ("dataset digest", _counted(record.get("dataset_digest") for record in trained)),
        ("reference", records.reference.get("key")),
    ]
    return [(what, value) for what, value in lines if value]


def machines(records: SuiteRecords) -> str | None:
    """The models of CPU or GPU and the thread counts that trained a suite's runs; None where all ran on one kind."""
    kinds = [row.hardware for row in records.rows if row.hardware]
    return _counted(f"{device}, {threads} thread(s)" for device, threads in kinds) if len(set(kinds)) > 1 else None


# Stand beside a metric's settings, and are a run's own figures: the spread over KID's subsets and IS's splits.
_MEASURED = ("std",)


def protocols(records: SuiteRecords) -> list[tuple[str, str, str]]:
    """(metric, its full name, its settings) of each metric; several lines where runs were measured differently."""
    lines: dict[tuple[str, str, str], None] = {}
    for row in records.rows:
        measured = row.evaluation_record.get("metrics", {})
        for metric, record in measured.items():
            settings = {k: v for k, v in flat(record.get("protocol", {})).items() if k not in _MEASURED}
            if settings.get("weights_digest"):
                settings["weights_digest"] = settings["weights_digest"][:12]
            text = ", ".join(f"{key} {value}" for key, value in sorted(settings.items()) if value is not None)
            lines[metric, record.get("name", ""), text] = None
    return list(lines)


def parameters(record: Json) -> str:
    """The sizes of the two networks, such as "G 1,234,567, D 765,432"."""
    sizes = record.get("parameters", {})
    return ", ".join(f"{network[0].upper()} {count:,}" for network, count in sorted(sizes.items(), reverse=True))


def _commit(provenance: Json) -> str | None:
    commit = provenance.get("commit")
    return commit and commit[:12] + (" with uncommitted changes" if provenance.get("dirty") else "")


def _versions(provenance: Json) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(provenance.get("versions", {}).items()))


def _span(provenances: list[Json]) -> str | None:
    started = [p["started"] for p in provenances if p.get("started")]
    finished = [p["finished"] for p in provenances if p.get("finished")]
    return f"{min(started)}, {max(finished)}" if started and finished else None


def _counted(values: Iterable[str | None]) -> str:
    counts = Counter(value for value in values if value)
    if len(counts) < 2:
        return next(iter(counts), "")
    return "; ".join(f"{value} ({count} runs)" for value, count in counts.most_common())

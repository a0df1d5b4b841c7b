"""The one reader of results: is a record there, missing or invalid, and what does it say.

An invalid one (half of a file, another program's, one that is too old) is treated as missing: the pipeline makes the
result anew; its folder is set aside, never deleted (`sagan.store.folders`). One line of warning names it.
"""

from __future__ import annotations

import errno
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import ValidationError

from sagan.store.paths import Paths
from sagan.store.records import Json, complete_lines, file_digest
from sagan.store.types import (
    EvaluationRecord,
    LogLine,
    PreparedManifest,
    Record,
    ReferenceRecord,
    Result,
    RunRecord,
)

R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=Result)
_IN_DVC_CACHE = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
# Bytes of a log's end: some lines.
_LOG_TAIL = 8192


@dataclass(frozen=True)
class Found(Generic[R]):
    """What a place holds.

    `record` is there where the state is "there". "invalid": there is a file, and it is no such record, or one of the
    files that it names is not what it says. `why` says of it in a few words.
    """

    state: Literal["there", "missing", "invalid"]
    record: R | None = None
    why: str = ""


def read_record(path: Path, kind: type[R]) -> Found[R]:
    """A file that should hold a record, by itself."""
    try:
        return Found("there", kind.model_validate_json(path.read_bytes()))
    except FileNotFoundError:
        return Found("missing")
    except ValidationError as error:
        return Found("invalid", why=_reason(error))
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.ELOOP):
            raise
        return Found("invalid", why=error.strerror.lower())


def read_result(kind: type[S], key: str, paths: Paths, verify: bool = False) -> Found[S]:
    """A result, which is there when all its files have their sizes; a light copy names those that it does without.

    Args:
        verify: compare the files' bytes with their digests too: a copy that broke off may have the right sizes.
    """
    path = paths.root / kind.place.format(key)
    found = read_record(path, kind)
    if found.record is not None and found.record.key != key:
        found = Found("invalid", why=f"its key is {found.record.key!r:.80}")
    if found.state == "invalid":
        warn_once(f"{path}: invalid record ({found.why}); treated as missing")
    if found.record is None:
        return found
    for name, kept in found.record.files.items():
        file = path.parent / name
        if name in found.record.left_behind:
            continue
        if not file.exists():
            return Found("invalid", why=f"{name} is not there")
        if file.stat().st_size != kept.bytes:
            return Found("invalid", why=f"{name} has another size")
        if verify and file_digest(file) != kept.sha256:
            return Found("invalid", why=f"{name} has other bytes")
    return found


read_run = partial(read_result, RunRecord)
read_reference = partial(read_result, ReferenceRecord)
read_evaluation = partial(read_result, EvaluationRecord)


def all_records(kind: type[S], paths: Paths) -> list[S]:
    """The records of a kind under `results`, whatever plan they are of; others are passed over."""
    found = (read_record(path, kind).record for path in sorted(paths.root.glob(kind.place.format("*"))))
    return [record for record in found if record is not None]


def dataset_of(folder: Path) -> str | None:
    """The dataset that a folder of results is of, by whatever record there is, also one too old; None if none tells."""
    names = ("run.json", "reference.json", "metrics.json")
    found = (read_record(folder / name, Result).record for name in names)
    return next((record.dataset for record in found if record is not None), None)


def read_manifest(folder: Path) -> Json | None:
    """The manifest of a prepared dataset, or None where no complete one lies there."""
    found = read_record(folder / "manifest.json", PreparedManifest).record
    return found.content() if found else None


def read_log(key: str, paths: Paths) -> list[LogLine]:
    """The complete lines of a run's log, none where there is no log; a kill leaves half a line, which is not one.

    Lines that are damaged are left out, which is said once.
    """
    path = paths.run(key) / "log.jsonl"
    lines, damaged = [], []
    for number, line in enumerate(complete_lines(path), start=1):
        try:
            lines.append(LogLine.model_validate_json(line))
        except ValidationError as error:
            damaged.append(f"line {number} ({_reason(error)})")
    if damaged:
        others = f" and {len(damaged) - 1} more" if damaged[1:] else ""
        warn_once(f"{path}: {damaged[0]}{others} damaged, and left out")
    return lines


def log_tail(key: str, paths: Paths) -> list[LogLine]:
    """The last lines of a run's log, as far as they are whole; none where there is no log."""
    lines = []
    with suppress(OSError), (paths.run(key) / "log.jsonl").open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _LOG_TAIL))
        for line in file.read().split(b"\n")[:-1]:
            with suppress(ValidationError):  # the first is cut off somewhere
                lines.append(LogLine.model_validate_json(line))
    return lines


def is_own_file(path: Path, folder: Path) -> bool:
    """Whether a path is a file of a folder of results: it lies there, or is a link to DVC's cache.

    A link in a copied result may lead to any file of this machine. In DVC's cache a file is named by the MD5 of its
    bytes, which who made the link must have known.
    """
    target = path.resolve()
    is_within = target.is_relative_to(folder.resolve()) or _IN_DVC_CACHE.search(target.as_posix()) is not None
    return is_within and target.is_file()


def _reason(error: ValidationError) -> str:
    """The first complaint, in a few words."""
    first: Any = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).removeprefix(".")
    if first["type"] == "json_invalid":
        return f"not JSON: {first['msg'].removeprefix('Invalid JSON: ')}"
    if first["type"] == "missing":
        return f"{place} is missing" + ("" if place == "key" else "; too old, or not whole")
    return f"{place} is wrong" if place else "no JSON object"


@cache
def warn_once(text: str) -> None:
    """A line, however often it is said."""
    print(f"sagan: warning: {text}", file=sys.stderr)

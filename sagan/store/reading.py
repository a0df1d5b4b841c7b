"""The one reader of results: is a record there, missing or invalid, and what does it say.

An invalid one (half of a file, another program's, one that is too old) is treated as missing: the pipeline makes the
result anew; its folder is set aside, never deleted (`sagan.store.folders`). One line of warning names it.
"""

from __future__ import annotations

import errno
import json
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import ValidationError

from sagan.store.paths import Paths
from sagan.store.records import NotARecord, complete_lines, file_digest, read_json
from sagan.store.types import EvaluationRecord, Kept, LogLine, Record, ReferenceRecord, RunRecord

R = TypeVar("R", bound=Record)
_SHOWN = 80
_IN_DVC_CACHE = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
# More than a line of a run's log is long.
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


def read_run(key: str, paths: Paths, verify: bool = False) -> Found[RunRecord]:
    """A run, which is there when all its files have their sizes; a light copy names those that it does without.

    Args:
        verify: compare the files' bytes with their digests too: a copy that broke off may have the right sizes.
    """
    folder = paths.run(key)
    found = _read(folder / "run.json", RunRecord)
    if found.record is None:
        return found
    files = {name: kept for name, kept in found.record.files.items() if name not in found.record.left_behind}
    return _whole(found, folder, files, verify)


def read_reference(key: str, paths: Paths, verify: bool = False) -> Found[ReferenceRecord]:
    """A reference, which is there when all its files have their sizes, and with `verify` their bytes."""
    found = _read(paths.reference(key) / "reference.json", ReferenceRecord)
    return found if found.record is None else _whole(found, paths.reference(key), found.record.files, verify)


def _whole(found: Found[R], folder: Path, files: dict[str, Kept], verify: bool) -> Found[R]:
    """What was found, or "invalid" where a file of it is not what the record says."""
    for name, kept in files.items():
        if why := _defect(folder / name, kept.bytes):
            return Found("invalid", why=f"{name} {why}")
        if verify and file_digest(folder / name) != kept.sha256:
            return Found("invalid", why=f"{name} has other bytes")
    return found


def read_evaluation(key: str, paths: Paths, verify: bool = False) -> Found[EvaluationRecord]:
    """A measurement, which is there when all its files have their sizes, and with `verify` their bytes."""
    found = _read(paths.evaluation(key) / "metrics.json", EvaluationRecord)
    return found if found.record is None else _whole(found, paths.evaluation(key), found.record.files, verify)


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


def last_logged_step(key: str, paths: Paths) -> int:
    """The step of the last complete line of a run's log; 0 where there is none."""
    try:
        with (paths.run(key) / "log.jsonl").open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LOG_TAIL))
            return json.loads(file.read().split(b"\n")[-2])["step"]
    except (OSError, IndexError, ValueError, KeyError, TypeError):
        return 0


def dataset_of(folder: Path) -> str | None:
    """The dataset that a folder of results is of, by whatever record there is; None where none tells."""
    for name in ("run.json", "reference.json", "metrics.json"):
        try:
            return read_json(folder / name)["dataset"]
        except (OSError, NotARecord, KeyError):
            continue
    return None


def is_own_file(path: Path, folder: Path) -> bool:
    """Whether a path is a file of a folder of results: it lies there, or is a link to DVC's cache.

    A link in a copied result may lead to any file of this machine. In DVC's cache a file is named by the MD5 of its
    bytes, which who made the link must have known.
    """
    target = path.resolve()
    if not target.is_file():
        return False
    return target.is_relative_to(folder.resolve()) or _IN_DVC_CACHE.search(target.as_posix()) is not None


def all_records(pattern: str, paths: Paths, kind: type[R]) -> list[R]:
    """The records under `results` whose paths fit a pattern, whatever plan they are of; others are passed over."""
    found = (_read(path, kind, warned=False) for path in sorted((paths.root / "results").glob(pattern)))
    return [entry.record for entry in found if entry.record is not None]


def _read(path: Path, kind: type[R], warned: bool = True) -> Found[R]:
    try:
        record = kind.model_validate_json(path.read_bytes())
        key = getattr(record, "key", None)
        why = "" if key == path.parent.name else f"its key is {key!r:.{_SHOWN}}"
    except FileNotFoundError:
        return Found("missing")
    except ValidationError as error:
        why = _reason(error)
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.ELOOP):
            raise
        why = error.strerror.lower()
    if not why:
        return Found("there", record)
    if warned:
        warn(path, why)
    return Found("invalid", why=why)


def _defect(path: Path, size: int) -> str | None:
    try:
        return None if path.stat().st_size == size else "has another size"
    except OSError:
        return "is not there"


def _reason(error: ValidationError) -> str:
    """The first complaint, in a few words."""
    first: Any = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).removeprefix(".")
    if first["type"] == "json_invalid":
        return f"not JSON: {first['msg'].removeprefix('Invalid JSON: ')}"
    if first["type"] == "missing":
        return f"{place} is missing" + ("" if place == "key" else "; too old, or not whole")
    return f"{place} is wrong" if place else "no JSON object"


def warn(path: Path, why: str) -> None:
    """A line for each file, however often it is looked at."""
    warn_once(f"{path}: invalid record ({why}); treated as missing")


@cache
def warn_once(text: str) -> None:
    """A line, however often it is said."""
    print(f"sagan: warning: {text}", file=sys.stderr)

"""The one reader of results: is a record there, missing or invalid, what does it say, and how far has its run come.

An invalid one (half of a file, another program's, one that is too old) is treated as missing: the pipeline makes the
result anew; its folder is set aside, never deleted. One line of warning names it.
"""

import errno
import os
import re
import shutil
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import ValidationError

from sagan.errors import warn_once
from sagan.store.locks import is_locked, lock_of
from sagan.store.paths import Paths
from sagan.store.records import Json, canonical, file_digest
from sagan.store.types import EvaluationRecord, LogLine, Manifest, Record, ReferenceRecord, Result, RunRecord

R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=Result)
_IN_DVC_CACHE = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
# Bytes of a log's end: some lines.
_LOG_TAIL = 8192

# What a job leaves with when a signal stopped it behind a checkpoint (EX_TEMPFAIL of sysexits.h). A cluster's scheduler
# takes it as "put it back in the queue".
GO_ON_LATER = 75
# That, and how the shell names SIGHUP, SIGINT and SIGTERM where a job leaves at once: none of these is a failure.
_STOPPED = (GO_ON_LATER, 129, 130, 143)


class Found(NamedTuple, Generic[R]):
    """The record in a place, or `why` what is there is none, in a few words; neither where nothing is there."""

    record: R | None = None
    why: str = ""


def read_record(path: Path, kind: type[R]) -> Found[R]:
    """A file that should hold a record, by itself."""
    try:
        record = kind.model_validate_json(path.read_bytes())
        canonical(record.content())  # JSON knows no NaN, also where any value fits
        return Found(record)
    except FileNotFoundError:
        return Found()
    except ValidationError as error:
        return Found(why=_reason(error))
    except ValueError:
        return Found(why="holds NaN or Infinity")
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.ELOOP):
            raise
        return Found(why=error.strerror.lower())


def read_result(kind: type[S], key: str, paths: Paths, verify: bool = False) -> Found[S]:
    """A result, which is there when all its files have their sizes; a light copy names those that it does without.

    `verify` compares the files' bytes with their digests too: a copy that broke off may have the right sizes.
    """
    folder = kind.folder(paths, key)
    found = read_record(folder / kind.file, kind)
    if found.record is not None and found.record.key != key:
        found = Found(why=f"its key is {found.record.key!r:.80}")
    if found.record is None:
        if found.why:
            warn_once(f"{folder / kind.file}: invalid record ({found.why}); treated as missing")
        return found
    for name, kept in found.record.files.items():
        file = folder / name
        if name in found.record.left_behind:
            continue
        if not file.exists():
            return Found(why=f"{name} is not there")
        if file.stat().st_size != kept.bytes:
            return Found(why=f"{name} has another size")
        if verify and file_digest(file) != kept.sha256:
            return Found(why=f"{name} has other bytes")
    return found


read_run = partial(read_result, RunRecord)
read_reference = partial(read_result, ReferenceRecord)
read_evaluation = partial(read_result, EvaluationRecord)


def set_aside(kind: type[Result], key: str, paths: Paths, verify: bool = True) -> Path | None:
    """Move away a result whose record is none, or is not true of its files; None if it is whole, missing or in use."""
    folder = kind.folder(paths, key)
    if is_locked(lock_of(folder)) or not read_result(kind, key, paths, verify).why:
        return None
    place = paths.root / "state" / "torn" / f"{key}-{time.time_ns()}"
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, place)
    return place


def all_records(kind: type[S], paths: Paths) -> list[S]:
    """The records of a kind under `results`, whatever plan they are of; others are passed over."""
    found = (read_record(path, kind).record for path in sorted(kind.folder(paths, "").glob(f"*/{kind.file}")))
    return [record for record in found if record is not None]


def dataset_of(folder: Path) -> str | None:
    """The dataset that a folder of results is of, by whatever record there is, also one too old; None if none tells."""
    found = (read_record(folder / k.file, Result).record for k in (RunRecord, ReferenceRecord, EvaluationRecord))
    return next((record.dataset for record in found if record is not None), None)


def read_manifest(folder: Path) -> Json | None:
    """The manifest of a prepared dataset, or None where no complete one lies there."""
    found = read_record(folder / "manifest.json", Manifest).record
    return found.content() if found else None


def read_log(key: str, paths: Paths, tail: bool = False) -> list[LogLine]:
    """The complete lines of a run's log, none where there is no log; a kill leaves half a line, which is not one.

    Damaged lines are left out, which is said once. `tail` gives the last ones alone; the first may be cut off.
    """
    path, content = paths.run(key) / "log.jsonl", b""
    # The tail is for estimates, which go without what cannot be read just now.
    passed_over = (OSError,) if tail else (FileNotFoundError, NotADirectoryError)
    with suppress(*passed_over), path.open("rb") as file:
        if tail:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_TAIL))
        content = file.read()
    lines, damaged = [], []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            lines.append(LogLine.model_validate_json(line))
        except ValidationError as error:
            damaged.append(f"line {number} ({_reason(error)})")
    if damaged and not tail:
        others = f" and {len(damaged) - 1} more" if damaged[1:] else ""
        warn_once(f"{path}: {damaged[0]}{others} damaged, and left out")
    return lines


def run_state(key: str, paths: Paths) -> str:
    """ "finished", "diverged at step N", "training at step N", "stopped at step N", "failed ...", or "missing"."""
    if (record := read_run(key, paths).record) is not None:
        return "finished" if record.status == "finished" else f"diverged at step {record.diverged_at}"
    if is_locked(lock_of(paths.run(key))):
        return f"training at step {last_step(key, paths)}"
    checkpoint = last_checkpoint(key, paths)
    if (code := _exit_code(key, paths)) is not None and code not in _STOPPED:
        return f"failed past step {checkpoint} (exit code {code}, state/logs/{key}.log)"
    return f"stopped at step {checkpoint}" if checkpoint else "missing"


def _exit_code(key: str, paths: Paths) -> int | None:
    """How a job left that did not end well: the last line that the workflow adds to its log."""
    with suppress(OSError):
        text = paths.log(key).read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"^\w+ left with exit code (\d+)\n?\Z", text, re.MULTILINE):
            return int(found[1])
    return None


def was_stopped(key: str, paths: Paths) -> bool:
    """Whether a signal ended a job's last attempt, rather than a fault of its own."""
    return _exit_code(key, paths) in _STOPPED


def last_checkpoint(key: str, paths: Paths) -> int:
    """The step that a run would resume from; 0 where there is no checkpoint."""
    return max((int(path.stem) for path in paths.state(key).glob("*.json")), default=0)


def last_step(key: str, paths: Paths) -> int:
    """The last step that an unfinished run has logged or has a checkpoint of; 0 where there is none."""
    return max([last_checkpoint(key, paths), *(line.step for line in read_log(key, paths, tail=True)[-1:])])


def size_of(folder: Path) -> int:
    """Bytes of a folder's files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


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

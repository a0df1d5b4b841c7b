"""What became of a result's folder: locked, stopped behind a checkpoint, failed; and set aside where it is invalid."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from sagan.store.locks import is_locked, lock_of
from sagan.store.paths import Paths
from sagan.store.reading import log_tail, read_result, read_run
from sagan.store.types import Result

# What a job leaves with when a signal stopped it behind a checkpoint (EX_TEMPFAIL of sysexits.h). A cluster's scheduler
# takes it as "put it back in the queue".
GO_ON_LATER = 75
# That, and how the shell names SIGHUP, SIGINT and SIGTERM where a job leaves at once: none of these is a failure.
STOPPED = (GO_ON_LATER, 129, 130, 143)


def run_state(key: str, paths: Paths) -> str:
    """ "finished", "diverged at step N", "training at step N", "stopped at step N", "failed ...", or "missing"."""
    if (record := read_run(key, paths).record) is not None:
        return "finished" if record.status == "finished" else f"diverged at step {record.diverged_at}"
    if is_locked(lock_of(paths.run(key))):
        return f"training at step {last_step(key, paths)}"
    checkpoint = last_checkpoint(key, paths)
    if (code := _exit_code(key, paths)) is not None and code not in STOPPED:
        return f"failed past step {checkpoint} (exit code {code}, state/logs/{key}.log)"
    return f"stopped at step {checkpoint}" if checkpoint else "missing"


def was_stopped(key: str, paths: Paths) -> bool:
    """Whether a signal ended a job's last attempt, rather than a fault of its own."""
    return _exit_code(key, paths) in STOPPED


def _exit_code(key: str, paths: Paths) -> int | None:
    """How a job left that did not end well: the last line that the workflow adds to its log."""
    try:
        lines = paths.log(key).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    found = re.fullmatch(r"\w+ left with exit code (\d+)", lines[-1]) if lines else None
    return int(found[1]) if found else None


def last_checkpoint(key: str, paths: Paths) -> int:
    """The step that a run would resume from; 0 where there is no checkpoint."""
    return max((int(path.stem) for path in paths.state(key).glob("*.json")), default=0)


def last_step(key: str, paths: Paths) -> int:
    """The last step that an unfinished run has logged or has a checkpoint of; 0 where there is none."""
    return max([last_checkpoint(key, paths), *(line.step for line in log_tail(key, paths)[-1:])])


def set_aside(kind: type[Result], key: str, paths: Paths, verify: bool = True) -> Path | None:
    """Move away a result whose record is none, or is not true of its files; None if it is whole, missing or in use.

    Args:
        verify: compare the files' bytes with their digests, beside their sizes.
    """
    folder = paths.root / kind.folder(key)
    if is_locked(lock_of(folder)) or read_result(kind, key, paths, verify).state in ("there", "missing"):
        return None
    place = paths.root / "state" / "torn" / f"{key}-{time.time_ns()}"
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, place)
    return place


def size_of(folder: Path) -> int:
    """Bytes of a folder's files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

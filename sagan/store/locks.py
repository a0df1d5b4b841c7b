"""Locks that end with their owner. A result's lies beside it, so that clones that share results share their locks."""

import errno
import fcntl
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from sagan.errors import UserError, warn_once

# Of a file system whose files the kernel cannot lock.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_POLL_SECONDS = 0.5
# So long a glance at a lock (`is_locked`) takes at most.
_LOOK_SECONDS = 0.1


def lock_of(folder: Path) -> Path:
    """The lock of a result's folder, which may not be there yet."""
    return folder.parent / f".{folder.name}.lock"


def taken(path: Path, inherited: bool = False) -> BaseFileLock | None:
    """A lock, held until `release`; None while another one holds it. An `OSError` where its file cannot be written.

    The kernel drops it with its owner. Where it cannot, a file that names process and host stands for the lock, and
    counts for nothing once that process of this host is gone. Processes that this one starts with `close_fds=False`
    hold an `inherited` one too, for as long as they live.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    hand_down = (lambda descriptor: os.set_inheritable(descriptor, True)) if inherited else None
    try:
        return _acquired(FileLock(path, thread_local=False, fallback_to_soft=False, on_acquired=hand_down))
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        path.unlink(missing_ok=True)
        warn_once(f"{path.parent}: this file system cannot lock files ({error.strerror}); files that name the owner do")
        return _acquired(SoftFileLock(_soft(path), thread_local=False))


def _acquired(lock: BaseFileLock) -> BaseFileLock | None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock


def release(lock: BaseFileLock) -> None:
    """Let a lock go, and take its file away: who waits for a file that is gone tries again."""
    if not isinstance(lock, SoftFileLock):
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def waited_for(path: Path, what: str, inherited: bool = False) -> Iterator[BaseFileLock | None]:
    """Tries to take a lock, once for each value; the last one is the lock. It says once that there is a wait."""
    said = False
    if (lock := taken(path, inherited)) is None:
        time.sleep(_LOOK_SECONDS)
    while (lock := lock or taken(path, inherited)) is None:
        if not said:
            print(f"{what} is locked by another process{_owner(path)}; waiting for it", file=sys.stderr, flush=True)
        said = True
        yield None
    yield lock


@contextmanager
def exclusive(
    folder: Path, what: str | None = None, deadline: float = math.inf, inherited: bool = False
) -> Iterator[None]:
    """Hold the lock of a result's folder; where another process holds it, say once that it has `what`, and wait.

    A `UserError` ends the wait past `deadline` (by `time.monotonic`); `inherited` is as in `taken`.
    """
    for lock in waited_for(lock_of(folder), what or folder.name, inherited):
        if lock is None:
            if time.monotonic() > deadline:
                raise UserError(f"{what or folder.name}: another process still has it, and the time is over")
            time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        release(lock)


def is_locked(path: Path) -> bool:
    """Whether a living process holds a lock; one that cannot be asked counts as held."""
    if not path.exists() and not _soft(path).exists():
        return False
    try:
        if lock := taken(path):
            release(lock)
        return lock is None
    except OSError:  # somebody else's file, or a disk that may only be read
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        return True


def _owner(path: Path) -> str:
    """Of a soft lock: only its own host can tell that its owner is gone. A kill may leave an empty one."""
    with suppress(OSError):
        owner = " on ".join(_soft(path).read_text(encoding="utf-8", errors="replace").split()[:2])
        return f" ({owner or 'an unknown process'}; once that one is gone, delete {_soft(path)})"
    return ""


def _soft(path: Path) -> Path:
    return path.with_name(f"{path.name}.soft")

"""Clear what a killed `dvc repro` left in DVC's lock file, so that nobody has to: `make repro` starts with this.

    python -m workflow.unlock

DVC notes who reads and writes which path in `.dvc/tmp/rwlock`, and drops a note itself where its process is gone.
It takes a zombie (a container without an init keeps them) and a stranger that got the same PID for the owner, and
cannot read a file that it was killed over. A process number says nothing where another host, or a container with
processes of its own, wrote it: such a note goes once no launch is at work here and the note is an hour old.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

import psutil
from filelock import FileLock

from sagan.store.locks import is_locked, lock_of
from sagan.store.records import Json, read_json, write_json

_OLD_SECONDS = 3600.0


def main(folder: Path = Path(".dvc/tmp"), state: Path = Path("state")) -> None:
    """Drop the notes in DVC's temporary folder of those that are not at work any more; those of living ones stay."""
    path = folder / "rwlock"
    if not path.exists():
        return
    # DVC edits the file under this lock, which the kernel drops with its owner.
    with FileLock(folder / "rwlock.lock"):
        try:
            notes = read_json(path)
            # Who reads or writes a path, one note or several; either part is absent where nobody has done so since.
            kept = {
                name: {path: left for path, told in part.items() if (left := _living(told))}
                for name, part in notes.items()
            }
        except (ValueError, TypeError, AttributeError, LookupError):
            path.unlink()
            print("unlock: .dvc/tmp/rwlock was damaged; removed")
            return
        if kept == notes:
            return
        is_old = time.time() - path.stat().st_mtime > _OLD_SECONDS and not is_locked(lock_of(state / "launch"))
        if not (_is_here(state / "host") or is_old):
            print(f"unlock: {path} is of another host or container, whose dvc may be at work; delete it if none is")
        else:
            write_json(path, kept)
            print("unlock: a `dvc` that was killed had left .dvc/tmp/rwlock behind; cleared")


def _is_here(host: Path) -> bool:
    """Whether stages ran last where this process runs, as workflow/python noted, or nobody knows."""
    try:
        return host.read_text(encoding="utf-8").split() == [os.uname().nodename, os.readlink("/proc/self/ns/pid")]
    except OSError:
        return True


def _living(told: list[Json] | Json) -> list[Json] | Json | None:
    """Of some notes those, or of one that, whose process is a dvc that lives."""
    if isinstance(told, list):
        return [*filter(_living, told)]
    try:
        # A zombie has no command line.
        return told if "dvc" in " ".join(psutil.Process(told["pid"]).cmdline()) else None
    except psutil.NoSuchProcess:
        return None


if __name__ == "__main__":
    with suppress(OSError):  # where nothing can be written, `workflow.around` says it
        main()

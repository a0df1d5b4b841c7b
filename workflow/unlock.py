"""Clear what a killed `dvc repro` left in DVC's lock file, so that nobody has to: `make repro` starts with this.

    python -m workflow.unlock

DVC notes who reads and writes which path in `.dvc/tmp/rwlock`, and drops a note itself where its process is gone.
It takes a zombie (a container without an init keeps them) and a stranger that got the same PID for the owner, and
cannot read a file that it was killed over.
"""

from __future__ import annotations

import json
from pathlib import Path

import psutil
from filelock import FileLock

from sagan.store.records import Json, write_json


def main(folder: Path = Path(".dvc/tmp")) -> None:
    """Drop the notes of those that are not at work any more; those of living ones stay.

    Args:
        folder: DVC's temporary folder.
    """
    path = folder / "rwlock"
    if not path.exists():
        return
    # DVC edits the file under this lock, which the kernel drops with its owner.
    with FileLock(folder / "rwlock.lock"):
        try:
            notes = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError:
            path.unlink()
            print("unlock: .dvc/tmp/rwlock was torn; removed")
            return
        kept = dict(notes)
        # Either is absent where nobody has read or written since.
        if "read" in notes:
            living = {place: [*filter(_lives, readers)] for place, readers in notes["read"].items()}
            kept["read"] = {place: readers for place, readers in living.items() if readers}
        if "write" in notes:
            kept["write"] = {place: note for place, note in notes["write"].items() if _lives(note)}
        if kept != notes:
            write_json(path, kept)
            print("unlock: a `dvc` that was killed had left .dvc/tmp/rwlock behind; cleared")


def _lives(note: Json) -> bool:
    try:
        # A zombie has no command line.
        return "dvc" in " ".join(psutil.Process(note["pid"]).cmdline())
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    main()

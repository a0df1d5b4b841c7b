"""What a borrowed machine has made, packed by run key to be unpacked in another clone.

    done-<n>.tar       finished results
    under-way-<n>.tar  runs with checkpoints, to be gone on with

`tar -xf packed/done-1.tar` in the clone, and `dvc repro` makes what is left and the report.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from itertools import count
from pathlib import Path

from sagan.plan import Plan
from sagan.plan.listing import missing
from sagan.store.paths import Paths
from sagan.store.reading import is_own_file
from sagan.store.records import read_json, write_json

_PART_BYTES = 15 * 2**20


def pack(plan: Plan, paths: Paths, out: Path, light: bool) -> None:
    """Tar files of about 15 MiB, each with whole folders.

    Args:
        light: leave weights out; `run.json` lists them, and evaluations stand for themselves.
    """
    out.mkdir(parents=True, exist_ok=True)
    absent = set(missing(plan, paths))
    done = [paths.root / job.record.folder(key) for key, job in plan.jobs.items() if key not in absent]
    _write(done, out, "done", paths, light)
    under_way = [key for key in plan.runs if key in absent and paths.state(key).exists()]
    _write([place(key) for key in under_way for place in (paths.state, paths.run)], out, "under-way", paths, False)


def _write(folders: list[Path], out: Path, name: str, paths: Paths, light: bool) -> None:
    for part in count(1):
        if not folders:
            return
        # Files by content, those that DVC's cache holds too.
        with tarfile.open(out / f"{name}-{part}.tar", "w", dereference=True) as tar:
            while folders and tar.offset < _PART_BYTES:
                _add(tar, folders.pop(0), paths.root, light)


def _add(tar: tarfile.TarFile, folder: Path, root: Path, light: bool) -> None:
    """The files of a folder under their places in the clone; the record that says which are left behind is last."""
    record = folder / "run.json"
    left_behind = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != record):
        if not is_own_file(path, folder):
            # In a folder that was copied in, a link may lead anywhere.
            print(f"{path}: leads out of its folder, so it is not packed", file=sys.stderr)
        elif light and record.exists() and path.suffix == ".safetensors":
            left_behind.append(path.relative_to(folder).as_posix())
        else:
            tar.add(path, path.relative_to(root))
    if left_behind:
        with tempfile.TemporaryDirectory() as scratch:
            lighter = Path(scratch, record.name)
            write_json(lighter, read_json(record) | {"left_behind": left_behind})
            tar.add(lighter, record.relative_to(root))
    elif record.exists():
        tar.add(record, record.relative_to(root))

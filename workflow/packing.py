"""What a borrowed machine has made, packed by run key to be unpacked in another clone.

    done-<n>.tar       finished results
    under-way-<n>.tar  runs with checkpoints, and measurements begun, to be gone on with

`tar -xf packed/done-1.tar` in the clone, and `dvc repro` makes what is left and the report.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from sagan.plan import Plan
from sagan.plan.listing import missing
from sagan.store.paths import Paths
from sagan.store.reading import is_own_file

_PART_BYTES = 15 * 2**20


def pack(plan: Plan, paths: Paths, out: Path, light: bool) -> None:
    """Tar files of about 15 MiB, each with whole folders, in place of those of an earlier packing there.

    Args:
        light: leave weights out; `run.json` lists them, and evaluations stand for themselves.
    """
    out.mkdir(parents=True, exist_ok=True)
    absent = set(missing(plan, paths))
    done = [job.record.folder(paths, key) for key, job in plan.jobs.items() if key not in absent]
    under_way = [place(key) for key in plan.jobs if key in absent for place in (paths.state, paths.run)]
    with tempfile.TemporaryDirectory(dir=out) as fresh:
        _write(done, Path(fresh), "done", paths, light)
        _write([folder for folder in under_way if folder.exists()], Path(fresh), "under-way", paths, False)
        # What was under way then would be unpacked over what is finished now.
        for former in (*out.glob("done-*.tar"), *out.glob("under-way-*.tar")):
            former.unlink()
        for part in Path(fresh).iterdir():
            part.rename(out / part.name)


def _write(folders: list[Path], out: Path, name: str, paths: Paths, light: bool) -> None:
    for part in count(1):
        if not folders:
            return
        with tarfile.open(out / f"{name}-{part}.tar", "w") as tar:
            while folders and tar.offset < _PART_BYTES:
                for path, content in _members(folders.pop(0), paths.root, light):
                    info = tarfile.TarInfo(path.as_posix())
                    info.size, info.mtime = len(content), int(time.time())
                    tar.addfile(info, io.BytesIO(content))


def _members(folder: Path, root: Path, light: bool) -> Iterator[tuple[Path, bytes]]:
    """The files of a folder under their places in the clone; the record that says which are left behind is last."""
    is_run = (folder / "run.json").exists()
    left_behind = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name == "run.json":
            continue
        if not is_own_file(path, folder):
            # In a folder that was copied in, a link may lead anywhere.
            print(f"{path}: leads out of its folder, so it is not packed", file=sys.stderr)
        elif light and is_run and path.suffix == ".safetensors":
            left_behind.append(path.relative_to(folder).as_posix())
        else:
            yield path.relative_to(root), path.read_bytes()
    if is_run:
        record = json.loads((folder / "run.json").read_bytes())
        if left_behind:
            record["left_behind"] = left_behind
        yield (folder / "run.json").relative_to(root), (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()

"""Results go elsewhere: shared with DVC's experiments, and packed on a borrowed machine for another clone.

DVC runs queued and temporary experiments in copies of the workspace, in its `.dvc/tmp/exps/`. They leave results in the
workspace's `state/shared/` and not in its `results/`, which DVC versions and would see change under its hands.
"""

import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from sagan.errors import UserError
from sagan.plan import Plan
from sagan.plan.listing import missing
from sagan.store.paths import Paths
from sagan.store.reading import is_own_file

_PART_BYTES = 15 * 2**20


def bring(plan: Plan, workspace: Paths, here: Paths) -> int:
    """Take over what is missing here and finished in the workspace or its pool; returns how many results."""
    return sum(_linked(plan, missing(plan, here), source, here) for source in (workspace, workspace.pool))


def publish(plan: Plan, here: Paths, workspace: Paths) -> None:
    """Leave what is finished here in the workspace's pool, where neither it nor the workspace has it."""
    _linked(plan, {*missing(plan, workspace)} & {*missing(plan, workspace.pool)}, here, workspace.pool)


def _linked(plan: Plan, wanted: Iterable[str], source: Paths, target: Paths) -> int:
    """Finished results under another root too, each folder all at once. Their files are never written again."""
    there = {*wanted} - {*missing(plan, source)}
    for key in there:
        old, new = (plan.jobs[key].record.folder(root, key) for root in (source, target))
        new.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=new.parent, prefix=".") as scratch:
            try:
                whole = shutil.copytree(old, Path(scratch, key), copy_function=_link_or_copy)
            except shutil.Error as error:
                raise UserError(f"{new}: cannot be copied: {error.args[0][0][2]}") from None
            # What lies under the name is unfinished.
            shutil.rmtree(new, ignore_errors=True)
            whole.rename(new)
    return len(there)


def _link_or_copy(source: str, target: str) -> None:
    """A link (DVC's, into its cache) stays one."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def pack(plan: Plan, paths: Paths, out: Path, light: bool) -> None:
    """Tar files of about 15 MiB, each with whole folders, in place of those of an earlier packing there.

    `done-<n>.tar` has finished results, `under-way-<n>.tar` runs with checkpoints and measurements begun. `light`
    leaves weights out of the former; `run.json` lists them, and evaluations stand for themselves.
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
    number = 0
    while folders:
        number += 1
        with tarfile.open(out / f"{name}-{number}.tar", "w") as tar:
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
        if not path.is_file() or path.name == "run.json" or path.name.startswith("."):  # half a file, left by a kill
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

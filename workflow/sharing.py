"""DVC runs queued and temporary experiments in copies of the workspace; finished results are shared with them.

A copy lies in `.dvc/tmp/exps/` of the workspace. It takes over what the workspace has under the keys that its
plan asks for, and leaves what it made in the workspace's `state/shared/`, from which the workspace and later
experiments take it. Results are not put into the workspace's own `results/`: DVC versions that folder, and
would see it change under its hands.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sagan.plan import Plan
from sagan.plan.listing import missing
from sagan.store.paths import Paths


def pool(paths: Paths) -> Paths:
    """Where experiments leave their results, laid out like the workspace."""
    return Paths(paths.root / "state" / "shared")


def bring(plan: Plan, workspace: Paths, here: Paths) -> int:
    """Take over what is missing here and finished in the workspace or its pool; returns how many results."""
    sources = [pool(workspace)] if workspace == here else [workspace, pool(workspace)]
    return sum(_copy_missing(plan, source, here) for source in sources)


def publish(plan: Plan, here: Paths, workspace: Paths) -> None:
    """Leave what is finished here in the workspace's pool, where neither it nor the workspace has it."""
    _copy_missing(plan, here, pool(workspace), apart_from=workspace)


def _copy_missing(plan: Plan, source: Paths, target: Paths, apart_from: Paths | None = None) -> int:
    wanted: tuple[list[str], ...] = missing(plan, target)
    if apart_from is not None:
        elsewhere = {key for keys in missing(plan, apart_from) for key in keys}
        wanted = tuple([key for key in keys if key in elsewhere] for keys in wanted)
    absent = {key for keys in missing(plan, source) for key in keys}
    pairs = zip((Paths.run, Paths.reference, Paths.evaluation), wanted, strict=True)
    found = [(of(source, key), of(target, key)) for of, keys in pairs for key in keys if key not in absent]
    for old, new in found:
        _link_tree(old, new)
    return len(found)


def _link_tree(source: Path, target: Path) -> None:
    """A finished result's folder under another root, all of it at once. Its files are never written again."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, temporary, copy_function=_link_or_copy)
    # What lies under the name is unfinished.
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=True)
    except OSError:
        shutil.copy2(source, target)

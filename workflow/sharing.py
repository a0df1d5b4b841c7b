"""DVC runs queued and temporary experiments in copies of the workspace; finished results are shared with them.

A copy lies in `.dvc/tmp/exps/` of the workspace. It takes over what the workspace has under the keys that its
plan asks for, and leaves what it made in the workspace's `state/shared/`, from which the workspace and later
experiments take it. Results are not put into the workspace's own `results/`: DVC versions that folder, and
would see it change under its hands.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

from sagan.errors import UserError
from sagan.plan import Plan
from sagan.plan.listing import missing
from sagan.store.paths import Paths


def bring(plan: Plan, workspace: Paths, here: Paths) -> int:
    """Take over what is missing here and finished in the workspace or its pool; returns how many results."""
    sources = [workspace.pool] if workspace == here else [workspace, workspace.pool]
    return sum(_linked(plan, missing(plan, here), source, here) for source in sources)


def publish(plan: Plan, here: Paths, workspace: Paths) -> None:
    """Leave what is finished here in the workspace's pool, where neither it nor the workspace has it."""
    _linked(plan, {*missing(plan, workspace)} & {*missing(plan, workspace.pool)}, here, workspace.pool)


def _linked(plan: Plan, wanted: Iterable[str], source: Paths, target: Paths) -> int:
    """Finished results under another root too, each folder all at once. Their files are never written again."""
    there = {*wanted} - {*missing(plan, source)}
    for key in there:
        old, new = (plan.jobs[key].record.folder(root, key) for root in (source, target))
        temporary = new.with_name(f".{new.name}.{os.getpid()}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            shutil.copytree(old, temporary, copy_function=_link_or_copy)
            # What lies under the name is unfinished.
            shutil.rmtree(new, ignore_errors=True)
            temporary.rename(new)
        except shutil.Error as error:
            raise UserError(f"{new}: cannot be copied: {error.args[0][0][2]}") from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return len(there)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=True)
    except OSError:
        shutil.copy2(source, target)

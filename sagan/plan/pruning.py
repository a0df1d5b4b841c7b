"""Results that no suite asks for any more."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from sagan.errors import UserError
from sagan.params import Params
from sagan.plan.listing import suite_size
from sagan.plan.types import Plan
from sagan.store.locks import is_locked, lock_of
from sagan.store.paths import Paths
from sagan.store.reading import dataset_of, size_of


def prune_results(params: Params, paths: Paths, plan_of: Callable[[str], Plan], delete: bool) -> Iterator[str]:
    """What each suite takes on disk; then results that no suite asks for, deleted where `delete` says so.

    What experiments left for others (state/shared) and torn folders that were set aside are such results too.
    Where a dataset is not prepared, the keys of its suites are not known, and all results on it are kept.

    Args:
        plan_of: the plan of a suite, with the seeds that it asks for now.
    """
    wanted, unknown, total = set(), set(), 0
    for suite, spec in params.suites.items():
        try:
            plan = plan_of(suite)
        except UserError:
            unknown.add(spec.dataset)
            continue
        wanted |= {*plan.runs, *plan.references, *plan.evaluations}
        yield f"suite {suite}  {suite_size(plan, suite, paths) / 1e6:.1f} MB"
    if unknown:
        yield f"kept: results on {', '.join(sorted(unknown))} (not prepared, so it is not known what is asked for)"
    for folder, is_result in _prunable(paths):
        # One without a record may be of any dataset, and so may one of a dataset that has another name now.
        kept = folder.name in wanted or (unknown and dataset_of(folder) not in params.datasets.keys() - unknown)
        if is_result and (kept or _is_busy(folder)):
            continue
        size = size_of(folder)
        total += size
        yield f"{'deleted' if delete else 'unasked'} {folder}  {size / 1e6:.1f} MB"
        if delete:
            shutil.rmtree(folder)
    how = "" if delete or not total else "; `python -m sagan prune --yes` deletes them"
    yield f"{total / 1e6:.1f} MB in all{how}"


def _prunable(paths: Paths) -> Iterator[tuple[Path, bool]]:
    """Folders that may be deleted, and whether they are results under a key."""
    for of in (paths, paths.pool):
        for room in (of.run(""), of.reference(""), of.evaluation("")):
            yield from ((folder, True) for folder in sorted(room.glob("*")) if folder.is_dir())
    yield from ((folder, False) for folder in sorted((paths.root / "state" / "torn").glob("*")))


def _is_busy(folder: Path) -> bool:
    """Whether a job works on a result; an evaluation's run is in use as long as the evaluation is made."""
    of_evaluations = (folder.parent.parent / "evaluations").glob(f".{folder.name}.*.lock*")
    locks = {lock_of(folder), *(lock.with_name(lock.name.removesuffix(".soft")) for lock in of_evaluations)}
    return any(map(is_locked, locks))

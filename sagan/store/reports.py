"""The reports that experiments leave in the workspace, to be read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

from sagan.errors import UserError, did_you_mean
from sagan.store.paths import Paths, main_workspace


def experiment_paths(name: str, paths: Paths) -> Paths:
    """Where the report of a DVC experiment beside the workspace lies, laid out like the workspace.

    Raises:
        UserError: no experiment of that name has left one here.
    """
    left = Paths(paths.experiment(name))
    if not (left.root / "reports").exists():
        known = [folder.name for folder in sorted(paths.experiment("").glob("*"))]
        raise UserError(
            f"{name}: no experiment of that name has left a report here{did_you_mean(name, known)}; "
            f"`dvc exp run --temp --name {name} -S …` makes one, `dvc exp show` lists experiments"
        )
    return left


def leave_for_workspace(suites: Iterable[str], paths: Paths) -> Paths | None:
    """From the copy that DVC runs an experiment in, leave its reports in the workspace; None in any other folder."""
    workspace, name = main_workspace(paths.root), os.environ.get("DVC_EXP_NAME")
    if workspace is None or name is None:
        return None
    left = Paths(Paths(workspace).experiment(name))
    for suite in suites:
        for source, target in ((paths.report(suite), left.report(suite)), (paths.pages(suite), left.pages(suite))):
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)
    return left

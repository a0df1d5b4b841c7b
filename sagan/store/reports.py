"""Where reports lie and what they answer, for the terminal; and the reports that experiments leave to be read."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from sagan.errors import UserError, did_you_mean
from sagan.store.paths import Paths, main_workspace
from sagan.store.records import read_json


def whereabouts(suites: Iterable[str], paths: Paths, is_terminal: bool) -> list[str]:
    """Of each suite that has a report its answers, and links to its pages.

    Args:
        is_terminal: mark the links for a terminal (OSC 8), which opens them on a click.
    """
    lines = []
    for suite in suites:
        readme = paths.report(suite) / "README.md"
        if not readme.exists():
            lines.append(f"{suite}: no report yet; `make repro` makes it")
            continue
        lines += [f"{suite}:", *(f"  {line}" for line in answers(readme.read_text(encoding="utf-8")))]
        pages = (paths.pages(suite) / "report.html", paths.pages(suite) / "explorer.html", readme)
        lines += [f"  {page.name:<14}{_link(page, is_terminal)}" for page in pages if page.exists()]
    return lines


def answers(readme: str) -> list[str]:
    """The points that a report opens with, without Markdown's marks."""
    opening = readme.split("\n## ")[0].split("\n<picture>")[0]
    points = [line for line in opening.splitlines() if line.startswith("- ")]
    return [re.sub(r"\*+|\\(?=[\W_])", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", point)) for point in points]


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


def _link(path: Path, is_terminal: bool) -> str:
    uri = path.resolve().as_uri()
    return f"\033]8;;{uri}\033\\{uri}\033]8;;\033\\" if is_terminal else uri


def measured_in_report(folder: Path) -> int:
    """How many measured runs the report in a folder is of; 0 where there is none."""
    summary = folder / "summary.json"
    if not summary.exists():
        return 0
    return sum(value for name, value in read_json(summary).items() if name.endswith(".measured"))

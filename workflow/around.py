"""What DVC does not say: `make repro` asks `workflow.around before` ahead of `dvc repro`, and `after` behind it."""

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from sagan.data import outdated
from sagan.errors import UserError, said
from sagan.params.loading import load_params
from sagan.store.paths import Paths
from workflow.jobs import check_writable


def before(paths: Paths) -> int:
    """A line for each dataset of the suites under `repro` whose originals have changed; 2 where DVC cannot work.

    The originals are no dependency of DVC's `data` stage, which has to be up to date without them (docs/datasets.md).
    """
    try:
        check_place(paths.root)
        params = load_params(paths.params)
    except (UserError, OSError) as error:
        return said(error)
    for name in dict.fromkeys(params.suites[suite].dataset for suite in params.repro):
        spec = params.datasets[name]
        try:
            if why := outdated(name, spec, paths.prepared(name, spec.resolution), root=paths.root):
                print(f"{name}: {why}, and DVC cannot see that: run `python -m sagan data`")
        except (UserError, OSError) as error:
            print(f"{name}: its originals cannot be read any more: {error}")
    return 0


def check_place(root: Path) -> None:
    """Refuse what DVC ends in a traceback, or in a message that helps nobody.

    Raises:
        UserError: the folder is in no git repository that git opens.
        OSError: it cannot be written.
    """
    command = ["git", "-C", str(root), "rev-parse", "--is-inside-work-tree"]
    english = os.environ | {"LC_ALL": "C"}
    try:
        git = subprocess.run(command, env=english, capture_output=True, encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise UserError("DVC needs git, which is not installed") from None
    if "dubious ownership" in git.stderr:
        raise UserError(
            f"{root.resolve()} belongs to another user, so git does not open it; if you trust them: "
            f"git config --global --add safe.directory {shlex.quote(str(root.resolve()))}"
        )
    if git.returncode:
        raise UserError(
            f"{root.resolve()} is no git repository (a ZIP of the code is none), and DVC works in one: clone it with "
            'git, or say `git init && git add --all && git commit --message "from a ZIP"`'
        )
    for name in (".dvc", "data", "results", "pages"):
        if (link := root / name).is_symlink() and not link.resolve().is_relative_to(root.resolve()):
            raise UserError(
                f"{link} is a link out of the clone, which DVC refuses; to keep the files on another disk, move the "
                "link's files here and say `dvc cache dir /that/disk/cache` and `dvc config cache.type symlink`"
            )
    check_writable(root.resolve(), root.resolve() / ".dvc")


def after(root: Path) -> int:
    """A line, and 2, where DVC does not hold all that dvc.lock names, so that other clones would lack results.

    Where the disk of its cache is full, DVC leaves with 0.
    """
    command = [sys.executable, "-m", "dvc", "data", "status", "--granular", "--json"]
    status = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, encoding="utf-8")
    if status.returncode:
        return 2  # DVC has said why
    # Of stages: what a user keeps with `dvc add` is his.
    made = ("data/prepared", "results/", "pages/", "reports/")
    lacking = [name for name in json.loads(status.stdout).get("not_in_cache", []) if name.startswith(made)]
    if not lacking:
        return 0
    print(
        f"sagan: DVC's cache lacks {len(lacking):,} of the files that dvc.lock names, so no other clone can get them; "
        "make room on its disk (`dvc cache dir` says which), then run `dvc commit -f`",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("when", choices=["before", "after"])
    sys.exit(before(Paths()) if parser.parse_args().when == "before" else after(Path(".")))

"""Before `make repro` asks DVC: refuse where it cannot work, and say which datasets' originals have changed.

    python -m workflow.originals

DVC would say that nothing changed: the originals are no dependency of its `data` stage, which has to be up to date
without them too, where one only trains and in the copies that DVC runs experiments in.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sagan.data import outdated
from sagan.errors import UserError, said
from sagan.names import for_shell
from sagan.params.loading import load_params
from sagan.store.paths import Paths
from workflow.jobs import check_writable

PATHS = Paths()


def main(paths: Paths = PATHS) -> int:
    """A line for each dataset of the suites under `repro`; 2, with the reason, where DVC would end in a worse one."""
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
    try:
        git = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise UserError("DVC needs git, which is not installed") from None
    if "dubious ownership" in git.stderr:
        raise UserError(
            f"{root.resolve()} belongs to another user, so git does not open it; if you trust them: "
            f"git config --global --add safe.directory {for_shell(str(root.resolve()))}"
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


if __name__ == "__main__":
    sys.exit(main())

"""Say whether DVC holds all that dvc.lock names: `make repro` asks it after `dvc repro`.

    python -m workflow.stored

Where the disk of its cache is full, DVC leaves with 0 and lists results that no other clone will get.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def main(root: Path = Path(".")) -> int:
    """A line, and 2, where files are lacking."""
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
    sys.exit(main())

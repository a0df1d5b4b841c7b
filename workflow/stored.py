"""Say whether DVC holds all that dvc.lock names: `make repro` asks it after `dvc repro`.

    python -m workflow.stored

Where the disk of its cache is full, DVC leaves with 0 and lists results that no other clone will get.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML

from sagan.store.records import Json


def main(root: Path = Path(".")) -> int:
    """A line, and 2, where files are lacking."""
    if not (root / "dvc.lock").exists():
        return 0
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    told = subprocess.run(command, cwd=root, capture_output=True, encoding="utf-8", check=True).stdout
    cache = Path(told.strip()) / "files" / "md5"
    lacking = [path for path in _named(root, cache) if not path.exists()]
    if not lacking:
        return 0
    print(
        f"sagan: DVC's cache {told.strip()} lacks {len(lacking):,} of the files that dvc.lock names, so no other clone "
        "can get them; make room on its disk, then run `dvc commit -f`",
        file=sys.stderr,
    )
    return 2


def _named(root: Path, cache: Path) -> Iterator[Path]:
    """Where each file of each output has to lie in the cache."""
    for stage, noted in _yaml(root / "dvc.lock")["stages"].items():
        stated = _yaml(root / "dvc.yaml")["stages"].get(stage, {}).get("outs", [])
        uncached = {
            path for out in stated if isinstance(out, dict) for path, said in out.items() if not said.get("cache", True)
        }
        for out in noted.get("outs", []):
            if "md5" not in out or out["path"] in uncached:
                continue
            place = cache / out["md5"][:2] / out["md5"][2:]
            yield place
            if place.suffix == ".dir" and place.exists():
                for entry in json.loads(place.read_bytes()):
                    yield cache / entry["md5"][:2] / entry["md5"][2:]


def _yaml(path: Path) -> Json:
    return YAML(typ="safe", pure=True).load(path)


if __name__ == "__main__":
    sys.exit(main())

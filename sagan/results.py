"""Records of results, believed only where they are what their place says.

A file that is not such a record (half of one, another program's) counts as not there, so that the pipeline makes the
result anew; its folder is set aside, never deleted (`sagan.states`). One line of warning names it.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from sagan.paths import Paths
from sagan.records import Json, NotARecord, misfit, read_json

_NUMBER = (int, float)
_CONFIG = {"variant": dict, "image": dict, "training": dict}
# What every record has of that which others rely on, by its file's name; files of other code may say more or less.
SHAPES = {
    "run.json": {
        **{"key": str, "status": str, "steps": int, "seconds": _NUMBER},
        **{"config": _CONFIG, "files": dict, "provenance": dict},
    },
    "reference.json": {"key": str, "real_count": int, "floor": dict},
    "metrics.json": {"key": str, "status": str, "metrics": dict, "curve": [{"step": int}], "provenance": dict},
}


def recorded_run(key: str, paths: Paths) -> Json | None:
    """`run.json`; whether the run's files are whole is another question (`sagan.states.run_record`)."""
    return _recorded(paths.run(key) / "run.json")


def recorded_reference(key: str, paths: Paths) -> Json | None:
    """`reference.json`, or None where there is none."""
    return _recorded(paths.reference(key) / "reference.json")


def recorded_evaluation(key: str, paths: Paths) -> Json | None:
    """`metrics.json`, or None where there is none."""
    return _recorded(paths.evaluation(key) / "metrics.json")


def _recorded(path: Path) -> Json | None:
    try:
        record = read_json(path)
    except FileNotFoundError:
        return None
    except NotARecord as error:
        warn(path, error.reason)
        return None
    wrong = misfit(record, SHAPES[path.name])
    if wrong is None and record["key"] != path.parent.name:
        wrong = f"its key is {record['key']!r:.80}"
    if wrong is None:
        return record
    warn(path, wrong)
    return None


@cache
def warn(path: Path, reason: str) -> None:
    """A line for each file, however often it is looked at."""
    print(f"sagan: warning: {path}: no whole record ({reason}), so it counts as not there", file=sys.stderr)

"""The tests mirror the package; what several rooms share is imported from here."""

import json
from pathlib import Path

from sagan.store.records import complete_lines


def read_lines(path: Path) -> list[dict]:
    """The complete lines of a log as they were written."""
    return [json.loads(line) for line in complete_lines(path)]

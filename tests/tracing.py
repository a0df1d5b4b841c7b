"""What of the package some work runs through."""

import sys
import types
from pathlib import Path

from sagan.fingerprint import PACKAGE


def executed(work) -> set[tuple[str, str]]:
    """(module, outermost name) of every function of the package that some work runs through."""
    seen: set[types.CodeType] = set()

    def note(frame, event, argument):
        if event == "call":
            seen.add(frame.f_code)

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    found = set()
    for code in seen:
        file = Path(code.co_filename)
        if PACKAGE in file.parents:
            parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.add((module, code.co_qualname.partition(".")[0]))
    return found

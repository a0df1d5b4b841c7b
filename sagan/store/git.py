"""What git has committed of a file."""

from __future__ import annotations

import subprocess
from pathlib import Path


def committed(path: Path) -> str | None:
    """A file's text at HEAD; None where there is no such file, no commit, or no git."""
    command = ["git", "-C", str(path.parent), "show", f"HEAD:./{path.name}"]
    try:
        shown = subprocess.run(command, capture_output=True, timeout=30)
        return shown.stdout.decode() if shown.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None

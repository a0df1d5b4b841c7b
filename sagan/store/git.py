"""What other programs say: git of its commits, a driver of its version."""

import os
import subprocess
from pathlib import Path

from sagan.store.reading import warn_once


def said_by(*command: str) -> str | None:
    """What a program prints, in English; None where it is not there or fails."""
    english = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(
            command, env=english, capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=30
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        if "dubious ownership" in str(getattr(error, "stderr", "")):
            warn_once(f"git does not open {command[2]}, which belongs to another user: records hold no commit of it")
        return None


def committed(path: Path) -> str | None:
    """A file's text at HEAD; None where there is no such file, no commit, or no git."""
    return said_by("git", "-C", str(path.parent), "show", f"HEAD:./{path.name}")

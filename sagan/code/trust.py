"""Which own code that lies beside results may be executed: what this user ran before, or has in `extensions/`.

A copied run, or an archive of a whole workspace, brings code of others. So the marks of what is trusted lie in the
user's own folder of settings, and never in a clone. Code is a mapping from the names of its files to their bytes.
"""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

Code = Mapping[str, bytes]
# Digests of code of which the user has said so to this process.
_said: set[str] = set()


def remember(code: Code) -> None:
    """This user runs this code, in whatever clone."""
    mark = _mark(code)
    if mark is not None:
        with suppress(OSError):  # a home that cannot be written costs a `--trust` later
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()


def trust_now(code: Code) -> None:
    """Let this process execute some code."""
    _said.add(_digest(code))


def is_trusted(code: Code, folder: Path, main: str) -> bool:
    """Whether code may be executed without a word of the user.

    Args:
        folder: the workspace's own code, which is trusted, also with other comments.
        main: the name of the file that may be called otherwise in that folder.
    """
    mark = _mark(code)
    if _digest(code) in _said or (mark is not None and mark.exists()):
        return True
    return any(
        all(_same(file if name == main else file.parent / name, source) for name, source in code.items())
        for file in folder.rglob("*.py")
    )


def _mark(code: Code) -> Path | None:
    """An empty file that says that this user ran this code; None of a user without a home.

    A relative place would lie in whatever folder one works in, which may have come with an archive.
    """
    places = (os.environ.get("XDG_CONFIG_HOME", ""), os.path.expanduser("~/.config"))
    settings = next((place for place in places if os.path.isabs(place)), None)
    return Path(settings) / "sagan" / "trusted" / _digest(code) if settings else None


def _same(file: Path, source: bytes) -> bool:
    try:
        here = file.read_bytes()
        return here == source or ast.dump(ast.parse(here)) == ast.dump(ast.parse(source))
    except (OSError, SyntaxError, ValueError):
        return False


def _digest(code: Code) -> str:
    hasher = hashlib.sha256()
    for name, source in sorted(code.items()):
        hasher.update(os.fsencode(name) + b"\0" + source + b"\0")
    return hasher.hexdigest()

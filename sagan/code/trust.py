"""Own code that lies in the folder of a run, and whether it may be executed without a word of the user.

It may if this user ran it before, or has it in `extensions/`. A copied run, or an archive of a whole workspace, brings
code of others. So the marks of what is trusted lie in the user's own folder of settings, and never in a clone.
"""

from __future__ import annotations

import ast
import hashlib
import os
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from sagan.code.extensions import MAIN, Sources, load_extension, read_sources
from sagan.errors import UserError
from sagan.store.paths import Paths

FOLDER = "extension"  # of a run
# Digests of code of which the user has said so to this process.
_said: set[str] = set()


def keep_with_run(sources: Sources, run_folder: Path) -> None:
    """Write an extension's sources into a run's folder, and remember that this user ran them, in whatever clone."""
    (run_folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, content in sources.kept.items():
        (run_folder / FOLDER / name).write_bytes(content)
    if (mark := _mark(sources)) is not None:
        with suppress(OSError):  # a home that cannot be written costs a `--trust` later
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()


def load_kept(run_folder: Path, trusted: bool, paths: Paths) -> ModuleType:
    """The extension in a run's folder.

    Args:
        trusted: execute it even where this user has neither run it nor has it in `extensions/`.

    Raises:
        UserError: there is none, or it came with a copied run and nobody said that it is trusted.
    """
    folder = run_folder / FOLDER
    if not (folder / MAIN).exists():
        raise UserError(f"{folder}: the run's own code is not there; copy the whole folder of the run")
    sources = read_sources(folder / MAIN)
    if not (trusted or _is_trusted(sources, paths)):
        raise UserError(f"{folder}: code that came with a copied run; read it, and say --trust to execute it")
    return load_extension(sources)


def is_trusted(run_folder: Path, paths: Paths) -> bool:
    """Whether the own code in a run's folder may be executed without a word of the user."""
    try:
        return _is_trusted(read_sources(run_folder / FOLDER / MAIN), paths)
    except UserError:
        return False


def trust_now(run_folder: Path) -> None:
    """Let this process execute the own code that lies in a run's folder now; it may have none."""
    if (main := run_folder / FOLDER / MAIN).exists():
        _said.add(_digest(read_sources(main)))


def _is_trusted(sources: Sources, paths: Paths) -> bool:
    """The workspace's own code is trusted, also with other comments; in a run's folder its main file is renamed."""
    mark = _mark(sources)
    if _digest(sources) in _said or (mark is not None and mark.exists()):
        return True
    return any(
        all(_same(file if name == MAIN else file.parent / name, source) for name, source in sources.kept.items())
        for file in (paths.root / "extensions").rglob("*.py")
    )


def _mark(sources: Sources) -> Path | None:
    """An empty file that says that this user ran this code; None of a user without a home.

    A relative place would lie in whatever folder one works in, which may have come with an archive.
    """
    places = (os.environ.get("XDG_CONFIG_HOME", ""), os.path.expanduser("~/.config"))
    settings = next((place for place in places if os.path.isabs(place)), None)
    return Path(settings) / "sagan" / "trusted" / _digest(sources) if settings else None


def _same(file: Path, source: bytes) -> bool:
    try:
        here = file.read_bytes()
        return here == source or ast.dump(ast.parse(here)) == ast.dump(ast.parse(source))
    except (OSError, SyntaxError, ValueError):
        return False


def _digest(sources: Sources) -> str:
    hasher = hashlib.sha256()
    for name, content in sorted(sources.kept.items()):
        hasher.update(os.fsencode(name) + b"\0" + content + b"\0")
    return hasher.hexdigest()

"""A report's folder is the former report until the new one is whole, and then the new one: never some of both."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What reports write, or wrote once; other people's files stay.
_OURS = ("*.csv", "*.json", "*.html", "README.md", "figures/*.png", "figures/*.webp")
_THEIRS = ("costs.csv",)
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2(2)


@contextmanager
def swapped(folder: Path) -> Iterator[Path]:
    """A fresh folder beside `folder` that changes places with it once the block has ended well.

    A block that fails or is killed leaves the former report whole.
    """
    fresh, former = (folder.with_name(f".{folder.name}.{name}") for name in ("new", "old"))
    if former.exists() and not folder.exists():  # killed between the two renames of `_exchange`
        former.rename(folder)
    for left in (fresh, former):
        shutil.rmtree(left, ignore_errors=True)
    fresh.mkdir(parents=True)
    yield fresh
    ours = {path for pattern in _OURS for path in folder.glob(pattern) if path.name not in _THEIRS}
    for path in folder.rglob("*"):
        copy = fresh / path.relative_to(folder)
        if path.is_file() and path not in ours and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
    if folder.exists():
        _exchange(fresh, folder, former)
    else:
        fresh.rename(folder)
    for left in (fresh, former):
        shutil.rmtree(left, ignore_errors=True)


def _exchange(fresh: Path, folder: Path, former: Path) -> None:
    """At once where the system and its disk can, else by two renames."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None or rename(_HERE, os.fsencode(fresh), _HERE, os.fsencode(folder), _EXCHANGE) != 0:
        folder.rename(former)
        fresh.rename(folder)

"""A report's folder keeps the former report until the new one is whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STALE = ("figures/*.png", "figures/*.webp", "results-*.csv", "*.html")


@contextmanager
def swapped(folder: Path) -> Iterator[Path]:
    """A fresh folder beside `folder`, whose files take their places in it once the block has ended well.

    A block that fails or is killed leaves the former report whole. Files that README.md may have named and that were
    not written again go last; other people's files stay.
    """
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    yield fresh
    written = [path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()]
    for name in sorted(written, key=lambda name: (name == Path("README.md"), name)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (fresh / name).replace(folder / name)
    for stale in {path for pattern in _STALE for path in folder.glob(pattern)} - {folder / name for name in written}:
        stale.unlink()
    shutil.rmtree(fresh)

"""Finding original files, naming them, and telling the user where to put them."""

from __future__ import annotations

import gzip
import hashlib
import sys
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sagan.data.prepared import Content
from sagan.errors import UserError
from sagan.store.records import digest


class MissingOriginals(UserError):
    """The files are not there (rather than there and wrong)."""


@dataclass(frozen=True)
class Source:
    """Original files as they lie on disk, not yet read.

    Attributes:
        stamp: changes when files are added, removed or replaced by ones of another size.
        content: reads them; takes a scratch folder and the number of worker processes.
    """

    stamp: str
    content: Callable[[Path, int], Content]


def find_file(folder: Path, name: str, places: Iterable[str] = (".",)) -> Path | None:
    """`name` or `name`.gz in the first of some places in a folder that holds either."""
    for place in places:
        for candidate in (folder / place / name, folder / place / f"{name}.gz"):
            if candidate.is_file():
                return candidate
    return None


def read_bytes(path: Path) -> bytes:
    """A file's content, gunzipped where its name ends in .gz.

    Raises:
        UserError: the gzip stream is damaged.
    """
    data = path.read_bytes()
    return gunzip(data, str(path)) if path.suffix == ".gz" else data


def gunzip(data: bytes, name: str) -> bytes:
    """The content of a gzip stream that messages call `name`.

    Raises:
        UserError: it is damaged.
    """
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{name}: damaged gzip file ({error}); fetch it again") from None


def md5(data: bytes) -> str:
    """The md5 in hex, which is what the datasets' authors published; it guards against damage, not malice."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def stamp(files: Iterable[tuple[str, int]]) -> str:
    """A name for (file name, bytes) pairs: cheap to take, and it changes when files are added or replaced."""
    return digest(sorted(files), 16)


def stamp_paths(paths: Iterable[Path]) -> str:
    return stamp((path.name, path.stat().st_size) for path in paths)


def warn(message: str) -> None:
    """One line to stderr."""
    print(f"warning: {message}", file=sys.stderr, flush=True)

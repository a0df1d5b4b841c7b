"""Finding original files, reading them within bounds, and telling the user where to put them."""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sagan.errors import UserError

if TYPE_CHECKING:
    from sagan.data.photographs import Collection
    from sagan.data.prepared import Content

# More than any one original file needs; gzip's best ratio is 1 to 1,032, so that a small file can fill a memory.
MAX_BYTES = 2**26
_SHOWN = 8


class MissingOriginals(UserError):
    """The files are not there (rather than there and wrong)."""


@dataclass(frozen=True)
class Source:
    """Original files as they lie on disk, not yet read.

    Attributes:
        stamp: changes when files are added, removed or replaced.
        content: reads them, but for images that are yet to be decoded.
    """

    stamp: str
    content: Callable[[], Content | Collection]


def place_of(root: Path, source: str) -> Path:
    """A `source` of params.yaml: from `root` on, or from the home folder where it begins with ~."""
    return root / Path(source).expanduser()


def find_file(folder: Path, names: Sequence[str], places: Iterable[str] = (".",)) -> Path | None:
    """The first of some files, plain or with .gz, in the first of some places in a folder that holds one."""
    return next(
        (
            path
            for place in places
            for name in names
            for path in (folder / place / name, folder / place / f"{name}.gz", folder / place / name / name)
            if path.is_file()
        ),
        None,
    )


def there(folder: Path) -> str:
    """What lies in a folder, to be said where something else was looked for."""
    if not folder.is_dir():
        return "there is a file" if folder.is_file() else "there is no such folder"
    names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir())
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"there: {', '.join(names[:_SHOWN]) or 'nothing'}{more}"


def read_bytes(path: Path) -> bytes:
    """A file's content, gunzipped where it is gzipped, whatever its name.

    Raises:
        UserError: see `gunzip`; or it has more than `MAX_BYTES`.
    """
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: has {path.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read")
    return gunzip(path.read_bytes(), str(path))


def gunzip(data: bytes, name: str) -> bytes:
    """The content of a gzip stream that messages call `name`; other data as it is.

    Raises:
        UserError: it is damaged, or would be larger than `MAX_BYTES`.
    """
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        content = gzip.GzipFile(fileobj=io.BytesIO(data)).read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{name}: damaged gzip file ({error}); fetch it again") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{name}: more than {MAX_BYTES:,} bytes when unpacked; not what it should be, fetch it again")
    return content


def md5(data: bytes) -> str:
    """The md5 in hex, which is what the datasets' authors published; it guards against damage, not malice."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def warn(message: str) -> None:
    """One line to stderr."""
    print(f"warning: {message}", file=sys.stderr, flush=True)

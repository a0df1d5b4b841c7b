"""Original files, on disk and in zips: found, known again, and read within bounds. Nothing is ever extracted."""

import functools
import gzip
import hashlib
import io
import lzma
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from sagan.data.prepared import Content
from sagan.errors import UserError
from sagan.store.records import digest, file_digest

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif")
_PACKED = {".tar", ".tgz", ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst"}

# More than any one original file needs; gzip's best ratio is 1 to 1,032, so that a small file can fill a memory.
MAX_BYTES = 2**26
# Originals of at most so many bytes together are known by their content: a third of a second.
HASHED_BYTES = 2**28
_SHOWN = 8

# Files, and how many others there are of each kind.
Listing = tuple[list["OriginalFile"], Counter[str]]


class BadImage(Exception):
    """A file or an image that cannot be used. Its message says why, without the name."""


class MissingOriginals(UserError):
    """The files are not there (rather than there and wrong)."""

    def __init__(self, place: Path | None, what: str, mend: str) -> None:
        super().__init__(f"{what}; {mend}" if place is None else f"{place}: {what} ({_there(place)}); {mend}")


@dataclass(frozen=True)
class Source:
    """A dataset's original files: a `stamp` that changes with them, and what reads them, but for images to be decoded.

    The function of its kind finds them, or raises `MissingOriginals`. What lies on the Hub has no stamp.
    """

    stamp: str | None
    content: Callable[[], Content]


@dataclass(frozen=True)
class OriginalFile:
    """A file on disk or in a zip, not yet read."""

    name: str  # relative to `place`, as it stands there
    size: int  # bytes, as the file system or the zip declares
    place: Path  # the folder or zip
    crc: int | None = None  # the zip's checksum of the content; None of a file on disk

    @property
    def path(self) -> PurePosixPath:
        """The name; some zips made on Windows have backslashes."""
        return PurePosixPath(self.name if self.crc is None else self.name.replace("\\", "/"))

    @property
    def full(self) -> Path:
        return self.place / self.name

    def __str__(self) -> str:
        return self.name if self.crc is None else f"{self.place.name}/{self.name}"

    def read(self) -> bytes:
        """The bytes of the file; a `BadImage` where it cannot be read, or should not be."""
        if self.size > MAX_BYTES:
            raise BadImage(f"declares {self.size:,} bytes; at most {MAX_BYTES:,} are read")
        try:
            if self.crc is None:
                return self.full.read_bytes()
            outside = PureWindowsPath(self.name)  # which knows slashes too
            if outside.drive or outside.root or ".." in outside.parts:
                raise BadImage("its name in the zip leads outside of the zip's folder")
            with _open_zip(self.place).open(self.name) as member:
                # Only this bounds what is inflated; a member that holds more fails its checksum.
                return member.read(self.size)
        except OSError as error:
            raise BadImage(f"cannot be read: {error.strerror}") from None
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, KeyError, ValueError) as error:
            raise BadImage(f"cannot be unzipped: {error}") from None

    def content(self) -> bytes:
        """The bytes, gunzipped whatever the name; a `UserError` if damaged, or over `MAX_BYTES` packed or unpacked."""
        try:
            data = self.read()
            if data[:2] == b"\x1f\x8b":
                data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(MAX_BYTES + 1)
        except (BadImage, OSError, EOFError, zlib.error) as error:
            raise UserError(f"{self.full}: not what it should be, or damaged ({error}); fetch it again") from None
        if len(data) > MAX_BYTES:
            raise UserError(f"{self.full}: more than {MAX_BYTES:,} bytes when unpacked; fetch it again")
        return data


def _there(folder: Path) -> str:
    """What lies in a folder, to be said where something else was looked for."""
    if not folder.is_dir():
        return "there is a file" if folder.is_file() else "there is no such folder"
    names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir())
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"there: {', '.join(names[:_SHOWN]) or 'nothing'}{more}"


def on_disk(path: Path) -> OriginalFile:
    return OriginalFile(path.name, path.stat().st_size, path.parent)


def find_file(folder: Path, names: Iterable[str], places: Iterable[str]) -> OriginalFile | None:
    """The first of some files, plain or with .gz, in the first of some places in a folder that holds one."""
    near = (Path(folder, place, name) for place in places for name in names)
    paths = (path for there in near for path in (there, there.with_name(f"{there.name}.gz"), there / there.name))
    return next((on_disk(path) for path in paths if path.is_file()), None)


def list_images(*places: Path) -> Listing:
    """Every image file below folders and in zips, at any depth; errors as of `list_files`."""
    images, passed_over = [], Counter()
    for place in places:
        files, others = list_files(place)
        passed_over += others
        for file in files:
            ending = file.path.suffix.lower()
            if any(part.startswith(".") and part != ".." for part in file.path.parts):
                passed_over["hidden"] += 1
            elif ending in SUFFIXES:
                images.append(file)
            else:
                passed_over[ending or "without an ending"] += 1
    return sorted(images, key=lambda image: image.name), passed_over


def list_files(place: Path) -> Listing:
    """The files below a folder, links followed and hidden folders passed over, or in a zip.

    Raises:
        UserError: a name is not UTF-8; or it is a file, but no zip, or a damaged one.
    """
    if not place.is_file():
        return _walk(place, "", ()) if place.is_dir() else ([], Counter())
    infos = [info for info in _open_zip(place).infolist() if not info.is_dir()]
    # As unzipping would: a later member takes the place of one of the same name.
    files = {info.filename: OriginalFile(info.filename, info.file_size, place, info.CRC) for info in infos}
    return [*files.values()], +Counter({"of a name that is there again": len(infos) - len(files)})


def _walk(top: Path, within: str, above: tuple[tuple[int, int], ...]) -> Listing:
    """Of the folder `within` a `top`, and the folders `above` it, which a link may lead back to."""
    files, others, status = [], Counter(), (top / within).stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return [], Counter({"link to a folder around it": 1})
    with os.scandir(top / within) as entries:
        for entry in entries:
            if entry.is_symlink() and not os.path.exists(entry.path):
                others["broken link"] += 1
            elif entry.is_dir() and entry.name.startswith("."):
                others["hidden"] += 1
            elif entry.is_dir():
                deeper, other = _walk(top, f"{within}{entry.name}/", (*above, here))
                files += deeper
                others += other
            elif entry.is_file():
                name = within + entry.name
                if name.encode(errors="ignore").decode() != name:
                    raise UserError(f"{top}: the file name {name!a} is not UTF-8; rename it")
                files.append(OriginalFile(name, entry.stat().st_size, top))
            else:
                others["special file"] += 1
    return files, others if files or others else Counter({"empty folder": 1})


def _open_zip(path: Path) -> zipfile.ZipFile:
    return _opened_zip(path, path.stat().st_ctime_ns)


# Kept open for each process: reading a central directory of 200,000 entries takes a second.
@functools.lru_cache(maxsize=64)
def _opened_zip(path: Path, changed: int) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        if not _PACKED.isdisjoint(path.suffixes):
            raise UserError(f"{path}: only zips are read packed; unpack it, and name the folder") from None
        raise UserError(f"{path}: not a zip file, or cut short ({error}); fetch it again") from None


def stamp(files: Collection[OriginalFile], *more: str) -> str:
    """A name for files that changes when some are added, removed, renamed or replaced; cheap to take.

    Files in zips are known by their checksums; others by content where they are `HASHED_BYTES` or less together, and
    by their sizes where they are more.
    """
    hashed = sum(file.size for file in files) <= HASHED_BYTES
    named = sorted([str(f), f.size, file_digest(f.full) if hashed and f.crc is None else f.crc] for f in files)
    return digest([named, *more], 16)


def md5(data: bytes) -> str:
    """The md5 in hex, which is what the datasets' authors published; it guards against damage, not malice."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()

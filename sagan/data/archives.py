"""Image files in folders and zips. Members of a zip are read in memory; nothing is ever extracted."""

from __future__ import annotations

import functools
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from sagan.data.originals import MAX_BYTES
from sagan.data.pixels import BadImage
from sagan.errors import UserError
from sagan.store.records import digest, file_digest

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif")

# Originals of at most so many bytes together are known by their content: a third of a second.
HASHED_BYTES = 2**28


@dataclass(frozen=True)
class ImageFile:
    """A file on disk or in a zip, not yet read.

    Attributes:
        name: relative to the folder or zip, as it stands there.
        size: bytes, as the file system or the zip declares.
        place: the folder or zip that the name is relative to.
        crc: the zip's checksum of the content; None of a file on disk.
    """

    name: str
    size: int
    place: Path
    crc: int | None = None

    @property
    def path(self) -> PurePosixPath:
        """The name; some zips made on Windows have backslashes."""
        return PurePosixPath(self.name if self.crc is None else self.name.replace("\\", "/"))

    def __str__(self) -> str:
        return self.name if self.crc is None else f"{self.place.name}/{self.name}"

    def read(self) -> bytes:
        """The bytes of the file.

        Raises:
            BadImage: it cannot be read, or should not be.
        """
        if self.size > MAX_BYTES:
            raise BadImage(f"declares {self.size:,} bytes; at most {MAX_BYTES:,} are read")
        if self.crc is not None and _leads_outside(self.name):
            raise BadImage("its name in the zip leads outside of the zip's folder")
        try:
            if self.crc is None:
                return (self.place / self.name).read_bytes()
            with _open_zip(self.place).open(self.name) as member:
                # Only this bounds what is inflated; a member that holds more fails its checksum.
                return member.read(self.size)
        except OSError as error:
            raise BadImage(f"cannot be read: {error.strerror}") from None
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, KeyError) as error:
            raise BadImage(f"cannot be unzipped: {error}") from None


@dataclass(frozen=True)
class Listing:
    """The image files of a place, by name, and how many others there are of each kind."""

    images: list[ImageFile]
    passed_over: Counter[str]


def on_disk(path: Path) -> ImageFile:
    return ImageFile(path.name, path.stat().st_size, path.parent)


def stamp(files: Collection[ImageFile], *more: str) -> str:
    """A name for files that changes when some are added, removed, renamed or replaced; cheap to take.

    Files in zips are known by their checksums; others by content where they are `HASHED_BYTES` or less together, and
    by their sizes where they are more.
    """
    hashed = sum(file.size for file in files) <= HASHED_BYTES
    contents = (file_digest(f.place / f.name) if hashed and f.crc is None else f.crc for f in files)
    named = sorted([str(file), file.size, content] for file, content in zip(files, contents, strict=True))
    return digest([named, *more], 16)


def _leads_outside(name: str) -> bool:
    """Whether a member would be extracted outside of the folder that its zip is extracted to."""
    path = PureWindowsPath(name)
    return bool(PurePosixPath(name).is_absolute() or path.drive or path.root or ".." in path.parts)


def list_images(place: Path) -> Listing:
    """Every image file below a folder or in a zip, at any depth. Links are followed.

    Raises:
        UserError: it is a file, but no zip, or a damaged one.
    """
    if place.is_file():
        infos = [info for info in _open_zip(place).infolist() if not info.is_dir()]
        # As unzipping would: a later member takes the place of one of the same name.
        files = {info.filename: ImageFile(info.filename, info.file_size, place, info.CRC) for info in infos}.values()
        passed_over = Counter({"of a name that is there again": len(infos) - len(files)})
    else:
        files, passed_over = walk(place)
    images = []
    for file in files:
        if file.name.encode(errors="ignore").decode() != file.name:
            raise UserError(f"{place}: the file name {file.name!a} is not UTF-8; rename it")
        if any(part.startswith(".") and part != ".." for part in file.path.parts):
            passed_over["hidden"] += 1
        elif file.path.suffix.lower() in SUFFIXES:
            images.append(file)
        else:
            passed_over[file.path.suffix.lower() or "without an ending"] += 1
    return Listing(sorted(images, key=lambda image: image.name), +passed_over)


def walk(top: Path, within: str = "", above: tuple[tuple[int, int], ...] = ()) -> tuple[list[ImageFile], Counter[str]]:
    """The files below a folder, links followed, and counts of what is none; hidden folders are passed over.

    Args:
        within, above: where it is below `top`, and the folders around it, which a link may lead back to.
    """
    files, others, folder = [], Counter(), top / within
    if not folder.is_dir():
        return files, others
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return files, Counter({"link to a folder around it": 1})
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink() and not os.path.exists(entry.path):
                others["broken link"] += 1
            elif entry.is_dir() and entry.name.startswith("."):
                others["hidden"] += 1
            elif entry.is_dir():
                deeper, other = walk(top, f"{within}{entry.name}/", (*above, here))
                files += deeper
                others += other
            elif entry.is_file():
                files.append(ImageFile(within + entry.name, entry.stat().st_size, top))
            else:
                others["special file"] += 1
    if not files and not others:
        others["empty folder"] += 1
    return files, others


def read_member(path: Path, bases: Collection[str]) -> tuple[str, bytes] | None:
    """Name and content of the first file in a zip, at any depth, that has one of these last names, if there is one.

    Raises:
        UserError: it cannot be read.
    """
    for info in _open_zip(path).infolist():
        member = ImageFile(info.filename, info.file_size, path, info.CRC)
        if member.path.name in bases:
            try:
                return member.path.name, member.read()
            except BadImage as error:
                raise UserError(f"{path}, {member.name}: {error}") from None
    return None


def _open_zip(path: Path) -> zipfile.ZipFile:
    return _opened_zip(path, path.stat().st_ctime_ns)


# Kept open for each process: reading a central directory of 200,000 entries takes a second.
@functools.lru_cache(maxsize=64)
def _opened_zip(path: Path, changed: int) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        if any(name in path.suffixes for name in (".tar", ".tgz", ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst")):
            raise UserError(f"{path}: only zips are read packed; unpack it, and name the folder") from None
        raise UserError(f"{path}: not a zip file, or cut short ({error}); fetch it again") from None

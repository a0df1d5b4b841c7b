"""Image files in folders and zips. Members of a zip are read in memory; nothing is ever extracted."""

from __future__ import annotations

import functools
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from sagan.data.pixels import BadImage
from sagan.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class ImageFile:
    """A file on disk or in a zip, not yet read.

    Attributes:
        name: relative to the folder or zip, with forward slashes.
        size: bytes, as the file system or the zip declares.
        place: the folder or zip that the name is relative to.
        zipped: whether `place` is a zip.
        changed: when the file, or the zip, last changed (`st_ctime_ns`): no copy can carry an old time over, as it can
            a time of modification.
    """

    name: str
    size: int
    place: Path
    zipped: bool
    changed: int

    @property
    def stamp(self) -> str:
        """Another one where the bytes may be others."""
        return f"{self.size} {self.changed}"

    @property
    def base(self) -> str:
        return PurePosixPath(self.name).name

    def __str__(self) -> str:
        return f"{self.place.name}/{self.name}" if self.zipped else self.name

    def read(self) -> bytes:
        """The bytes of the file.

        Raises:
            BadImage: it cannot be read, or should not be.
        """
        if not self.zipped:
            _check_size(self.size)
            try:
                return (self.place / self.name).read_bytes()
            except OSError as error:
                raise BadImage(f"cannot be read: {error.strerror}") from None
        if not is_inside(self.name):
            raise BadImage("its name in the zip leads outside of the zip's folder")
        try:
            archive = _open_zip(self.place, self.changed)
            member = archive.getinfo(self.name)
            # zipfile stops at the declared size, so that a member cannot inflate past it.
            _check_size(member.file_size)
            return archive.read(member)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise BadImage(f"cannot be unzipped: {error}") from None


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise BadImage(f"declares {size:,} bytes; at most {MAX_BYTES:,} are read")


def is_inside(name: str) -> bool:
    """Whether a member's name stays below the folder that the zip would be extracted to."""
    return not (
        PurePosixPath(name).is_absolute()
        or PureWindowsPath(name).drive
        or PureWindowsPath(name).root
        or ".." in PureWindowsPath(name).parts
    )


def list_folder(folder: Path) -> list[ImageFile]:
    """Every image file below a folder, by name; hidden files are passed over."""
    found = []
    for place, folders, _ in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        within = "" if place == str(folder) else f"{Path(place).relative_to(folder).as_posix()}/"
        with os.scandir(place) as entries:
            files = [(entry.name, entry.stat()) for entry in entries if _is_image_name(entry.name) and entry.is_file()]
            found += [
                ImageFile(within + name, status.st_size, folder, zipped=False, changed=status.st_ctime_ns)
                for name, status in files
            ]
    return sorted(found, key=lambda image: image.name)


def list_zip(path: Path) -> list[ImageFile]:
    """Every image file in a zip, by name; hidden files (such as macOS's `__MACOSX/._*`) are passed over.

    Raises:
        UserError: it is not a zip, or a damaged one.
    """
    images = [member for member in _members(path) if _is_image_name(PureWindowsPath(member.name).name)]
    return sorted(images, key=lambda image: image.name)


def read_member(path: Path, base: str) -> bytes | None:
    """The first file in a zip, at any depth, whose last name is `base`; None where there is none.

    Raises:
        UserError: it cannot be read.
    """
    for member in _members(path):
        if member.base == base:
            try:
                return member.read()
            except BadImage as error:
                raise UserError(f"{path}, {member.name}: {error}") from None
    return None


def _members(path: Path) -> Iterator[ImageFile]:
    changed = path.stat().st_ctime_ns
    for info in _open_zip(path, changed).infolist():
        yield ImageFile(info.filename, info.file_size, path, zipped=True, changed=changed)


# Kept open for each process: reading a central directory of 200,000 entries takes a second.
@functools.lru_cache(maxsize=64)
def _open_zip(path: Path, changed: int) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{path}: not a zip file, or cut short ({error}); fetch it again") from None


def _is_image_name(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")

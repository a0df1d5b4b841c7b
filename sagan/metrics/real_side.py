"""The real side of every comparison, as a reference's folder holds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file
from torch import Tensor

from sagan.errors import UserError
from sagan.metrics import formulas
from sagan.metrics.features import Features
from sagan.store.paths import Paths
from sagan.store.reading import read_reference
from sagan.store.records import Json
from sagan.store.tensors import save_tensors

_HELD_OUT = "held_out."
_KEPT = ("features", "train", "train_rows", "radii")


@dataclass(frozen=True, eq=False)
class RealSide:
    """A reference as it is compared with.

    Attributes:
        record: `reference.json`.
        statistics: mean and covariance of all images of the split.
        features: [<= 10,000, D], features of the split.
        train: [N, D], features of training images: of all, or of as many as there is room for.
        train_rows: int64, the rows of `train` in the dataset's train split.
        held_out: features (and logits) of [<= 10,000] images of the other split.
        radii: of `features`; none where they are too few for neighbourhoods.
    """

    record: Json
    statistics: formulas.Statistics
    features: Tensor
    train: Tensor
    train_rows: Tensor
    held_out: Features
    radii: Tensor


def save_features(folder: Path, real: RealSide) -> None:
    """Write what `load_reference` reads beside the record and the statistics."""
    held_out = {f"{_HELD_OUT}{name}": rows for name, rows in real.held_out.items()}
    save_tensors(folder / "features.safetensors", {name: getattr(real, name) for name in _KEPT} | held_out)


def load_reference(key: str, paths: Paths) -> RealSide:
    """The real side of a comparison, as `sagan.metrics.reference` left it.

    Raises:
        UserError: it is not there, or has other bytes than its record says.
    """
    folder, found = paths.reference(key), read_reference(key, paths, verify=True)
    if found.record is None:
        why = f"damaged ({found.why})" if found.why else "no such reference"
        raise UserError(f"{folder}: {why}; make it with `python -m sagan reference {key}`")
    kept = load_file(folder / "features.safetensors")
    return RealSide(
        record=found.record.content(),
        statistics=load_arrays(folder / "statistics.safetensors"),
        held_out={name.removeprefix(_HELD_OUT): rows for name, rows in kept.items() if name.startswith(_HELD_OUT)},
        **{name: kept[name] for name in _KEPT},
    )

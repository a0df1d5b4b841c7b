"""The real images class by class, which intra-class FID compares with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from sagan.data import PreparedDataset
from sagan.metrics import formulas


@dataclass(frozen=True)
class ClassSide:
    """The real images of each class.

    Attributes:
        names: of the classes.
        counts: images of each class.
        statistics: of each class; None where it has fewer images than there are features.
    """

    names: list[str]
    counts: list[int]
    statistics: list[formulas.Statistics | None]


def class_counts(dataset: PreparedDataset, split: str) -> list[int] | None:
    """How many images of a split each class has; None where the dataset has no classes."""
    labels = dataset.manifest["labels"]
    if labels["kind"] != "classes":
        return None
    return np.bincount(dataset.split(split)[1], minlength=len(labels["names"])).tolist()


def class_file(reference_folder: Path, condition: str) -> Path:
    """Where the statistics of the classes that a condition makes lie."""
    return reference_folder / f"classes-{condition}.safetensors"


def class_tensors(features: Tensor, labels: np.ndarray, classes: int) -> dict[str, Tensor]:
    """Each class's statistics, of features [N, D] and labels int64 [N], as `load_classes` reads them from a file."""
    counts = np.bincount(labels, minlength=classes)
    tensors = {"counts": torch.from_numpy(counts)}
    for index, count in enumerate(counts):
        if count >= features.shape[1]:
            found = formulas.statistics(features[torch.from_numpy(labels == index)])
            tensors |= {f"{name}.{index}": torch.from_numpy(array) for name, array in found.items()}
    return tensors


def load_classes(path: Path, names: list[str]) -> ClassSide:
    """The `class_tensors` in a file, of classes with these names."""
    tensors = load_file(path)
    counts = tensors["counts"].tolist()
    found: list[formulas.Statistics | None] = [
        {name: tensors[f"{name}.{index}"].numpy() for name in ("mu", "sigma")} if f"mu.{index}" in tensors else None
        for index in range(len(counts))
    ]
    return ClassSide(names, counts, found)

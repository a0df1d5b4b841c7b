"""What a conditional variant's classes are: a dataset's own, or an attribute that images have or lack."""

from __future__ import annotations

import numpy as np

from sagan.errors import UserError
from sagan.store.records import Json


def class_names(manifest: Json, condition: str) -> list[str]:
    """The names of the classes that `condition` makes of a prepared dataset.

    Args:
        manifest: the dataset's manifest.
        condition: "class", or the name of an attribute.

    Raises:
        UserError: the dataset has no such labels.
    """
    kind, names = manifest["labels"]["kind"], manifest["labels"]["names"]
    if kind == "attributes" and condition in names:
        return [f"not {condition}", condition]
    if kind == "classes" and condition == "class" and len(names) > 1:
        return list(names)
    accepted = "class" if len(names) > 1 else "nothing: it has no labels"
    if kind == "attributes":
        accepted = f"one of its attributes ({', '.join(names)})"
    raise UserError(f"condition = {condition!r}: dataset {manifest['dataset']!r} accepts {accepted}")


def class_labels(labels: np.ndarray, manifest: Json, condition: str) -> np.ndarray:
    """Each image's class, int64 [N], from a dataset's labels (int64 [N], or uint8 [N, A] of attributes)."""
    if manifest["labels"]["kind"] == "attributes":
        labels = labels[:, manifest["labels"]["names"].index(condition)]
    return labels.astype(np.int64)

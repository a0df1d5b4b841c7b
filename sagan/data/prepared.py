"""A prepared dataset: an array, its labels and a manifest that is written last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sagan.errors import UserError
from sagan.store.records import Json, NotARecord, atomic, canonical, misfit, read_json, write_json

# Raised when a change to this room changes the arrays that it makes: older ones are then made again.
PREPARATION = 2

_ANEW = "run `python -m sagan data`, which makes them anew"
_VERIFIED_AT_ONCE = 4096  # images

IMAGES, LABELS, MANIFEST = "images.npy", "labels.npy", "manifest.json"
_MANIFEST = {
    **{"count": int, "channels": int, "resolution": int, "digest": str},
    **{"labels": {"kind": str, "names": list}, "splits": dict},
}


@dataclass(frozen=True)
class PreparedDataset:
    """Images with their labels, in rows ordered train, (valid,) test.

    Attributes:
        images: uint8 [N, C, H, W], 0 to 255, mapped from disk: rows are read when they are used.
        labels: int64 [N] of classes (all 0 where the dataset has none), or uint8 [N, A] of attributes, 0 or 1.
        splits: the rows of each split.
        manifest: the record that was written beside the array.
    """

    images: np.ndarray
    labels: np.ndarray
    splits: dict[str, slice]
    manifest: Json

    def split(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels of one split, without copying.

        Raises:
            UserError: the dataset has no such split.
        """
        if name not in self.splits:
            raise UserError(
                f"dataset {self.manifest['dataset']!r} has no split {name!r} (there are: {', '.join(self.splits)})"
            )
        rows = self.splits[name]
        return self.images[rows], self.labels[rows]


@dataclass(frozen=True)
class Content:
    """What is to be stored: `images` yields uint8 [n, C, H, W] blocks, in the order of `labels` and `splits`."""

    images: Iterable[np.ndarray]
    shape: tuple[int, int, int]
    labels: np.ndarray
    label_kind: str
    label_names: list[str]
    splits: dict[str, tuple[int, int]]
    facts: Json = field(default_factory=dict)


def load(folder: Path) -> PreparedDataset:
    """A prepared dataset. The images stay on disk, after all bytes were read once (a second or two a gigabyte).

    Raises:
        UserError: the folder holds no complete dataset, or its arrays are not those that were prepared.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise UserError(f"{folder}: holds no prepared dataset; make it with `python -m sagan data`")
    try:
        images = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / LABELS, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: damaged ({error}); {_ANEW}") from None
    shape = (manifest["count"], manifest["channels"], manifest["resolution"], manifest["resolution"])
    if images.shape != shape or len(labels) != len(images):
        raise UserError(f"{folder}: the arrays do not match {MANIFEST}; {_ANEW}")
    splits = {name: slice(*rows) for name, rows in sorted(manifest["splits"].items(), key=lambda item: item[1])}
    dataset = PreparedDataset(images, labels, splits, manifest)
    verify(dataset, folder)
    return dataset


def verify(dataset: PreparedDataset, folder: Path) -> None:
    """What is trained and measured on is what the manifest says.

    Raises:
        UserError: the arrays have changed since they were prepared.
    """
    hasher = hashlib.sha256()
    for start in range(0, len(dataset.images), _VERIFIED_AT_ONCE):
        hasher.update(np.ascontiguousarray(dataset.images[start : start + _VERIFIED_AT_ONCE]).data)
    _finish(hasher, dataset.labels, dataset.manifest["splits"])
    if hasher.hexdigest() != dataset.manifest["digest"]:
        raise UserError(
            f"{folder}: the arrays have changed since they were prepared (their sha256 is not that of {MANIFEST}); "
            + _ANEW
        )


def read_manifest(folder: Path) -> Json | None:
    """The manifest of a folder, or None where no complete dataset lies there."""
    try:
        manifest = read_json(folder / MANIFEST)
    except (FileNotFoundError, NotARecord):
        return None
    return manifest if misfit(manifest, _MANIFEST) is None else None


def store(folder: Path, head: Json, content: Content) -> Json:
    """Write arrays and manifest; return the manifest.

    The old manifest goes first and the new one comes last, so that a kill in between leaves a folder
    without a manifest, never one whose manifest tells of other images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    hasher = hashlib.sha256()
    count = len(content.labels)
    with atomic(folder / IMAGES) as temporary, temporary.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *content.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        written, rows = 0, []
        for block in content.images:
            data = np.ascontiguousarray(block, dtype=np.uint8)
            hasher.update(data.data)
            file.write(data.data)
            written += len(data)
            rows += [hashlib.blake2b(row.data, digest_size=8).digest() for row in data]
    if written != count:
        raise AssertionError(f"{written} images for {count} labels")
    with atomic(folder / LABELS) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array(file, content.labels, allow_pickle=False)
    splits = {name: list(rows) for name, rows in content.splits.items()}
    _finish(hasher, content.labels, splits)
    train = {*rows[slice(*splits["train"])]}
    in_train = {name: sum(row in train for row in rows[a:b]) for name, (a, b) in splits.items() if name != "train"}
    manifest = {
        **head,
        **content.facts,
        "channels": content.shape[0],
        "count": count,
        "digest": hasher.hexdigest(),
        "labels": {"kind": content.label_kind, "names": content.label_names},
        "splits": splits,
        "in_train": in_train,
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def _finish(hasher: hashlib._Hash, labels: np.ndarray, splits: Json) -> None:
    """What a dataset's digest is of beside the images."""
    hasher.update(np.ascontiguousarray(labels).data)
    hasher.update(canonical(splits).encode())

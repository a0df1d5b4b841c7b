"""A prepared dataset: an array, its labels and a manifest that is written last; and the classes that it gives."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sagan.errors import UserError
from sagan.store.reading import read_manifest
from sagan.store.records import Json, atomic, canonical, write_json

# Raised when a change to this room changes the arrays that it makes: older ones are then made again.
PREPARATION = 2

SPLITS = ("train", "valid", "test")
IMAGES, LABELS, MANIFEST = "images.npy", "labels.npy", "manifest.json"
_ANEW = "run `python -m sagan data`, which makes them anew"
_SHOWN = 20


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
        """Images and labels of one split, without copying; a `UserError` where the dataset has no such split."""
        if name not in self.splits:
            raise UserError(
                f"dataset {self.manifest['dataset']!r} has no split {name!r} (there are: {', '.join(self.splits)})"
            )
        rows = self.splits[name]
        return self.images[rows], self.labels[rows]


@dataclass(frozen=True)
class Content:
    """What is to be stored, ordered by split.

    Attributes:
        images: uint8 [N, C, H, W]; or N files yet to be decoded, each of which has `read()`, its bytes or a `BadImage`,
            and is, as text, what messages call it.
        labels: int64 [N] of classes, or uint8 [N, A] of attributes.
        label_names: of the classes or attributes; none where there are none.
        splits: int [N], ascending: positions in SPLITS.
        facts: for the manifest.
        refused: (name, reason) of images that are left out already.
    """

    images: np.ndarray | Iterable
    labels: np.ndarray
    label_names: list[str]
    splits: np.ndarray
    facts: Json
    refused: list[tuple[str, str]] = field(default_factory=list)


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
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{folder}: damaged ({error}); {_ANEW}") from None
    # The digest is over bytes alone.
    shape = (manifest["count"], manifest["channels"], manifest["resolution"], manifest["resolution"])
    if images.shape != shape or len(labels) != len(images):
        raise UserError(f"{folder}: the arrays do not match {MANIFEST}; {_ANEW}")
    if _digest(images, labels, manifest["splits"]) != manifest["digest"]:
        raise UserError(f"{folder}: the arrays have changed since they were prepared, by their sha256; {_ANEW}")
    splits = {name: slice(*rows) for name, rows in sorted(manifest["splits"].items(), key=lambda item: item[1])}
    return PreparedDataset(images, labels, splits, manifest)


def _digest(images: np.ndarray, labels: np.ndarray, splits: Json) -> str:
    hasher = hashlib.sha256()
    for array in (images, labels):
        hasher.update(np.ascontiguousarray(array).data)
    hasher.update(canonical(splits).encode())
    return hasher.hexdigest()


def store(folder: Path, head: Json, content: Content) -> Json:
    """Write arrays and manifest; return the manifest. A `UserError` where the train or the test split has no image."""
    bounds = np.searchsorted(content.splits, range(len(SPLITS) + 1)).tolist()
    splits = {name: bounds[i : i + 2] for i, name in enumerate(SPLITS) if bounds[i] < bounds[i + 1]}
    for needed in ("train", "test"):
        if needed not in splits:
            what = f"none of its {len(content.labels):,} usable images is in the {needed} split"
            raise UserError(f"{content.facts.get('source', folder)}: {what}; add images")
    folder.mkdir(parents=True, exist_ok=True)
    # The new one comes last: a kill leaves no manifest, never one that tells of other images.
    (folder / MANIFEST).unlink(missing_ok=True)
    for left in folder.glob(".*.tmp"):  # of a process that was killed: the caller has the folder's lock
        left.unlink()
    images, labels = np.ascontiguousarray(content.images), np.ascontiguousarray(content.labels)
    for name, array in ((IMAGES, images), (LABELS, labels)):
        with atomic(folder / name) as temporary, temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
            file.write(array.data)  # np.save would not say that the disk is full
    rows = [hashlib.blake2b(image.data, digest_size=8).digest() for image in images]
    train = {*rows[slice(*splits["train"])]}
    kind = "attributes" if labels.ndim == 2 else "classes" if content.label_names else "none"
    manifest = {
        **head,
        **content.facts,
        "channels": images.shape[1],
        "count": len(images),
        "digest": _digest(images, labels, splits),
        "labels": {"kind": kind, "names": content.label_names},
        "splits": splits,
        "in_train": {n: sum(row in train for row in rows[a:b]) for n, (a, b) in splits.items() if n != "train"},
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def summary(manifest: Json, folder: Path) -> list[str]:
    """Lines for people of the dataset in a folder: its splits and classes with their counts, and what it lacks.

    They are said every time, since what is missing cannot be seen otherwise.
    """
    labels = np.load(folder / LABELS, allow_pickle=False)
    kind, names = manifest["labels"]["kind"], manifest["labels"]["names"]
    lines = []
    for split, (start, stop) in sorted(manifest["splits"].items(), key=lambda item: item[1]):
        rows = labels[start:stop]
        counts = (rows.sum(axis=0, dtype=int) if rows.ndim == 2 else np.bincount(rows, minlength=len(names))).tolist()
        text = f"; {kind}: {_counts(dict(zip(names, counts, strict=True)))}" if names else "; no classes"
        lines.append(f"{split}: {stop - start:,} images{text}")
        if in_train := manifest["in_train"].get(split):
            lines.append(f"{split}: {in_train:,} of its pictures are in train too")
        if lacking := [name for name, count in zip(names, counts, strict=False) if not count]:
            more = f" and {len(lacking) - _SHOWN:,} more" if len(lacking) > _SHOWN else ""
            lines.append(f"{split} lacks the {kind} {', '.join(lacking[:_SHOWN])}{more}")
    if how := manifest.get("split"):
        lines.append(f"splits: {how if how != 'folders' else 'the folders of the source'}")
    if passed := manifest.get("passed_over"):
        lines.append(f"passed over: {', '.join(f'{count:,} {what}' for what, count in passed.items())}")
    if bad := manifest.get("bad_images", {}).get("count"):
        name, reason = manifest["bad_images"]["first"][0]
        lines.append(f"left out: {bad:,} images that cannot be used, first {name}: {reason}")
    return lines


def _counts(counts: dict[str, int]) -> str:
    if len(counts) <= _SHOWN:
        return ", ".join(f"{name} {count:,}" for name, count in counts.items())
    least, most = min(counts, key=counts.get), max(counts, key=counts.get)
    return f"{len(counts):,}, from {least} {counts[least]:,} to {most} {counts[most]:,}"


def class_names(manifest: Json, condition: str) -> list[str]:
    """The classes of a conditional variant: a dataset's own ("class"), or an attribute that images lack or have.

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

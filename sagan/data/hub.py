"""Datasets of the Hugging Face Hub by name, through the optional package `datasets`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sagan.data.archives import on_disk, stamp, walk
from sagan.data.originals import Source, place_of, warn
from sagan.data.photographs import SPLIT_NAMES, SPLITS, Collection, held_out
from sagan.data.pixels import BadImage
from sagan.errors import UserError, first_line
from sagan.params.datasets import HuggingFace

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict


@dataclass(frozen=True)
class StoredImage:
    """An image as the dataset stores it.

    Attributes:
        content: `bytes`, or the `path` of a file.
        places: the folders that the dataset's files lie in. A cell is data of strangers, and may name any file.
    """

    content: dict[str, Any] | None
    places: tuple[Path, ...]

    def read(self) -> bytes:
        data, path = (self.content or {}).get("bytes"), (self.content or {}).get("path")
        if data is not None:
            return data
        if not path:
            raise BadImage("the dataset stores no image there")
        if not any(Path(os.path.abspath(path)).is_relative_to(place) for place in self.places):
            raise BadImage(f"names a file outside of the dataset: {path}")
        try:
            return on_disk(Path(path)).read()
        except OSError as error:
            raise BadImage(f"cannot be read: {error.strerror}") from None


@dataclass(frozen=True)
class _Column(Sequence):
    """Cells that are read from disk when they are asked for."""

    rows: Dataset
    name: str
    places: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> StoredImage:  # type: ignore[override]
        return StoredImage(self.rows[index][self.name], self.places)


def locate_hub(spec: HuggingFace, root: Path) -> Source:
    """The dataset, unread. One of the Hub is known by name and revision, one in a folder by its files."""
    folder = place_of(root, spec.source)
    whole = stamp(walk(folder)[0], f"{spec.source} {spec.config} {spec.revision}")
    if spec.revision is None and not folder.is_dir():
        warn(f"{spec.source}: without `revision` the newest version is taken, which may be another one tomorrow")
    place = str(folder) if folder.is_dir() else spec.source
    return Source(whole, lambda: _content(spec, place))


def _content(spec: HuggingFace, place: str) -> Collection:
    loaded = _load(spec, place)
    from datasets import concatenate_datasets

    kept = [(name, SPLIT_NAMES[name.lower()]) for name in loaded if name.lower() in SPLIT_NAMES]
    kept.sort(key=lambda pair: SPLITS.index(pair[1]))
    if not kept:
        raise UserError(f"{spec.source}: no split named {', '.join(SPLIT_NAMES)} (there are: {', '.join(loaded)})")
    splits = [loaded[name] for name, _ in kept]
    names = [f"{name}[{row}]" for (name, _), rows in zip(kept, splits, strict=True) for row in range(len(rows))]
    codes = np.concatenate([np.full(len(rows), SPLITS.index(to)) for (_, to), rows in zip(kept, splits, strict=True)])
    if SPLITS.index("test") not in codes:
        mask = held_out(names, spec.held_out)
        codes = np.where(mask & (codes == 0), SPLITS.index("test"), codes)
    order = np.argsort(codes, kind="stable")
    labels, classes = _labels(spec, splits)
    fingerprints = {name: loaded[name]._fingerprint for name, _ in kept}
    return Collection(
        names=[names[i] for i in order],
        images=_Column(concatenate_datasets(splits).select(order), spec.image, _places(place)),
        splits=codes[order],
        labels=labels[order],
        label_kind="classes" if classes else "none",
        label_names=classes,
        passed_over={f"of the split {n!r}": len(rows) for n, rows in loaded.items() if n.lower() not in SPLIT_NAMES},
        facts={"source": spec.source, "revision": spec.revision, "fingerprints": fingerprints},
    )


def _places(place: str) -> tuple[Path, ...]:
    """The folders that a loaded dataset's files lie in: its own, or the package's caches."""
    from datasets.config import HF_DATASETS_CACHE
    from huggingface_hub.constants import HF_HUB_CACHE

    places = (place,) if Path(place).is_dir() else (HF_DATASETS_CACHE, HF_HUB_CACHE)
    return tuple(Path(os.path.abspath(folder)) for folder in places)


def _load(spec: HuggingFace, place: str) -> DatasetDict:
    """All splits, with the image column left encoded."""
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"dataset {spec.source!r} of kind huggingface needs the optional package datasets; pip install datasets"
        ) from None
    try:
        # Of files, the package's cache knows the time of change alone.
        mode = "force_redownload" if Path(place).is_dir() else None
        loaded = datasets.load_dataset(place, name=spec.config, revision=spec.revision, download_mode=mode)
    # The package raises its own, the network's and the file formats' errors, with no common base.
    except Exception as error:
        raise UserError(
            f"{spec.source}: cannot be loaded by datasets ({first_line(error)}); check name, config, revision, network"
        ) from None
    columns = next(iter(loaded.values())).column_names
    for key in filter(None, (spec.image, spec.label)):
        if key not in columns:
            raise UserError(f"{spec.source}: no column {key!r} (there are: {', '.join(columns)})")
    return loaded.cast_column(spec.image, datasets.Image(decode=False))


def _labels(spec: HuggingFace, splits: list[Dataset]) -> tuple[np.ndarray, list[str]]:
    """int64 [N] over all splits, and the classes' names; no names where there are no classes."""
    if spec.label is None:
        return np.zeros(sum(map(len, splits)), dtype=np.int64), []
    values = np.concatenate([np.asarray(split[spec.label][:]) for split in splits])
    if not np.issubdtype(values.dtype, np.integer) or values.min() < 0:
        raise UserError(f"{spec.source}: column {spec.label!r} must hold class numbers from 0 up; set label: null")
    highest = int(values.max())
    names = getattr(splits[0].features[spec.label], "names", None) or [str(i) for i in range(highest + 1)]
    if highest >= len(names):
        raise UserError(f"{spec.source}: column {spec.label!r} holds {highest}, and has only {len(names)} names")
    return values.astype(np.int64), list(names)

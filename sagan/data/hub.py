"""Datasets of the Hugging Face Hub by name, through the optional package `datasets`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sagan.data.originals import Source, stamp, warn
from sagan.data.photographs import SPLITS, Collection, held_out, photograph_content
from sagan.data.pixels import BadImage, Recipe
from sagan.data.prepared import Content
from sagan.errors import UserError, first_line
from sagan.params.datasets import HuggingFace

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

SPLIT_NAMES = {"train": "train", "valid": "valid", "validation": "valid", "val": "valid", "test": "test"}


@dataclass(frozen=True)
class _Encoded:
    """An image file's bytes as the dataset stores them."""

    data: bytes | None

    def read(self) -> bytes:
        if self.data is None:
            raise BadImage("the dataset stores no bytes for it")
        return self.data


class _Column(Sequence):
    """The images of several splits, one after another, read from disk when they are asked for."""

    def __init__(self, splits: list[Dataset], column: str, order: np.ndarray):
        self._splits, self._column, self._order = splits, column, order
        self._starts = np.cumsum([0, *map(len, splits)])

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> _Encoded:
        row = int(self._order[index])
        split = int(np.searchsorted(self._starts, row, side="right")) - 1
        cell = self._splits[split][row - int(self._starts[split])][self._column]
        if cell["bytes"] is None and cell["path"]:
            return _Encoded(Path(cell["path"]).read_bytes())
        return _Encoded(cell["bytes"])


def locate_hub(spec: HuggingFace, root: Path) -> Source:
    """The dataset, unread: what it holds is known by its name and revision only."""
    if spec.revision is None and not (root / spec.source).is_dir():
        warn(f"{spec.source}: without `revision` the newest version is taken, which may be another one tomorrow")
    place = str(root / spec.source) if (root / spec.source).is_dir() else spec.source
    name = stamp([(f"{spec.source} {spec.config} {spec.revision}", 0)])
    return Source(name, lambda work, workers: _content(spec, place, work, workers))


def _content(spec: HuggingFace, place: str, work: Path, workers: int) -> Content:
    loaded = _load(spec, place)
    kept = [(name, SPLIT_NAMES[name]) for name in loaded if name in SPLIT_NAMES]
    kept.sort(key=lambda pair: SPLITS.index(pair[1]))
    if not kept:
        raise UserError(f"{spec.source}: no split named {', '.join(SPLIT_NAMES)} (there are: {', '.join(loaded)})")
    splits = [loaded[name] for name, _ in kept]
    names = [f"{name}[{row}]" for (name, _), rows in zip(kept, splits, strict=True) for row in range(len(rows))]
    fingerprints = [rows._fingerprint for rows in splits for _ in range(len(rows))]
    codes = np.concatenate([np.full(len(rows), SPLITS.index(to)) for (_, to), rows in zip(kept, splits, strict=True)])
    if SPLITS.index("test") not in codes:
        mask = held_out(names, spec.held_out)
        codes = np.where(mask & (codes == 0), SPLITS.index("test"), codes)
    order = np.argsort(codes, kind="stable")
    labels, classes = _labels(spec, splits)
    collection = Collection(
        names=[names[i] for i in order],
        stamps=[fingerprints[i] for i in order],
        images=_Column(splits, spec.image, order),
        splits=codes[order],
        labels=labels[order],
        label_kind="classes" if classes else "none",
        label_names=classes,
    )
    facts = {
        "source": spec.source,
        "revision": spec.revision,
        "fingerprints": {n: loaded[n]._fingerprint for n, _ in kept},
    }
    recipe = Recipe(spec.resolution, spec.crop, spec.resize, spec.channels, None)
    return photograph_content(spec, recipe, collection, facts, work, workers)


def _load(spec: HuggingFace, place: str) -> DatasetDict:
    """All splits, with the image column left encoded."""
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"dataset {spec.source!r} of kind huggingface needs the optional package datasets; pip install datasets"
        ) from None
    try:
        loaded = datasets.load_dataset(place, name=spec.config, revision=spec.revision)
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
    names = getattr(splits[0].features[spec.label], "names", None) or [str(i) for i in range(int(values.max()) + 1)]
    return values.astype(np.int64), list(names)

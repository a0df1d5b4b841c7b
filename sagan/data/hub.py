"""Datasets of the Hugging Face Hub by name, through the optional package `datasets`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sagan.data.originals import BadImage, Source, list_files, on_disk, stamp
from sagan.data.photographs import SPLIT_NAMES, held_out
from sagan.data.prepared import SPLITS, Content
from sagan.errors import UserError, first_line
from sagan.params.datasets import HuggingFace
from sagan.store.reading import warn_once


@dataclass(frozen=True)
class StoredImage:
    """An image as the dataset stores it: its `bytes`, or the `path` of a file in one of the dataset's folders."""

    name: str
    content: dict[str, Any] | None
    places: tuple[Path, ...]

    def __str__(self) -> str:
        return self.name

    def read(self) -> bytes:
        cell = self.content or {}
        if cell.get("bytes") is not None:
            return cell["bytes"]
        if not (path := cell.get("path")):
            raise BadImage("the dataset stores no image there")
        # A cell is data of strangers, and may name any file.
        if not any(Path(os.path.abspath(path)).is_relative_to(place) for place in self.places):
            raise BadImage(f"names a file outside of the dataset: {path}")
        try:
            return on_disk(Path(path)).read()
        except OSError as error:
            raise BadImage(f"cannot be read: {error.strerror}") from None


def locate_hub(spec: HuggingFace, folder: Path) -> Source:
    """The dataset, unread. One of the Hub is known by its settings, one in a folder by its files."""
    place = folder if folder.is_dir() else None
    whole = stamp(list_files(place)[0], f"{spec.source} {spec.config} {spec.revision}") if place else None
    return Source(whole, lambda: _content(spec, place))


def _content(spec: HuggingFace, folder: Path | None) -> Content:
    loaded = _load(spec, folder)
    from datasets import concatenate_datasets
    from datasets.config import HF_DATASETS_CACHE
    from huggingface_hub.constants import HF_HUB_CACHE

    kept = [name for split in SPLITS for name in loaded if SPLIT_NAMES.get(name.lower()) == split]
    if not kept:
        raise UserError(f"{spec.source}: no split named {', '.join(SPLIT_NAMES)} (there are: {', '.join(loaded)})")
    parts = [loaded[name] for name in kept]
    names = [f"{name}[{row}]" for name, part in zip(kept, parts, strict=True) for row in range(len(part))]
    codes = np.repeat([SPLITS.index(SPLIT_NAMES[name.lower()]) for name in kept], [len(part) for part in parts])
    if SPLITS.index("test") not in codes:
        codes = np.where(held_out(names, spec.held_out) & (codes == 0), SPLITS.index("test"), codes)
    order = np.argsort(codes, kind="stable")
    labels, classes = _labels(spec, parts)
    rows = zip(order, concatenate_datasets(parts).select(order), strict=True)
    places = tuple(Path(os.path.abspath(p)) for p in ([folder] if folder else [HF_DATASETS_CACHE, HF_HUB_CACHE]))
    return Content(
        images=(StoredImage(names[i], row[spec.image], places) for i, row in rows),
        labels=labels[order],
        label_names=classes,
        splits=codes[order],
        facts={
            "source": spec.source,
            "passed_over": {f"of the split {name!r}": len(loaded[name]) for name in sorted(loaded) if name not in kept},
        },
    )


def _load(spec: HuggingFace, folder: Path | None) -> Any:
    """A DatasetDict of all splits, with the image column left encoded."""
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"dataset {spec.source!r} of kind huggingface needs the optional package datasets; pip install datasets"
        ) from None
    if spec.revision is None and folder is None:
        warn_once(f"{spec.source}: without `revision` the newest version is taken, which may be another one tomorrow")
    try:
        loaded = datasets.load_dataset(
            str(folder or spec.source),
            name=spec.config,
            revision=spec.revision,
            # Of files, the package's cache knows the time of change alone.
            download_mode="force_redownload" if folder else None,
        )
    # The package raises its own, the network's and the file formats' errors, with no common base.
    except Exception as error:
        raise UserError(
            f"{spec.source}: cannot be loaded by datasets ({first_line(error)}); check name, config, revision, network"
        ) from None
    columns = next(iter(loaded.values())).column_names
    for key in filter(None, (spec.image, spec.label)):
        if key not in columns:
            raise UserError(f"{spec.source}: no column {key!r} (there are: {', '.join(columns)})")
    try:
        return loaded.cast_column(spec.image, datasets.Image(decode=False))
    except Exception as error:  # of Arrow, of many kinds
        raise UserError(f"{spec.source}: column {spec.image!r} holds no images: {first_line(error)}") from None


def _labels(spec: HuggingFace, splits: list) -> tuple[np.ndarray, list[str]]:
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

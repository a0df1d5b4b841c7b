"""Datasets through torchvision: read from its layout of files, and fetched where that is allowed (`download: true`)."""

from pathlib import Path
from typing import Any

import numpy as np

from sagan.data.mnist import array_content, grey_content
from sagan.data.originals import MissingOriginals, Source, list_files, stamp
from sagan.data.prepared import Content
from sagan.errors import UserError, first_line
from sagan.params.datasets import AnyDataset, Torchvision

# The names of torchvision's classes for kinds that are read without it.
_CLASSES = {"mnist": "MNIST", "stacked-mnist": "MNIST", "celeba": "CelebA"}


def locate_torchvision(spec: Torchvision, folder: Path) -> Source:
    """All files below the source: which of them count is torchvision's to know."""
    files, _ = list_files(folder)
    if not files:
        mend = "put them there as torchvision does, or set download: true"
        raise MissingOriginals(folder, f"no file of {spec.name}", mend)
    return Source(stamp(files), lambda: _content(spec, folder))


def download(spec: AnyDataset, folder: Path) -> None:
    """Fetch a dataset's originals into `folder`; torchvision checks md5s. A `UserError` where a file cannot be had."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(spec, Torchvision):
        _parts(spec, folder)
    else:
        _opened(_CLASSES[spec.kind], folder, download=True)


def _parts(spec: Torchvision, folder: Path) -> list:
    """torchvision's training and test sets."""
    which = {"split": spec.split} if spec.split else {}
    return [_opened(spec.name, folder, spec.download, train=train, **which) for train in (True, False)]


def _content(spec: Torchvision, folder: Path) -> Content:
    parts = _parts(spec, folder)
    images, labels = (np.concatenate([np.asarray(getattr(p, what)) for p in parts]) for what in ("data", "targets"))
    facts, train, names = {"source": spec.source, "name": spec.name}, len(parts[0]), list(parts[0].classes)
    if spec.name == "EMNIST":  # its files have rows for columns (pytorch/vision#8783)
        images = images.transpose(0, 2, 1)
    if images.ndim == 3:
        return grey_content(images, labels, train, spec.resolution, facts, names)
    if images.shape[1] != spec.resolution:
        raise UserError(
            f"params.yaml: {spec.name}'s images have {images.shape[1]} pixels a side; set resolution to that"
        )
    return array_content(images.transpose(0, 3, 1, 2), labels, train, facts, names)


def _opened(name: str, folder: Path, download: bool, **which: str | bool) -> Any:
    import torchvision.datasets  # late: its import takes seconds

    kind = getattr(torchvision.datasets, name)
    try:
        return kind(root=str(folder), download=download, **which)
    # Network, quota (CelebA's host often refuses), checksum: torchvision and its helpers share no base class.
    except Exception as error:
        verb, place = "fetch" if download else "read", getattr(kind, "base_folder", f"{name}/raw")
        what = f"torchvision could not {verb} {name}: {first_line(error)}"
        raise MissingOriginals(folder, what, f"put the files there by hand, unpacked into {place}/") from None

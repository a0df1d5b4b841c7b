"""Datasets through torchvision: read from its layout of files, and fetched where that is allowed (`download: true`)."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sagan.data.mnist import array_content, grey_content
from sagan.data.originals import MissingOriginals, Source, stamp_paths, there
from sagan.data.prepared import Content
from sagan.errors import UserError, first_line
from sagan.params.datasets import AnyDataset, Torchvision

if TYPE_CHECKING:
    from torchvision.datasets import VisionDataset

# The names of torchvision's classes for kinds that are read without it.
_CLASSES = {"mnist": "MNIST", "stacked-mnist": "MNIST", "celeba": "CelebA"}


def locate_torchvision(spec: Torchvision, root: Path) -> Source:
    """All files below the source: which of them count is torchvision's to know.

    Raises:
        MissingOriginals: there are none.
    """
    folder = root / spec.source
    files = [path for path in folder.rglob("*") if path.is_file()]
    if not files:
        raise MissingOriginals(
            f"{folder}: no file of {spec.name} ({there(folder)}); put them there as torchvision does, or set "
            "download: true"
        )
    return Source(stamp_paths(folder, files), lambda work, workers: _content(spec, folder))


def download(spec: AnyDataset, folder: Path) -> None:
    """Fetch a dataset's originals into `folder`; torchvision checks their md5s.

    Raises:
        UserError: torchvision is not installed, or a file cannot be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(spec, Torchvision):
        _content(spec, folder)
    else:
        _opened(_CLASSES[spec.kind], folder, download=True)


def _content(spec: Torchvision, folder: Path) -> Content:
    splits = [_split(spec, folder, train) for train in (True, False)]
    images = np.concatenate([np.asarray(split.data) for split in splits])
    labels = np.concatenate([np.asarray(getattr(split, "targets", getattr(split, "labels", None))) for split in splits])
    names = getattr(splits[0], "classes", None) or [str(number) for number in range(int(labels.max()) + 1)]
    facts, train = {"source": spec.source, "name": spec.name}, len(splits[0].data)
    if images.ndim == 3:
        return grey_content(images, labels, train, spec.resolution, facts, names)
    if images.shape[-1] == 3:
        images = images.transpose(0, 3, 1, 2)
    if images.shape[-1] != spec.resolution:
        side = images.shape[-1]
        raise UserError(f"params.yaml: {spec.name}'s images are {side}x{side}; set resolution: {side}")
    return array_content(images, labels, train, facts, names)


def _split(spec: Torchvision, folder: Path, train: bool) -> VisionDataset:
    parameters = inspect.signature(getattr(_torchvision(), spec.name)).parameters
    named = {"split": spec.split} if spec.split else {}
    if "train" in parameters or "kwargs" in parameters:
        return _opened(spec.name, folder, spec.download, train=train, **named)
    return _opened(spec.name, folder, spec.download, split=(spec.split or "train") if train else "test")


def _opened(name: str, folder: Path, download: bool, **which: str | bool) -> VisionDataset:
    kind = getattr(_torchvision(), name)
    try:
        return kind(root=str(folder), download=download, **which)
    # Network, quota (CelebA's host often refuses), checksum: torchvision and its helpers share no base class.
    except Exception as error:
        layout = getattr(kind, "base_folder", f"{name}/raw")
        raise UserError(
            f"{folder}: torchvision could not {'fetch' if download else 'read'} {name} ({first_line(error)}; "
            f"{there(folder)}); put the files there by hand, unpacked into {layout}/"
        ) from None


def _torchvision():
    try:
        import torchvision.datasets
    except ImportError:
        raise UserError(
            "this dataset needs torchvision; pip install torchvision, or put the files there by hand"
        ) from None
    return torchvision.datasets

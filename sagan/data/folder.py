"""Any folder or zip of images: CelebA-HQ, FFHQ, AFHQ, one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from sagan.data.archives import SUFFIXES, ImageFile, list_folder, list_zip
from sagan.data.originals import MissingOriginals, Source, stamp
from sagan.data.photographs import SPLITS, Collection, held_out, photograph_content
from sagan.data.pixels import Recipe
from sagan.data.prepared import Content
from sagan.errors import UserError
from sagan.params.datasets import ImageFolder

# The folders that are taken as splits.
SPLIT_FOLDERS = {"train": "train", "val": "valid", "valid": "valid", "validation": "valid", "test": "test"}


def locate_folder(spec: ImageFolder, root: Path) -> Source:
    """The images at any depth.

    Raises:
        MissingOriginals: there is no such folder or zip, or no image in it.
    """
    source = root / spec.source
    images = list_zip(source) if source.is_file() else list_folder(source)
    if not images:
        raise MissingOriginals(
            f"{source}: no such folder or zip, or none with images ({', '.join(SUFFIXES)}); put them there"
        )
    sizes = [(image.name, image.size) for image in images]
    return Source(stamp(sizes), lambda work, workers: _content(spec, images, work, workers))


def _content(spec: ImageFolder, images: Sequence[ImageFile], work: Path, workers: int) -> Content:
    codes, within, how = _splits([PurePosixPath(image.name) for image in images], spec.held_out)
    order = sorted(range(len(images)), key=lambda i: (codes[i], images[i].name))
    labels, classes = _classes([within[i] for i in order], spec)
    collection = Collection(
        names=[str(images[i]) for i in order],
        stamps=[images[i].stamp for i in order],
        images=[images[i] for i in order],
        splits=np.array([codes[i] for i in order], dtype=np.int64),
        labels=labels,
        label_kind="classes" if classes else "none",
        label_names=classes,
    )
    recipe = Recipe(spec.resolution, spec.crop, spec.resize, spec.channels, None)
    return photograph_content(spec, recipe, collection, {"source": spec.source, "split": how}, work, workers)


def _splits(paths: Sequence[PurePosixPath], part: float) -> tuple[list[int], list[PurePosixPath], str]:
    """Each image's position in SPLITS, its path within its split, and how the splits came about.

    The source's own splits count where every image is in one, below train/ and test/ (or val/ alone,
    which is then the test split, as in AFHQ), with or without one folder around them.
    """
    around = 1 if len({path.parts[0] for path in paths}) == 1 and paths[0].parts[0] not in SPLIT_FOLDERS else 0
    found = [SPLIT_FOLDERS.get(path.parts[around]) if len(path.parts) > around + 1 else None for path in paths]
    names = set(found)
    if "train" in names and len(names) > 1 and None not in names:
        if "test" not in names:
            found = ["test" if name == "valid" else name for name in found]
        return [SPLITS.index(name) for name in found], [PurePosixPath(*p.parts[around + 1 :]) for p in paths], "folders"
    mask = held_out([path.as_posix() for path in paths], part)
    return np.where(mask, SPLITS.index("test"), 0).tolist(), list(paths), f"{part:g} held out"


def _classes(paths: Sequence[PurePosixPath], spec: ImageFolder) -> tuple[np.ndarray, list[str]]:
    """int64 [N] and the classes' names, sorted; no names where the images have no classes."""
    if spec.labels == "none":
        return np.zeros(len(paths), dtype=np.int64), []
    outside = [path for path in paths if path.parent.name == ""]
    if outside:
        raise UserError(
            f"{spec.source}: labels: folders, but {outside[0]} lies in no folder of a class; set labels: none"
        )
    classes = sorted({path.parent.as_posix() for path in paths})
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number[path.parent.as_posix()] for path in paths], dtype=np.int64), classes

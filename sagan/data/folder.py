"""Any folder or zip of images: CelebA-HQ, FFHQ, AFHQ, one's own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from sagan.data.archives import SUFFIXES, Listing, list_images, stamp
from sagan.data.originals import MissingOriginals, Source, place_of, there
from sagan.data.photographs import SPLIT_NAMES, SPLITS, Collection, held_out
from sagan.errors import UserError
from sagan.params.datasets import ImageFolder


def locate_folder(spec: ImageFolder, root: Path) -> Source:
    """The images at any depth.

    Raises:
        MissingOriginals: there is no such folder or zip, or no image in it.
    """
    source = place_of(root, spec.source)
    listing = list_images(source)
    if not listing.images:
        raise MissingOriginals(
            f"{source}: no such folder or zip, or none with images ({', '.join(SUFFIXES)}); put them there ("
            f"{there(source)})"
        )
    return Source(stamp(listing.images), lambda: _content(spec, listing))


def _content(spec: ImageFolder, listing: Listing) -> Collection:
    images = listing.images
    codes, within, how = _splits([image.path for image in images], spec)
    order = sorted(range(len(images)), key=lambda i: (codes[i], images[i].path.as_posix()))
    splits = np.array([codes[i] for i in order], dtype=np.int64)
    labels, classes = _classes([within[i] for i in order], splits, spec)
    return Collection(
        names=[str(images[i]) for i in order],
        images=[images[i] for i in order],
        splits=splits,
        labels=labels,
        label_kind="classes" if classes else "none",
        label_names=classes,
        passed_over=listing.passed_over,
        facts={"source": spec.source, "split": how},
    )


def _splits(paths: Sequence[PurePosixPath], spec: ImageFolder) -> tuple[list[int], list[PurePosixPath], str]:
    """Each image's position in SPLITS, its path within its split, and how the splits came about.

    The source has splits of its own where folders of one depth are named train and test (or val alone, which is then
    the test split, as in AFHQ). Then every image has to lie in one of them: a stray folder would not be found to be
    one, and the test images would be trained on.

    Raises:
        UserError: an image lies in none of them.
    """
    for depth in range(max(len(path.parts) for path in paths) - 1):
        found = [SPLIT_NAMES.get(path.parts[depth].lower()) if len(path.parts) > depth + 1 else None for path in paths]
        names = set(found)
        if "train" not in names or not names & {"valid", "test"}:
            continue
        if None in names:
            raise UserError(
                f"{spec.source}: has folders of splits (train, test or the like), and {paths[found.index(None)]} lies "
                "in none of them; move it into one, or give those folders other names"
            )
        if "test" not in names:
            found = ["test" if name == "valid" else name for name in found]
        around = depth if len({path.parts[:depth] for path in paths}) == 1 else 0
        within = [PurePosixPath(*path.parts[around:depth], *path.parts[depth + 1 :]) for path in paths]
        return [SPLITS.index(name) for name in found], within, "folders"
    mask = held_out([path.as_posix() for path in paths], spec.held_out)
    return np.where(mask, SPLITS.index("test"), 0).tolist(), list(paths), f"{spec.held_out:g} held out"


def _classes(paths: Sequence[PurePosixPath], splits: np.ndarray, spec: ImageFolder) -> tuple[np.ndarray, list[str]]:
    """int64 [N] and the classes' names, sorted, numbers by value; no names where the images have no classes.

    Raises:
        UserError: an image lies in no folder; or two splits name a class differently.
    """
    if spec.labels == "none":
        return np.zeros(len(paths), dtype=np.int64), []
    outside = [path for path in paths if path.parent.name == ""]
    if outside:
        raise UserError(
            f"{spec.source}: labels: folders, but {outside[0]} lies in no folder of a class; set labels: none"
        )
    folders = [path.parent.as_posix() for path in paths]
    places: dict[str, set[int]] = {}
    for name, split in zip(folders, splits.tolist(), strict=True):
        places.setdefault(name, set()).add(split)
    classes, alike = sorted(places, key=_by_number), {}
    for name in classes:
        other = alike.setdefault(unicodedata.normalize("NFKC", name).casefold().strip(), name)
        if places[name].isdisjoint(places[other]):
            raise UserError(
                f"{spec.source}: the class {other!r} of one split and {name!r} of another seem to be one; give the "
                "folders one name"
            )
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number[folder] for folder in folders], dtype=np.int64), classes


def _by_number(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sorts 2 before 10, also within names."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)], name

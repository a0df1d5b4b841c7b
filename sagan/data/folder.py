"""Any folder or zip of images: CelebA-HQ, FFHQ, AFHQ, one's own."""

import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from sagan.data.originals import SUFFIXES, MissingOriginals, OriginalFile, Source, list_files, list_images, stamp
from sagan.data.photographs import SPLIT_NAMES, held_out
from sagan.data.prepared import SPLITS, Content
from sagan.errors import UserError, first_line
from sagan.params.datasets import ImageFolder

LIST = "dataset.json"


def locate_folder(spec: ImageFolder, source: Path) -> Source:
    """The images at any depth."""
    listed: list[OriginalFile] = []
    images, passed_over = list_images(source)
    if not images:
        what = f"no such folder or zip, or none with images ({', '.join(SUFFIXES)})"
        raise MissingOriginals(source, what, "put them there")
    if spec.labels == LIST:
        listed = [file for file in list_files(source)[0] if file.path.name == LIST]
        passed_over[".json"] -= 1
        if not listed:
            raise MissingOriginals(source, f"no {LIST}", "put it there, or set labels: folders or none")
        if len(listed) > 1:
            raise UserError(f"{source}: holds {' and '.join(sorted(map(str, listed)))}; leave one")
    return Source(stamp(images + listed), lambda: _content(spec, images, +passed_over, *listed))


def _content(
    spec: ImageFolder, images: list[OriginalFile], passed_over: Counter[str], listed: OriginalFile | None = None
) -> Content:
    codes, within, how = _splits([image.path for image in images], spec)
    order = sorted(range(len(images)), key=lambda i: (codes[i], images[i].path.as_posix()))
    images, splits = [images[i] for i in order], np.array([codes[i] for i in order])
    found = _listed(images, listed) if listed else _classes([within[i] for i in order], splits, spec)
    facts = {"source": spec.source, "split": how, "passed_over": dict(sorted(passed_over.items()))}
    return Content(images, *found, splits, facts)


def _listed(images: Sequence[OriginalFile], file: OriginalFile) -> tuple[np.ndarray, list[str]]:
    """As `_classes`, by StyleGAN's list of pairs: an image's name, from the list's folder on, and its class."""
    try:
        numbers = dict(json.loads(file.content())["labels"])
        names = (image.path.relative_to(file.path.parent).as_posix() for image in images)
        labels = np.array([numbers[name] for name in names])
        if labels.dtype != np.int64 or labels.ndim != 1 or not 0 <= labels.min() <= labels.max() < len(images):
            raise ValueError("classes are numbers from 0 up")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{file.full}: does not give each image its class ({first_line(error)})") from None
    return labels, [str(number) for number in range(labels.max() + 1)]


def _splits(paths: Sequence[PurePosixPath], spec: ImageFolder) -> tuple[list[int], list[PurePosixPath], str]:
    """Each image's position in SPLITS, its path within its split, and how the splits came about."""
    # The source's own, where folders of one depth are named train and test (or val alone, the test split of AFHQ).
    for depth in range(max(len(path.parts) for path in paths) - 1):
        found = [SPLIT_NAMES.get(path.parts[depth].lower()) if len(path.parts) > depth + 1 else None for path in paths]
        names = set(found)
        if "train" not in names or not names & {"valid", "test"}:
            continue
        # Every image has to lie in one: else, with a stray folder, the test images would be trained on.
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
    """int64 [N] and the classes' names, sorted, numbers by value; no names where the images have no classes."""
    if spec.labels == "none":
        return np.zeros(len(paths), dtype=np.int64), []
    if outside := next((path for path in paths if path.parent.name == ""), None):
        raise UserError(f"{spec.source}: labels: folders, but {outside} lies in no folder of a class; set labels: none")
    folders, places, alike = [path.parent.as_posix() for path in paths], defaultdict(set), {}
    for name, split in zip(folders, splits.tolist(), strict=True):
        places[name].add(split)
    # 2 before 10, also within names.
    parts = {name: re.split(r"([0-9]+)", name) for name in places}
    classes = sorted(parts, key=lambda n: ([(int(p), "") if p.isdecimal() else (-1, p) for p in parts[n]], n))
    for name in classes:
        other = alike.setdefault(unicodedata.normalize("NFKC", name).casefold().strip(), name)
        if places[name].isdisjoint(places[other]):
            raise UserError(
                f"{spec.source}: the class {other!r} of one split and {name!r} of another seem to be one; give the "
                "folders one name"
            )
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number[folder] for folder in folders]), classes

"""What the datasets of larger images share: splits, images that cannot be used, and the manifest's entries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL

from sagan.data.originals import warn
from sagan.data.pixels import Preparing
from sagan.data.pool import make_rows
from sagan.data.prepared import Content
from sagan.errors import UserError
from sagan.params.datasets import Photographs
from sagan.store.records import Json

SPLITS = ("train", "valid", "test")
# The split that a folder, or a split of the Hub, of some name is; capitals do not matter.
SPLIT_NAMES = {
    **{"train": "train", "training": "train", "test": "test", "testing": "test"},
    **{"val": "valid", "valid": "valid", "validation": "valid"},
}
BAD_IMAGES = "bad-images.txt"
_SHOWN = 100

Refused = tuple[str, str]


@dataclass(frozen=True)
class Collection:
    """Images with their labels, not yet read, ordered by split.

    Attributes:
        names: what messages call them.
        images: as many, as `make_rows` takes them.
        splits: int64 [N], ascending: positions in SPLITS.
        labels: a row for each image.
        label_kind: "attributes", "classes" or "none".
        passed_over: what else is there, and how many of it.
        facts: for the manifest.
        size: the (width, height) that every image must have; any that is large enough where None.
        refused: (name, reason) of the images that are left out already.
    """

    names: Sequence[str]
    images: Sequence
    splits: np.ndarray
    labels: np.ndarray
    label_kind: str
    label_names: list[str]
    passed_over: Mapping[str, int]
    facts: Json
    size: tuple[int, int] | None = None
    refused: list[Refused] = field(default_factory=list)


def photograph_content(spec: Photographs, collection: Collection, work: Path, workers: int) -> Content:
    """Decode, crop and resize a collection.

    Raises:
        UserError: images cannot be used and `on_bad_image` is `fail`; or train or test is empty.
    """
    recipe = Preparing(spec.resolution, spec.crop, spec.resize, getattr(spec, "channels", 3), collection.size)
    total = len(collection.names) + len(collection.refused)
    title = f"{total:,} images to {recipe.resolution}x{recipe.resolution}"
    rows, unusable = make_rows(collection.images, recipe, work, workers, title)
    kept = np.delete(np.arange(len(collection.names)), [position for position, _ in unusable])
    bad = [*collection.refused, *((collection.names[position], reason) for position, reason in unusable)]
    bad_images = _settle(bad, total, spec.on_bad_image, work.parent / BAD_IMAGES)
    bounds = np.searchsorted(collection.splits[kept], range(len(SPLITS) + 1)).tolist()
    splits = {name: (bounds[i], bounds[i + 1]) for i, name in enumerate(SPLITS) if bounds[i] < bounds[i + 1]}
    for needed in ("train", "test"):
        if needed not in splits:
            raise UserError(
                f"{spec.source}: none of its {len(kept):,} usable images is in the {needed} split; add images"
            )
    facts = {
        **collection.facts,
        "crop": spec.crop,
        "resize": spec.resize,
        "present": total,
        "passed_over": dict(sorted(collection.passed_over.items())),
        "bad_images": bad_images,
        "versions": {"pillow": PIL.__version__},
    }
    shape = (recipe.channels, recipe.resolution, recipe.resolution)
    labels = collection.labels[kept]
    return Content(rows, shape, labels, collection.label_kind, collection.label_names, splits, facts)


def held_out(names: Sequence[str], part: float) -> np.ndarray:
    """A mask with round(part * N) True, but at least one: the names with the smallest sha256.

    Names alone decide, so that neither order nor any library's random numbers do.
    """
    order = sorted(range(len(names)), key=lambda i: hashlib.sha256(names[i].encode()).digest())
    mask = np.zeros(len(names), dtype=bool)
    mask[order[: max(1, round(part * len(names)))]] = True
    return mask


def _settle(refused: list[Refused], total: int, policy: str, listing: Path) -> Json:
    """What the manifest says of images that cannot be used. All of them go to `listing`, by name."""
    listing.unlink(missing_ok=True)
    if not refused:
        return {"count": 0, "first": []}
    listing.write_text("".join(f"{name}: {reason}\n" for name, reason in refused), encoding="utf-8")
    name, reason = refused[0]
    what = f"{len(refused):,} of {total:,} images cannot be used (all in {listing}), first {name}: {reason}"
    if policy == "fail":
        raise UserError(f"{what}; mend them, or set on_bad_image: skip to leave them out")
    warn(f"left out: {what}")
    return {"count": len(refused), "first": [list(entry) for entry in refused[:_SHOWN]]}

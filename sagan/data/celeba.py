"""CelebA (Liu et al. 2015), aligned and cropped: official images, partition and attributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sagan.data.archives import ImageFile, list_folder, list_zip, read_member
from sagan.data.originals import MissingOriginals, Source, find_file, gunzip, md5, read_bytes, stamp, warn
from sagan.data.photographs import Collection, Refused, photograph_content
from sagan.data.pixels import Recipe
from sagan.data.prepared import Content
from sagan.errors import UserError
from sagan.params.datasets import CelebA
from sagan.store.records import Json

URL = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
PARTITION, ATTRIBUTES = "list_eval_partition.txt", "list_attr_celeba.txt"
MD5 = {PARTITION: "d32c9cbf5e040fd4025c592c306e6668", ATTRIBUTES: "75e246fa4810816ffd6ee81facbd244c"}
SIZE = (178, 218)
_SIGNS = {"-1": 0, "1": 1}
# A flat folder; the authors' share (Img/, Anno/, Eval/); torchvision's downloader (celeba/).
PLACES = (".", "Img", "Anno", "Eval", "celeba")


def locate_celeba(spec: CelebA, root: Path) -> Source:
    """Images and lists below the source.

    Raises:
        MissingOriginals: with what was looked for, where to get it and where to put it.
    """
    source = root / spec.source
    folder = source.parent if source.is_file() else source
    images = find_images(source)
    lists = {name: _read_list(source, folder, name) for name in (PARTITION, ATTRIBUTES)}
    missing = [] if images else ["img_align_celeba/ (or img_align_celeba.zip, or img_align_celeba-part*.zip)"]
    missing += [f"{name} (or .gz)" for name, data in lists.items() if data is None]
    if missing:
        raise MissingOriginals(
            f"{source}: CelebA is not complete: no {' and no '.join(missing)}; get the aligned images, the attributes "
            f"and the partition from {URL} and put them there, or set download: true"
        )
    sizes = [(str(image), image.size) for image in images] + [(name, len(data)) for name, data in lists.items()]
    return Source(stamp(sizes), lambda work, workers: _content(spec, images, lists, work, workers))


def find_images(source: Path) -> list[ImageFile]:
    """The images of a zip, or of a folder that holds img_align_celeba/, its zip, or parts of its zip."""
    if source.is_file():
        return list_zip(source)
    for place in PLACES:
        folder, archive = source / place / "img_align_celeba", source / place / "img_align_celeba.zip"
        parts = sorted((source / place).glob("img_align_celeba-part*.zip"))
        if folder.is_dir() and (images := list_folder(folder)):
            return images
        if archive.is_file():
            return list_zip(archive)
        if parts:
            return [image for part in parts for image in list_zip(part)]
    return []


def _read_list(source: Path, folder: Path, name: str) -> bytes | None:
    """A list from the folder, or from the zip where the source is one."""
    path = find_file(folder, name, PLACES)
    if path is not None:
        return read_bytes(path)
    if not source.is_file():
        return None
    packed = read_member(source, f"{name}.gz")
    return read_member(source, name) if packed is None else gunzip(packed, f"{source}, {name}.gz")


def _content(spec: CelebA, images: Sequence[ImageFile], lists: dict[str, bytes], work: Path, workers: int) -> Content:
    partition = parse_partition(lists[PARTITION])
    attribute_names, attributes = parse_attributes(lists[ATTRIBUTES])
    wanted, refused = _match(images, partition, attributes)
    names = [image.base for image in wanted]
    labels = np.frombuffer(b"".join(attributes[name] for name in names), dtype=np.uint8)
    collection = Collection(
        names=[str(image) for image in wanted],
        stamps=[image.stamp for image in wanted],
        images=wanted,
        splits=np.array([partition[name] for name in names], dtype=np.int64),
        labels=labels.reshape(len(names), len(attribute_names)),
        label_kind="attributes",
        label_names=attribute_names,
        refused=refused,
    )
    facts = {"source": spec.source, "listed": len(partition), **_originality(lists)}
    return photograph_content(
        spec, Recipe(spec.resolution, spec.crop, spec.resize, 3, SIZE), collection, facts, work, workers
    )


def _match(
    images: Sequence[ImageFile], partition: dict[str, int], attributes: dict[str, bytes]
) -> tuple[list[ImageFile], list[Refused]]:
    """The images that both lists know, ordered by split and name, and the others with the reason."""
    wanted: dict[str, ImageFile] = {}
    refused: list[Refused] = []
    for image in images:
        if image.base in wanted:
            refused.append((str(image), f"is there twice, first as {wanted[image.base]}"))
        elif image.base not in partition:
            refused.append((str(image), f"is not in {PARTITION}"))
        elif image.base not in attributes:
            refused.append((str(image), f"is not in {ATTRIBUTES}"))
        else:
            wanted[image.base] = image
    return [wanted[name] for name in sorted(wanted, key=lambda name: (partition[name], name))], refused


def _originality(lists: dict[str, bytes]) -> Json:
    """The lists' md5s beside the published ones. Others are used, and said to be others."""
    originals = {name: {"md5": md5(data), "original": md5(data) == MD5[name]} for name, data in lists.items()}
    for name, check in originals.items():
        if not check["original"]:
            warn(f"{name} is not CelebA's original (md5 {check['md5']}, original {MD5[name]})")
    return {"original": all(check["original"] for check in originals.values()), "originals": originals}


def parse_partition(data: bytes) -> dict[str, int]:
    """Image name -> 0 (train), 1 (valid) or 2 (test).

    Raises:
        UserError: with the line that is not `name code`.
    """
    partition: dict[str, int] = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
        fields = line.split()
        if len(fields) != 2 or fields[1] not in ("0", "1", "2") or fields[0] in partition:
            raise UserError(
                f"{PARTITION}, line {number}: {line[:60]!r} is not a new image's name and 0, 1 or 2; fetch it again"
            )
        partition[fields[0]] = int(fields[1])
    return partition


def parse_attributes(data: bytes) -> tuple[list[str], dict[str, bytes]]:
    """The attributes' names, and image name -> a byte for each, 1 where the file says 1 and 0 where it says -1.

    Raises:
        UserError: with the line that does not hold one -1 or 1 for each attribute.
    """
    lines = data.decode("utf-8", "replace").splitlines()
    names = lines[1].split() if len(lines) > 1 else []
    if not names or not lines[0].strip().isdigit():
        raise UserError(f"{ATTRIBUTES}: must begin with a count and a line of attribute names; fetch it again")
    attributes: dict[str, bytes] = {}
    for number, line in enumerate(lines[2:], start=3):
        image, *values = line.split() or [""]
        if len(values) != len(names) or not set(values) <= _SIGNS.keys():
            raise UserError(
                f"{ATTRIBUTES}, line {number}: must be a name and {len(names)} times -1 or 1; fetch it again"
            )
        attributes[image] = bytes(map(_SIGNS.__getitem__, values))
    if len(attributes) != int(lines[0]):
        raise UserError(
            f"{ATTRIBUTES}: {len(attributes):,} images, and its first line says {int(lines[0]):,}; fetch it again"
        )
    return names, attributes

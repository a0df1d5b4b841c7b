"""CelebA (Liu et al. 2015), aligned and cropped: official images, partition and attributes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sagan.data.archives import ImageFile, Listing, list_images, read_member, stamp
from sagan.data.originals import MissingOriginals, Source, find_file, gunzip, md5, place_of, read_bytes, there, warn
from sagan.data.photographs import Collection, Refused
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

# A list's name and content.
List = tuple[str, bytes]


def locate_celeba(spec: CelebA, root: Path) -> Source:
    """Images and lists below the source.

    Raises:
        MissingOriginals: with what was looked for, where to get it and where to put it.
    """
    source = place_of(root, spec.source)
    listing = find_images(source)
    lists = {name: _read_list(source, name) for name in (PARTITION, ATTRIBUTES)}
    missing = [] if listing.images else ["img_align_celeba/ (or img_align_celeba.zip, or img_align_celeba-part*.zip)"]
    missing += [f"{name} (or .gz, or .csv)" for name, found in lists.items() if found is None]
    if missing:
        raise MissingOriginals(
            f"{source}: CelebA is not complete: no {' and no '.join(missing)} ({there(source)}); get the aligned "
            f"images, the attributes and the partition from {URL} and put them there, or set download: true"
        )
    whole = stamp(listing.images, *(md5(data) for _, data in lists.values()))
    return Source(whole, lambda: _content(spec, listing, lists))


def find_images(source: Path) -> Listing:
    """The images of a zip, or of a folder that holds img_align_celeba/, its zip, or parts of its zip."""
    if source.is_file():
        return list_images(source)
    for place in PLACES:
        zips = sorted((source / place).glob("img_align_celeba*.zip"))
        for parts in ([source / place / "img_align_celeba"], [source / place / "img_align_celeba_png"], zips):
            listings = [list_images(part) for part in parts]
            if images := [image for listing in listings for image in listing.images]:
                return Listing(images, sum((listing.passed_over for listing in listings), Counter()))
    return Listing([], Counter())


def _read_list(source: Path, name: str) -> List | None:
    """A list from the folder, or from the zip where the source is one."""
    names = (name, name.replace(".txt", ".csv"))
    path = find_file(source.parent if source.is_file() else source, names, PLACES)
    if path is not None:
        return path.name, read_bytes(path)
    packed = read_member(source, {*names, *(f"{n}.gz" for n in names)}) if source.is_file() else None
    return packed and (packed[0], gunzip(packed[1], f"{source}, {packed[0]}"))


def _content(spec: CelebA, listing: Listing, lists: dict[str, List]) -> Collection:
    partition = parse_partition(*lists[PARTITION])
    attribute_names, attributes = parse_attributes(*lists[ATTRIBUTES])
    wanted, refused = _match(listing.images, partition, attributes)
    names = [_listed(image) for image in wanted]
    labels = np.frombuffer(b"".join(attributes[name] for name in names), dtype=np.uint8)
    return Collection(
        names=[str(image) for image in wanted],
        images=wanted,
        splits=np.array([partition[name] for name in names], dtype=np.int64),
        labels=labels.reshape(len(names), len(attribute_names)),
        label_kind="attributes",
        label_names=attribute_names,
        passed_over=listing.passed_over,
        facts={"source": spec.source, "listed": len(partition), **_originality(lists)},
        size=SIZE,
        refused=refused,
    )


def _match(
    images: Sequence[ImageFile], partition: dict[str, int], attributes: dict[str, bytes]
) -> tuple[list[ImageFile], list[Refused]]:
    """The images that both lists know, ordered by split and name, and the others with the reason."""
    wanted: dict[str, ImageFile] = {}
    refused: list[Refused] = []
    for image in images:
        name = _listed(image)
        if name in wanted:
            refused.append((str(image), f"is there twice, first as {wanted[name]}"))
        elif name not in partition:
            refused.append((str(image), f"is not in {PARTITION}"))
        elif name not in attributes:
            refused.append((str(image), f"is not in {ATTRIBUTES}"))
        else:
            wanted[name] = image
    return [wanted[name] for name in sorted(wanted, key=lambda name: (partition[name], name))], refused


def _listed(image: ImageFile) -> str:
    """The image's name in the lists, which have the JPEGs' for the authors' PNGs too."""
    return f"{image.path.stem}.jpg"


def _originality(lists: dict[str, List]) -> Json:
    """The lists' md5s beside the published ones. Others are used, and said to be others."""
    originals = {}
    for kind, (name, data) in lists.items():
        originals[kind] = {"md5": md5(data), "original": md5(data) == MD5[kind]}
        if not originals[kind]["original"]:
            warn(f"{name} is not CelebA's original (md5 {md5(data)}, original {MD5[kind]})")
    return {"original": all(check["original"] for check in originals.values()), "originals": originals}


def _lines(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line that is not blank. Spaces, commas or semicolons part fields."""
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")
    lines = enumerate(text.replace(",", " ").replace(";", " ").splitlines(), start=1)
    return ((number, fields) for number, line in lines if (fields := line.split()))


def parse_partition(name: str, data: bytes) -> dict[str, int]:
    """Image name -> 0 (train), 1 (valid) or 2 (test).

    Raises:
        UserError: with the line that is not `name code`.
    """
    partition: dict[str, int] = {}
    for number, fields in _lines(data):
        if number == 1 and fields == ["image_id", "partition"]:
            continue
        if len(fields) != 2 or fields[1] not in ("0", "1", "2") or fields[0] in partition:
            raise UserError(
                f"{name}, line {number}: {' '.join(fields)[:60]!r} is not a new image's name and 0, 1 or 2; fetch it "
                "again"
            )
        partition[fields[0]] = int(fields[1])
    return partition


def parse_attributes(name: str, data: bytes) -> tuple[list[str], dict[str, bytes]]:
    """The attributes' names, and image name -> a byte for each, 1 where the file says 1 and 0 where it says -1.

    Raises:
        UserError: with the line that does not hold one -1 or 1 for each attribute.
    """
    lines = _lines(data)
    _, first = next(lines, (1, []))
    # The original begins with a count and a line of names; a CSV with the line alone, and a name for the images.
    counted = len(first) == 1 and first[0].isdigit()
    names = next(lines, (2, []))[1] if counted else first[1:]
    if not names or not (counted or first[0] == "image_id"):
        raise UserError(f"{name}: must begin with a count and a line of attribute names; fetch it again")
    attributes: dict[str, bytes] = {}
    for number, (image, *values) in lines:
        if len(values) != len(names) or not set(values) <= _SIGNS.keys():
            raise UserError(f"{name}, line {number}: must be a name and {len(names)} times -1 or 1; fetch it again")
        attributes[image] = bytes(map(_SIGNS.__getitem__, values))
    if counted and len(attributes) != int(first[0]):
        raise UserError(
            f"{name}: {len(attributes):,} images, and its first line says {int(first[0]):,}; fetch it again"
        )
    return names, attributes

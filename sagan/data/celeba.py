"""CelebA (Liu et al. 2015), aligned and cropped: official images, partition and attributes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sagan.data import originals
from sagan.data.originals import Listing, MissingOriginals, OriginalFile, Source, list_images, md5
from sagan.data.photographs import Refused
from sagan.data.prepared import Content
from sagan.errors import UserError
from sagan.params.datasets import CelebA
from sagan.store.reading import warn_once

URL = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
PARTITION, ATTRIBUTES = "list_eval_partition.txt", "list_attr_celeba.txt"
# The lists, each with the published md5 and the bytes that its values become.
LISTS = {
    PARTITION: ("d32c9cbf5e040fd4025c592c306e6668", {"0": 0, "1": 1, "2": 2}),
    ATTRIBUTES: ("75e246fa4810816ffd6ee81facbd244c", {"-1": 0, "1": 1}),
}
# A flat folder; the authors' share (Img/, Anno/, Eval/); torchvision's downloader (celeba/).
PLACES = (".", "Img", "Anno", "Eval", "celeba")


def locate_celeba(spec: CelebA, source: Path) -> Source:
    """Images and lists below the source."""
    images, passed_over = find_images(source)
    lists = {name: _find_list(source, name) for name in LISTS}
    missing = [] if images else ["img_align_celeba/ (or img_align_celeba.zip, or img_align_celeba-part*.zip)"]
    missing += [f"{name} (or .gz, or .csv)" for name, found in lists.items() if found is None]
    if missing:
        mend = f"get aligned images, attributes and partition from {URL} and put them there, or set download: true"
        raise MissingOriginals(source, f"CelebA is not complete: no {' and no '.join(missing)}", mend)
    read = {name: (file.full, file.content()) for name, file in lists.items()}
    whole = originals.stamp(images, *(md5(content) for _, content in read.values()))
    return Source(whole, lambda: _content(spec, images, passed_over, read))


def find_images(source: Path) -> Listing:
    """The images of a zip, or of a folder that holds img_align_celeba/, its zip, or parts of its zip."""
    if source.is_file():
        return list_images(source)
    for place in PLACES:
        folder = source / place
        zips = sorted(folder.glob("img_align_celeba*.zip"))
        for parts in ([folder / "img_align_celeba"], [folder / "img_align_celeba_png"], zips):
            if (found := list_images(*parts))[0]:
                return found
    return [], Counter()


def _find_list(source: Path, name: str) -> OriginalFile | None:
    """A list in the folder, or in or beside the zip."""
    names = (name, name.replace(".txt", ".csv"))
    if not source.is_file():
        return originals.find_file(source, names, PLACES)
    packed = (file for file in originals.list_files(source)[0] if file.path.name.removesuffix(".gz") in names)
    return originals.find_file(source.parent, names, PLACES) or next(packed, None)


def _content(
    spec: CelebA, images: list[OriginalFile], passed_over: Counter[str], lists: dict[str, tuple[Path, bytes]]
) -> Content:
    for kind, (path, data) in lists.items():
        if (found := md5(data)) != (published := LISTS[kind][0]):
            warn_once(f"{path} is not CelebA's original (md5 {found}, original {published})")
    (_, partition), (names, attributes) = (parse_list(*lists[kind], codes) for kind, (_, codes) in LISTS.items())
    wanted, refused = _match(images, partition, attributes)
    facts = {
        "source": spec.source,
        "passed_over": dict(sorted(passed_over.items())),
        "listed": len(partition),
        "original": all(md5(data) == LISTS[kind][0] for kind, (_, data) in lists.items()),
    }
    return Content(
        images=[*wanted.values()],
        labels=np.frombuffer(b"".join(attributes[name] for name in wanted), np.uint8).reshape(len(wanted), len(names)),
        label_names=names,
        splits=np.array([partition[name][0] for name in wanted]),
        facts=facts,
        refused=refused,
    )


def _match(
    images: Sequence[OriginalFile], partition: Mapping[str, bytes], attributes: Mapping[str, bytes]
) -> tuple[dict[str, OriginalFile], list[Refused]]:
    """The images that both lists know, ordered by split and name, and the others with the reason."""
    wanted, refused = {}, []
    for image in images:
        name = f"{image.path.stem}.jpg"  # the lists have the JPEGs' names for the authors' PNGs too
        if name in wanted:
            refused.append((str(image), f"is there twice, first as {wanted[name]}"))
        elif name not in partition or name not in attributes:
            refused.append((str(image), f"is not in {ATTRIBUTES if name in partition else PARTITION}"))
        else:
            wanted[name] = image
    return {name: wanted[name] for name in sorted(wanted, key=lambda n: (partition[n], n))}, refused


def parse_list(path: Path, data: bytes, codes: Mapping[str, int]) -> tuple[list[str], dict[str, bytes]]:
    """The columns' names, and each image's values as bytes, of a list in one of the forms that are about.

    The authors' begins with its rows (one column without a name), or with their count and a line of names; a CSV with
    that line alone. Spaces, commas or semicolons part fields. A `UserError` names the line that does not hold one of
    the values for each column.
    """
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")
    lines = enumerate(text.replace(",", " ").replace(";", " ").splitlines(), start=1)
    left = [(number, line) for number, line in lines if line.strip()]
    first = left[0][1].split() if left else [""]
    count = int(left.pop(0)[1]) if len(first) == 1 and first[0].isdecimal() else None
    head = left.pop(0)[1].split() if left and (count is not None or first[0] == "image_id") else []
    columns = head[1:] if head[:1] == ["image_id"] else head
    rows: dict[str, bytes] = {}
    for number, line in left:
        image, *values = line.split()
        if len(values) != len(columns or "1") or not codes.keys() >= set(values) or image in rows:
            raise UserError(
                f"{path}, line {number}: {line[:60]!r} must be a new image's name and {len(columns or '1')} times "
                f"{' or '.join(codes)}; fetch it again"
            )
        rows[image] = bytes(map(codes.__getitem__, values))
    if count not in (None, len(rows)):
        raise UserError(f"{path}: {len(rows):,} images, and its first line says {count:,}; fetch it again")
    return columns, rows

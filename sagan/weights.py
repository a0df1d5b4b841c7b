"""Where pretrained weights of feature extractors lie, and what they are. Without torch.

Beside each file of weights lies a record of the same name with the suffix .json: its sha256, where it
came from, and whether it has the classifier layer that the Inception score needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sagan.errors import UserError
from sagan.paths import Paths
from sagan.records import Json, file_digest, read_json

# Extractors whose weights are brought by hand: where they are published, and the sha256 of that file.
BY_HAND = {
    "clip-vit-b-32": (
        "https://openaipublic.azureedge.net/clip/models/"
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    )
}


def extractor_digest(extractor: str, paths: Paths) -> str | None:
    """The sha256 of an extractor's weights; None for one that is trained here.

    Raises:
        UserError: the weights are not there.
    """
    if extractor == "classifier":
        return None
    path = paths.weights_file(extractor, paths.root)
    if not path.exists():
        raise UserError(f"{path}: the weights of {extractor!r} are not there; {_how_to_fetch(extractor, path)}")
    return file_digest(path)


def _how_to_fetch(extractor: str, path: Path) -> str:
    if extractor == "inception":
        return "fetch them with `python -m sagan weights`"
    return f"fetch them with `curl --create-dirs -o {path} {BY_HAND[extractor][0]}`"


def weights_record(path: Path) -> Json | None:
    """What is known of a file of weights; None where there is no record, or the record tells of other bytes."""
    try:
        record = read_json(path.with_suffix(".json"))
    except (OSError, ValueError):
        return None
    return record if record.get("sha256") == file_digest(path) else None


def weights_lines(paths: Paths) -> Iterator[str]:
    """A line for each extractor: where its weights are, what they are good for."""
    yield "classifier  trained on each dataset with classes, for its reference; nothing to fetch"
    yield _inception_line(paths.weights_file("inception", paths.root))
    for extractor, (_, published) in BY_HAND.items():
        path = paths.weights_file(extractor, paths.root)
        if not path.exists():
            yield f"{extractor}  not there ({path}); {_how_to_fetch(extractor, path)}"
            continue
        found = file_digest(path)
        origin = "as published" if found == published else "not the published file"
        yield f"{extractor}  {path}, sha256 {found[:12]}, {origin}: every metric but IS (no classes)"


def _inception_line(path: Path) -> str:
    if not path.exists():
        return f"inception   not there ({path}); `python -m sagan weights` fetches it"
    record = weights_record(path)
    if record is None:
        return f"inception   {path}, of unknown origin, sha256 {file_digest(path)[:12]}"
    use = "every metric" if record["classifier_layer"] else "every metric but IS (no classifier layer)"
    return f"inception   {path}, sha256 {record['sha256'][:12]}, from {record['source']}: {use}"

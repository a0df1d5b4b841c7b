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


def extractor_digest(extractor: str, paths: Paths) -> str | None:
    """The sha256 of an extractor's weights; None for one that is trained here.

    Raises:
        UserError: the weights are not there.
    """
    if extractor == "classifier":
        return None
    path = paths.weights_file(extractor, paths.root)
    if not path.exists():
        raise UserError(f"{path}: the Inception weights are not there; fetch them with `python -m sagan weights`")
    return file_digest(path)


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
    path = paths.weights_file("inception", paths.root)
    if not path.exists():
        yield f"inception   not there ({path}); `python -m sagan weights` fetches it"
        return
    record = weights_record(path)
    if record is None:
        yield f"inception   {path}, of unknown origin, sha256 {file_digest(path)[:12]}"
        return
    use = "every metric" if record["classifier_layer"] else "every metric but IS (no classifier layer)"
    yield f"inception   {path}, sha256 {record['sha256'][:12]}, from {record['source']}: {use}"

"""Where pretrained weights of feature extractors lie, and what they are. Without torch.

A file is known by its sha256: as the one that was published, or by a record beside it (the suffix .json) that
says what it was made from.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sagan.errors import UserError
from sagan.store.paths import SHIPPED, TIMM, Paths
from sagan.store.records import file_digest, read_json


class Published(NamedTuple):
    """A file of weights as its makers publish it; its network ends in ImageNet's classes."""

    url: str
    sha256: str


# The extractor of torch-fidelity.
PUBLISHED = {
    "inception": Published(
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    ),
}


def extractor_digest(extractor: str, paths: Paths) -> str | None:
    """The sha256 of an extractor's weights, None for one trained here; a `UserError` where they are not there."""
    if extractor == "classifier":
        return None
    path = paths.weights_file(extractor)
    if not path.exists():
        fetch = f"fetch them with `python -m sagan weights {extractor}`"
        mend = "install the package anew" if extractor in SHIPPED else fetch
        raise UserError(f"{path}: the weights of {extractor!r} are not there; {mend}")
    return file_digest(path)


def origin_of(extractor: str, path: Path) -> str | None:
    """Where a file's bytes come from, and what they are good for; None where nothing vouches for them."""
    published, sha256 = PUBLISHED.get(extractor), file_digest(path)
    if published is not None and sha256 == published.sha256:
        return "as published: every metric"
    with suppress(OSError, ValueError):
        record = read_json(path.with_suffix(".json"))
        if record.get("sha256") == sha256:
            without = "" if record["classifier_layer"] else " but IS (no classifier layer)"
            return f"from {record['source']}: every metric{without}"
    return None


def weights_lines(paths: Paths, more: Iterable[str] = ()) -> Iterator[str]:
    """A line for each extractor: where its weights are, what they are good for.

    Args:
        more: networks of timm beside those whose files are there.
    """
    there = [f"{TIMM}{path.stem}" for path in sorted(paths.weights.glob("*.safetensors"))]
    names = [*PUBLISHED, *dict.fromkeys([*there, *more])]
    width = max(map(len, (*names, *SHIPPED))) + 2
    yield f"{', '.join(SHIPPED)}: ship with the package"
    yield f"{'classifier':{width}}trained on each dataset with classes, for its reference; nothing to fetch"
    for extractor in names:
        path = paths.weights_file(extractor)
        told = f"not there ({path}); `python -m sagan weights {extractor}` fetches it"
        if path.exists():
            told = f"{path}, sha256 {file_digest(path)[:12]}, {origin_of(extractor, path) or 'of unknown origin'}"
        yield f"{extractor:{width}}{told}"

"""Where pretrained weights of feature extractors lie, and what they are. Without torch."""

from __future__ import annotations

from sagan.errors import UserError
from sagan.paths import Paths
from sagan.records import file_digest

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

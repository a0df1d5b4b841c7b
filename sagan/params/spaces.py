"""The feature spaces that generated and real images are compared in, by name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

DIGITS = ("digits", "digits-2", "digits-3")

Space = Annotated[
    Literal["digits", "digits-2", "digits-3", "random", "stacked-digits", "classifier", "inception"]
    | Annotated[str, Field(pattern=r"^timm:[a-z0-9_]+(\.[A-Za-z0-9_]+)?$")],
    Field(description="a feature space; `timm:NAME` is any network of timm"),
]
# Features of each; FID's covariance needs as many images. Of timm's networks the number is known once they are built.
_FEATURES = dict.fromkeys((*DIGITS, "random", "classifier"), 128) | {"stacked-digits": 384, "inception": 2048}


def features_of(space: str) -> int:
    """How many features an image has there; 0 where that is not known before the network is built."""
    return _FEATURES.get(space, 0)

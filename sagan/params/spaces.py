"""The feature spaces that generated and real images are compared in, by name."""

from __future__ import annotations

import re
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

_IMAGENET = "ImageNet's classes"
# What a network's features were learnt from, of networks that a generator may be trained with.
_LEARNT_FROM = {
    **dict.fromkeys(("classifier", *DIGITS), "the dataset's classes"),
    **{"inception": _IMAGENET, "efficientnet-lite0": _IMAGENET},
}
# How timm's names say so: ImageNet-1k, -12k, -21k or -22k.
_TIMM_IMAGENET = re.compile(r"[._]in(1|12|21|22)k")


def features_of(space: str) -> int:
    """How many features an image has there; 0 where that is not known before the network is built."""
    return _FEATURES.get(space, 0)


def learnt_alike(network: str | None, space: str) -> str | None:
    """What both a fixed network of training and a space's learnt their features from; None where they share none.

    A generator that is trained on the one is rewarded in the other: ImageNet features in training lower Inception's FID
    without better images (Kynkaanniemi et al. 2022).
    """
    learnt = _IMAGENET if _TIMM_IMAGENET.search(space) else _LEARNT_FROM.get(space)
    return learnt if network is not None and learnt == _LEARNT_FROM[network] else None

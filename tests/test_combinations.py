"""Combinations that the literature calls wrong are refused, with the reason in one line."""

import pytest
from pydantic import ValidationError

from sagan.params import Variant


def variant(discriminator=None, **changes):
    return Variant.model_validate(
        {
            "generator": {"width": 8},
            "discriminator": {"width": 8, **(discriminator or {})},
            "objective": "hinge",
            "optimizer": {"lr_g": 1e-4, "betas": [0.0, 0.9]},
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("discriminator", "changes", "reason"),
    [
        ({"norm": "batch"}, {"regularisers": {"gradient_penalty": 10.0}}, "mixes images"),
        ({"norm": "batch"}, {"regularisers": {"r1": 10.0}}, "mixes images"),
        ({"spectral_norm": True}, {"regularisers": {"gradient_penalty": 10.0}}, "spectral norm holds them below"),
        ({}, {"objective": "wasserstein"}, "unbounded"),
    ],
)
def test_refused(discriminator, changes, reason):
    with pytest.raises(ValidationError, match=reason) as error:
        variant(discriminator, **changes)
    assert "\n" not in error.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("discriminator", "changes"),
    [
        ({}, {"objective": "wasserstein", "regularisers": {"gradient_penalty": 10.0}}),
        ({"spectral_norm": True}, {"objective": "wasserstein"}),
        ({"spectral_norm": True}, {"regularisers": {"r1": 1.0}}),
        ({"norm": "batch"}, {}),
    ],
)
def test_accepted(discriminator, changes):
    variant(discriminator, **changes)

"""Objectives against their formulas, written out with logs and sigmoids."""

import math

import pytest
import torch

from sagan.objectives import OBJECTIVES

REAL, FAKE = [0.3, -2.0, 1.7], [-0.4, 0.9, -3.0]


def mean(values):
    return sum(values) / len(values)


def D(logit):
    return 1 / (1 + math.exp(-logit))


FORMULAS = {
    "non-saturating": (
        mean([-math.log(D(r)) for r in REAL]) + mean([-math.log(1 - D(f)) for f in FAKE]),
        mean([-math.log(D(f)) for f in FAKE]),
    ),
    "hinge": (mean([max(0, 1 - r) for r in REAL]) + mean([max(0, 1 + f) for f in FAKE]), mean([-f for f in FAKE])),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_formula(name):
    of_discriminator, of_generator = FORMULAS[name]
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    assert float(OBJECTIVES[name].discriminator(real, fake)) == pytest.approx(of_discriminator, rel=1e-6)
    assert float(OBJECTIVES[name].generator(fake)) == pytest.approx(of_generator, rel=1e-6)

"""Objectives against their formulas, written out with logs and sigmoids."""

import math

import pytest
import torch

from sagan.objectives import OBJECTIVES, Judged, gradient_penalty, r1_penalty, r2_penalty

REAL, FAKE = [0.3, -2.0, 1.7], [-0.4, 0.9, -3.0]


def mean(values):
    return sum(values) / len(values)


def D(logit):
    return 1 / (1 + math.exp(-logit))


FORMULAS = {
    "minimax": (
        mean([-math.log(D(r)) for r in REAL]) + mean([-math.log(1 - D(f)) for f in FAKE]),
        mean([math.log(1 - D(f)) for f in FAKE]),
    ),
    "least-squares": (
        mean([(r - 1) ** 2 / 2 for r in REAL]) + mean([f**2 / 2 for f in FAKE]),
        mean([(f - 1) ** 2 / 2 for f in FAKE]),
    ),
    "wasserstein": (mean(FAKE) - mean(REAL), -mean(FAKE)),
    "non-saturating": (
        mean([-math.log(D(r)) for r in REAL]) + mean([-math.log(1 - D(f)) for f in FAKE]),
        mean([-math.log(D(f)) for f in FAKE]),
    ),
    "relativistic": (
        mean([-math.log(D(r - f)) for r, f in zip(REAL, FAKE, strict=True)]),
        mean([-math.log(D(f - r)) for r, f in zip(REAL, FAKE, strict=True)]),
    ),
    "hinge": (mean([max(0, 1 - r) for r in REAL]) + mean([max(0, 1 + f) for f in FAKE]), mean([-f for f in FAKE])),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_formula(name):
    of_discriminator, of_generator = FORMULAS[name]
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    assert float(OBJECTIVES[name].discriminator(real, fake)) == pytest.approx(of_discriminator, rel=1e-6)
    assert float(OBJECTIVES[name].generator(real, fake)) == pytest.approx(of_generator, rel=1e-6)


def test_only_objectives_that_compare_see_real_images():
    """The others' losses for the generator do not depend on them, and are given none."""
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    for objective in OBJECTIVES.values():
        if not objective.compares:
            assert torch.equal(objective.generator(None, fake), objective.generator(real, fake))


def judged(critic, real, fake, shares=None):
    return Judged(critic, real, fake, real, fake, critic(real), critic(fake), shares)


def quadratic(images):
    """D(x) = |x|^2 / 2, whose gradient is x."""
    return images.flatten(1).square().sum(1) / 2


def test_the_gradient_penalty_of_a_known_critic():
    torch.manual_seed(0)
    real, fake, shares = torch.randn(5, 3, 4, 4), torch.randn(5, 3, 4, 4), torch.rand(5, 1, 1, 1)
    expected = 0.0
    for r, f, share in zip(real, fake, shares, strict=True):
        mixed = share * r + (1 - share) * f
        expected += (float(mixed.square().sum()) ** 0.5 - 1) ** 2 / 5
    assert gradient_penalty(judged(quadratic, real, fake, shares)).item() == pytest.approx(expected, rel=1e-5)


def test_r1_and_r2_of_a_known_critic():
    torch.manual_seed(0)
    real, fake = (torch.randn(5, 3, 4, 4, requires_grad=True) for _ in range(2))
    for penalty, images in ((r1_penalty, real), (r2_penalty, fake)):
        expected = mean([float(image.square().sum()) for image in images]) / 2
        assert penalty(judged(quadratic, real, fake)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("scales", [1, 2])
def test_penalties_reach_the_weights(scales):
    weight = torch.full((3,), 2.0, requires_grad=True)

    def critic(images):
        logits = (images.sum((2, 3)) * weight).sum(1)
        return logits if scales == 1 else torch.stack([logits, logits], 1)

    real = torch.randn(4, 3, 2, 2, requires_grad=True)
    # The gradient's norm is sqrt(4 * 3 * 2^2) everywhere.
    r1 = r1_penalty(judged(critic, real, real))
    assert r1.item() == pytest.approx(24)
    torch.testing.assert_close(torch.autograd.grad(r1, weight)[0], 4 * weight)
    penalty = gradient_penalty(judged(critic, real.detach(), real.detach(), torch.rand(4, 1, 1, 1)))
    assert penalty.item() == pytest.approx((48**0.5 - 1) ** 2, rel=1e-5)
    assert torch.autograd.grad(penalty, weight)[0].abs().min() > 0

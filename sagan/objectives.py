"""GAN objectives and gradient penalties: pure functions, each returning a scalar to be minimised.

`real` and `fake` are logits [B] (or [B, S] at S scales), high for real; `fake` of the generator's loss carries
the gradient to the generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Objective:
    """A pair of losses."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def non_saturating_d(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))), with D the sigmoid of the logits (Goodfellow et al. 2014, eq. 1)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def non_saturating_g(fake: Tensor) -> Tensor:
    """-log D(G(z)) (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fake).mean()


def minimax_g(fake: Tensor) -> Tensor:
    """log(1 - D(G(z))) (Goodfellow et al. 2014, eq. 1)."""
    return -F.softplus(fake).mean()


def hinge_d(real: Tensor, fake: Tensor) -> Tensor:
    """max(0, 1 - real) + max(0, 1 + fake) (Lim & Ye 2017; SAGAN, eq. 4)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_g(fake: Tensor) -> Tensor:
    """-fake (SAGAN, eq. 4)."""
    return -fake.mean()


def least_squares_d(real: Tensor, fake: Tensor) -> Tensor:
    """(real - 1)^2 / 2 + fake^2 / 2 (Mao et al. 2017, eq. 9)."""
    return (real - 1).square().mean() / 2 + fake.square().mean() / 2


def least_squares_g(fake: Tensor) -> Tensor:
    """(fake - 1)^2 / 2 (Mao et al. 2017, eq. 9)."""
    return (fake - 1).square().mean() / 2


def wasserstein_d(real: Tensor, fake: Tensor) -> Tensor:
    """fake - real (Arjovsky et al. 2017, eq. 2)."""
    return fake.mean() - real.mean()


OBJECTIVES = {
    "non-saturating": Objective(non_saturating_d, non_saturating_g),
    "minimax": Objective(non_saturating_d, minimax_g),
    "hinge": Objective(hinge_d, hinge_g),
    "least-squares": Objective(least_squares_d, least_squares_g),
    "wasserstein": Objective(wasserstein_d, hinge_g),
}


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, shares: Tensor) -> Tensor:
    """(|grad D(x)| - 1)^2 at x = share * real + (1 - share) * fake (Gulrajani et al. 2017, eq. 3).

    Args:
        critic: images [B, C, R, R] -> logits.
        shares: [B, 1, 1, 1], uniform in [0, 1).
    """
    mixed = torch.lerp(fake, real, shares).requires_grad_(True)
    return (_gradient(critic(mixed), mixed).norm(dim=1) - 1).square().mean()


def r1_penalty(logits: Tensor, real: Tensor) -> Tensor:
    """|grad D(x)|^2 at real images, which must require gradients (Mescheder et al. 2018, eq. 9, without gamma/2)."""
    return _gradient(logits, real).square().sum(1).mean()


def _gradient(logits: Tensor, images: Tensor) -> Tensor:
    """The gradient of each image's mean logit, flat, [B, C*R*R]."""
    total = logits.flatten(1).mean(1).sum() if logits.dim() > 1 else logits.sum()
    return torch.autograd.grad(total, images, create_graph=True)[0].flatten(1)

"""GAN objectives and penalties: pure functions, each returning a scalar to be minimised.

`real` and `fake` are logits [B] (or [B, S] at S scales), high for real. The generator's loss sees both: `fake` carries
the gradient to the generator, and `real` is None unless the objective says that it wants it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sagan.code.fingerprint import Table


@dataclass(frozen=True)
class Objective:
    """A pair of losses, each of (logits of real images, logits of fakes)."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor | None, Tensor], Tensor]
    compares: bool = False  # whether the generator's loss wants the logits of real images, which cost a pass


def non_saturating_d(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))), with D the sigmoid of the logits (Goodfellow et al. 2014, eq. 1)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def non_saturating_g(real: Tensor | None, fake: Tensor) -> Tensor:
    """-log D(G(z)) (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fake).mean()


def minimax_g(real: Tensor | None, fake: Tensor) -> Tensor:
    """log(1 - D(G(z))) (Goodfellow et al. 2014, eq. 1)."""
    return -F.softplus(fake).mean()


def hinge_d(real: Tensor, fake: Tensor) -> Tensor:
    """max(0, 1 - real) + max(0, 1 + fake) (Lim & Ye 2017; SAGAN, eq. 4)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_g(real: Tensor | None, fake: Tensor) -> Tensor:
    """-fake (SAGAN, eq. 4)."""
    return -fake.mean()


def least_squares_d(real: Tensor, fake: Tensor) -> Tensor:
    """(real - 1)^2 / 2 + fake^2 / 2 (Mao et al. 2017, eq. 9)."""
    return (real - 1).square().mean() / 2 + fake.square().mean() / 2


def least_squares_g(real: Tensor | None, fake: Tensor) -> Tensor:
    """(fake - 1)^2 / 2 (Mao et al. 2017, eq. 9)."""
    return (fake - 1).square().mean() / 2


def wasserstein_d(real: Tensor, fake: Tensor) -> Tensor:
    """fake - real (Arjovsky et al. 2017, eq. 2)."""
    return fake.mean() - real.mean()


def relativistic_d(real: Tensor, fake: Tensor) -> Tensor:
    """-log sigmoid(D(x) - D(G(z))), pair by pair (Jolicoeur-Martineau 2019, eq. 3; Huang et al. 2024, eq. 2)."""
    return F.softplus(fake - real).mean()


def relativistic_g(real: Tensor | None, fake: Tensor) -> Tensor:
    """-log sigmoid(D(G(z)) - D(x)): the mirror image."""
    return F.softplus(real - fake).mean()


OBJECTIVES: Table[str, Objective] = {
    "non-saturating": Objective(non_saturating_d, non_saturating_g),
    "minimax": Objective(non_saturating_d, minimax_g),
    "hinge": Objective(hinge_d, hinge_g),
    "least-squares": Objective(least_squares_d, least_squares_g),
    "wasserstein": Objective(wasserstein_d, hinge_g),
    "relativistic": Objective(relativistic_d, relativistic_g, compares=True),
}


@dataclass(frozen=True)
class Judged:
    """One pass of the discriminator over a batch, as penalties see it."""

    critic: Callable[[Tensor], Tensor]  # images [B, C, R, R] -> logits, with the classes of the real images, if any
    real: Tensor  # images before augmentation, as `fake`; the side that a penalty differentiates at requires gradients
    fake: Tensor
    seen_real: Tensor  # the same as the discriminator saw them, without gradients
    seen_fake: Tensor
    logits_real: Tensor  # with `logits_fake` what the discriminator's loss is computed of
    logits_fake: Tensor
    shares: Tensor | None = None  # [B, 1, 1, 1], uniform in [0, 1); None where no penalty mixes


@dataclass(frozen=True)
class Penalty:
    """What is added, times its weight, to the discriminator's loss."""

    function: Callable[[Judged], Tensor]
    at_real: bool = False  # whether it differentiates the logits at these images
    at_fake: bool = False
    mixes: bool = False  # whether it draws a share of each pair of images


def gradient_penalty(judged: Judged) -> Tensor:
    """(|grad D(x)| - 1)^2 at x = share * real + (1 - share) * fake (Gulrajani et al. 2017, eq. 3)."""
    mixed = torch.lerp(judged.seen_fake, judged.seen_real, judged.shares).requires_grad_(True)
    return (_gradient(judged.critic(mixed), mixed).norm(dim=1) - 1).square().mean()


def r1_penalty(judged: Judged) -> Tensor:
    """|grad D(x)|^2 / 2 at real images (Mescheder et al. 2018, eq. 9), before augmentation (Karras et al. 2020)."""
    return _gradient(judged.logits_real, judged.real).square().sum(1).mean() / 2


def r2_penalty(judged: Judged) -> Tensor:
    """|grad D(x)|^2 / 2 at fakes (Mescheder et al. 2018, eq. 10)."""
    return _gradient(judged.logits_fake, judged.fake).square().sum(1).mean() / 2


def _gradient(logits: Tensor, images: Tensor) -> Tensor:
    """The gradient of each image's mean logit, flat, [B, C*R*R]."""
    total = logits.flatten(1).mean(1).sum() if logits.dim() > 1 else logits.sum()
    return torch.autograd.grad(total, images, create_graph=True)[0].flatten(1)


# In the order in which they are added up. A regulariser of this name is its weight.
PENALTIES: Table[str, Penalty] = {
    "r1": Penalty(r1_penalty, at_real=True),
    "r2": Penalty(r2_penalty, at_fake=True),
    "gradient_penalty": Penalty(gradient_penalty, mixes=True),
}

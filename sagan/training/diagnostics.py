"""What is read off a trainer between steps. Nothing here changes it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sagan.nn.attention import gammas
from sagan.nn.spectral import sigmas
from sagan.training.seeds import derived_seed
from sagan.training.step import Trainer

# Images of each side whose scores are compared.
_SCORED = 500
_SCORED_AT_ONCE = 100


def diagnostics(trainer: Trainer) -> dict[str, Tensor]:
    """gamma of each attention layer and sigma of each normalised one: scalars on the device."""
    scalars = {}
    for role, network in (("generator", trainer.generator), ("discriminator", trainer.discriminator)):
        scalars |= {f"gamma.{role}.{side}": gamma for side, gamma in gammas(network).items()}
        scalars |= {f"sigma.{role}.{layer}": sigma for layer, sigma in sigmas(network).items()}
    return scalars


def weights_finite(trainer: Trainer) -> Tensor:
    """Whether every weight of both networks is finite, as a boolean scalar on the device."""
    weights = [*trainer.generator.parameters(), *trainer.discriminator.parameters()]
    return torch.stack(torch._foreach_norm(weights)).isfinite().all()


@torch.no_grad()
def mean_score(trainer: Trainer, images: np.ndarray) -> Tensor:
    """The discriminator's mean logit over some of the images, uint8 [N, C, R, R]: a scalar on the device.

    The images are the same at every call. Batch norm uses its running statistics, and classes are not told.
    """
    rows = np.random.default_rng(derived_seed(0, "scored images", 0)).permutation(len(images))[:_SCORED]
    trainer.discriminator.eval()
    scores = []
    for part in np.array_split(np.sort(rows), -(-len(rows) // _SCORED_AT_ONCE)):
        batch = torch.from_numpy(np.array(images[part])).to(trainer.device).float().div_(127.5).sub_(1.0)
        scores.append(trainer.discriminator(batch.contiguous(memory_format=trainer.layout), None).float().flatten())
    trainer.discriminator.train()
    return torch.cat(scores).mean()

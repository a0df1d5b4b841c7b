"""The z that pictures and figures are made of."""

from __future__ import annotations

import torch
from torch import Tensor

from sagan.training.seeds import derived_seed

# Images a side of the grid of samples.
GRID = 8


def latents(z_dim: int, count: int, seed: int, purpose: str = "grid", draw: int = 0) -> Tensor:
    """z [count, z_dim] ~ N(0, 1), the same for a seed, purpose and draw, and unrelated to those of others.

    The first z of a longer set are not those of a shorter one: take rows of one set.
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, purpose, draw))
    return torch.randn(count, z_dim, generator=generator)


def walk(start: Tensor, end: Tensor, count: int) -> Tensor:
    """`count` points from z to z [z_dim], on the arc between them, where N(0, 1) has its mass (White 2016)."""
    angle = torch.acos(torch.cosine_similarity(start, end, dim=0).clamp(-1, 1))
    shares = torch.linspace(0, 1, count)[:, None]
    return (torch.sin((1 - shares) * angle) * start + torch.sin(shares * angle) * end) / torch.sin(angle)

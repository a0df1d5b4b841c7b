"""The z that pictures and figures are made of."""

from __future__ import annotations

import torch
from torch import Tensor

from sagan.seeds import derived_seed


def latents(z_dim: int, count: int, seed: int, purpose: str = "grid") -> Tensor:
    """z [count, z_dim] ~ N(0, 1), the same for a seed and a purpose, and different from those of other purposes."""
    generator = torch.Generator().manual_seed(derived_seed(seed, purpose, 0))
    return torch.randn(count, z_dim, generator=generator)


def walk(start: Tensor, end: Tensor, count: int) -> Tensor:
    """`count` points from z to z [z_dim], on the arc between them, where N(0, 1) has its mass (White 2016)."""
    angle = torch.acos(torch.cosine_similarity(start, end, dim=0).clamp(-1, 1))
    shares = torch.linspace(0, 1, count)[:, None]
    return (torch.sin((1 - shares) * angle) * start + torch.sin(shares * angle) * end) / torch.sin(angle)

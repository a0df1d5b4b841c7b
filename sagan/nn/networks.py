"""The two networks that every backbone fills with its own stages, and discriminators at several scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagan.nn.conditional import Chain, ClassShares, Head, Layers
from sagan.nn.parts import Parts


class Generator(nn.Module):
    """z [B, z_dim] ~ N(0, 1) -> images [B, C, R, R] in (-1, 1).

    Args:
        channels, side: of the first feature map, which a linear layer makes of z.
        stem_bias: whether that layer has a bias.
        stages: from the first feature map to images.
    """

    def __init__(self, z_dim: int, channels: int, side: int, stem_bias: bool, stages: Layers, parts: Parts) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.shares = ClassShares(parts.classes) if parts.classes else None
        self.stem = parts.wrap(nn.Linear(z_dim, channels * side**2, bias=stem_bias))
        self.unflatten = nn.Unflatten(1, (channels, side, side))
        self.stages = Chain(stages)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Labels int64 [B] matter where there are classes; without them the training set's shares give some."""
        if self.shares is not None and labels is None:
            labels = self.shares(len(z))
        return self.stages(self.unflatten(self.stem(z)), labels)


class Discriminator(nn.Module):
    """Images [B, C, R, R] in [-1, 1] -> logits [B], high for real.

    Args:
        stages: from images to features [B, D].
        features: D.
    """

    def __init__(self, stages: Layers, features: int, parts: Parts) -> None:
        super().__init__()
        self.stages = Chain(stages)
        self.head = Head(features, parts.classes, parts.wrap)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Where there are classes but no labels, the part of the logits that is common to all classes."""
        return self.head(self.stages(images), labels)


class SumPool(nn.Module):
    """Feature maps [B, C, H, W] -> features [B, C]: the sum over positions."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.sum((2, 3))


class MultiScale(nn.Module):
    """Images [B, C, R, R] -> logits [B, S]: discriminator s sees the images at R / 2^s, halved by 2x2 means.

    pix2pixHD (Wang et al. 2018, section 3.2).
    """

    def __init__(self, discriminators: Sequence[nn.Module]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(discriminators)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        logits = []
        for position, discriminator in enumerate(self.scales):
            images = F.avg_pool2d(images, 2) if position else images
            logits.append(discriminator(images, labels))
        return torch.stack(logits, 1)

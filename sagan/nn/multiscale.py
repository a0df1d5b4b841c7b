"""Discriminators at several scales (pix2pixHD, Wang et al. 2018, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MultiScale(nn.Module):
    """Images [B, C, R, R] -> logits [B, S]: discriminator s sees the images at R / 2^s, halved by 2x2 means."""

    def __init__(self, discriminators: Sequence[nn.Module]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(discriminators)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        logits = []
        for position, discriminator in enumerate(self.scales):
            images = F.avg_pool2d(images, 2) if position else images
            logits.append(discriminator(images, labels))
        return torch.stack(logits, 1)

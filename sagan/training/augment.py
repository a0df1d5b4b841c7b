"""Differentiable augmentation (Zhao et al. 2020): what the discriminator sees, real and generated, is altered alike.

Each function takes images [B, C, R, R] in [-1, 1] and random numbers that are a function of the seed and the step
alone, and lets gradients through.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def augmented(images: Tensor, kinds: Sequence[str], random: torch.Generator) -> Tensor:
    """Images after each kind of augmentation in turn: "color", "translation", "cutout"."""
    for kind in kinds:
        images = AUGMENTATIONS[kind](images, random)
    return images


def color(images: Tensor, random: torch.Generator) -> Tensor:
    """Brightness + U(-0.5, 0.5), saturation * U(0, 2), contrast * U(0.5, 1.5), in this order."""
    brightness, saturation, contrast = _uniform(images, 3, random)
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * (2 * saturation) + grey
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + 0.5) + mean


def translation(images: Tensor, random: torch.Generator) -> Tensor:
    """A shift by up to an eighth of the side both ways, filled with zeros."""
    side = images.shape[-1]
    reach = side // 8
    down, right = ((share * (2 * reach + 1)).floor().long() for share in _uniform(images, 2, random))
    padded = F.pad(images, [reach] * 4)
    positions = torch.arange(side, device=images.device)
    rows, columns = positions.view(1, -1, 1) + down.view(-1, 1, 1), positions.view(1, 1, -1) + right.view(-1, 1, 1)
    batch = torch.arange(len(images), device=images.device).view(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2)


def cutout(images: Tensor, random: torch.Generator) -> Tensor:
    """A square of half the side, centred anywhere, set to zero."""
    side = images.shape[-1]
    positions = torch.arange(side, device=images.device)
    starts = [(share * side).floor() - side // 4 for share in _uniform(images, 2, random)]
    down, right = ((positions >= start.view(-1, 1)) & (positions < start.view(-1, 1) + side // 2) for start in starts)
    inside = down[:, None, :, None] & right[:, None, None, :]
    return images * ~inside


def _uniform(images: Tensor, count: int, random: torch.Generator) -> list[Tensor]:
    """`count` numbers in [0, 1) for each image, each [B, 1, 1, 1]."""
    numbers = torch.rand(count, len(images), 1, 1, 1, generator=random, device=images.device)
    return list(numbers)


AUGMENTATIONS = {"color": color, "translation": translation, "cutout": cutout}

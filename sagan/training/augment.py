"""Differentiable augmentation (Zhao et al. 2020): what the discriminator sees, real and generated, is altered alike.

Each function takes images [B, C, R, R] in [-1, 1] and random numbers [B] in [0, 1), and lets gradients through.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sagan.code.fingerprint import Table


def augmented(images: Tensor, kinds: Sequence[str], numbers: Tensor) -> Tensor:
    """Images after each kind of augmentation in turn, with numbers [B, `numbers_needed(kinds)`] in [0, 1)."""
    for kind in kinds:
        function, count = AUGMENTATIONS[kind]
        images = function(images, *numbers[:, :count].t())
        numbers = numbers[:, count:]
    return images


def numbers_needed(kinds: Sequence[str]) -> int:
    """How many random numbers an image takes."""
    return sum(AUGMENTATIONS[kind][1] for kind in kinds)


def color(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Brightness + U(-0.5, 0.5), saturation * U(0, 2), contrast * U(0.5, 1.5), in this order."""
    brightness, saturation, contrast = (n.view(-1, 1, 1, 1) for n in (brightness, saturation, contrast))
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * (2 * saturation) + grey
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + 0.5) + mean


def translation(images: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """A shift by up to an eighth of the side both ways, rounded (4 of 28), filled with zeros."""
    side = images.shape[-1]
    reach = int(side / 8 + 0.5)
    down, right = ((share * (2 * reach + 1)).floor().long() for share in (vertical, horizontal))
    padded = F.pad(images, [reach] * 4)
    positions = torch.arange(side, device=images.device)
    rows, columns = positions.view(1, -1, 1) + down.view(-1, 1, 1), positions.view(1, 1, -1) + right.view(-1, 1, 1)
    batch = torch.arange(len(images), device=images.device).view(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2)


def cutout(images: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """A square of half the side, rounded, set to zero; where that is even, a side of N has N + 1 centres."""
    side = images.shape[-1]
    size = int(side / 2 + 0.5)
    positions = torch.arange(side, device=images.device)
    starts = [(share * (side + 1 - size % 2)).floor() - size // 2 for share in (vertical, horizontal)]
    down, right = ((positions >= start.view(-1, 1)) & (positions < start.view(-1, 1) + size) for start in starts)
    inside = down[:, None, :, None] & right[:, None, None, :]
    return images * ~inside


# Kind -> function and the random numbers that an image takes.
AUGMENTATIONS: Table[str, tuple[Callable[..., Tensor], int]] = {
    "color": (color, 3),
    "translation": (translation, 2),
    "cutout": (cutout, 2),
}

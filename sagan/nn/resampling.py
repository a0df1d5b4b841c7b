"""Convolutions of upsampled maps and means of convolutions, computed as one strided convolution each.

Nearest upsampling followed by a 3x3 convolution is a transposed 4x4 convolution of stride 2, and a 3x3 convolution
followed by the mean over 2x2 is a 4x4 convolution of stride 2: in both, taps that meet the same pixel are summed
beforehand. 16 products stand for 36 (Karras et al. 2018 train their fused layers so; here the 3x3 weight stays the
parameter, which spectral norm sees, and the result is the same function).
"""

import torch.nn.functional as F
from torch import Tensor, nn

# Where the 3x3 weight lies within the 4x4 one, for each of the four taps that are summed: (left, right, top, bottom).
_SHIFTS = ((0, 1, 0, 1), (1, 0, 0, 1), (0, 1, 1, 0), (1, 0, 1, 0))


class UpConv2d(nn.Conv2d):
    """Twice the side by nearest neighbours, then a 3x3 convolution: [B, C, H, W] -> [B, D, 2H, 2W]."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, 1, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        weight_CD44 = _widened(self.weight).flip(2, 3).transpose(0, 1)
        return F.conv_transpose2d(x_BCHW, weight_CD44, self.bias, stride=2, padding=1)


class DownConv2d(nn.Conv2d):
    """A 3x3 convolution, then means over 2x2: [B, C, H, W] with even sides -> [B, D, H/2, W/2]."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, 1, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.conv2d(x_BCHW, _widened(self.weight) / 4, self.bias, stride=2, padding=1)


def upsampled(x_BCHW: Tensor) -> Tensor:
    """Twice the side, nearest neighbours."""
    return F.interpolate(x_BCHW, scale_factor=2, mode="nearest")


def _widened(weight_DC33: Tensor) -> Tensor:
    """The sum of a 3x3 kernel's four shifts within 4x4."""
    return sum(F.pad(weight_DC33, shift) for shift in _SHIFTS)

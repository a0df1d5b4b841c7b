"""The residual networks of SN-GAN (Miyato et al. 2018, appendix B.4, tables 4-6) and SAGAN (official code).

The two differ in one thing: the first convolution of a discriminator's block keeps the block's input channels in
SN-GAN's code and has its output channels in SAGAN's. No ReLU works in place, so that no shortcut sees rectified input.
`sagan.shapes` has the channels in units of `width`: in table 4 (28 and 32 pixels) 256 and 128, else 64.
"""

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

from sagan.nn.parts import Chain, Conditioned, Discriminator, Generator, Layers, Parts, SumPool
from sagan.nn.resampling import DownConv2d, UpConv2d, upsampled
from sagan.shapes import RESIDUAL_DOWN, RESIDUAL_UP


def generator(backbone: str, resolution: int, image_channels: int, z_dim: int, width: int, parts: Parts) -> nn.Module:
    first_side, multiple = RESIDUAL_UP[resolution][0]
    stages = _up(resolution, image_channels, width, parts)
    return Generator(z_dim, width * multiple, first_side, True, stages, parts)


def discriminator(backbone: str, resolution: int, image_channels: int, width: int, parts: Parts) -> nn.Module:
    blocks = [(side, width * multiple) for side, multiple in RESIDUAL_DOWN[resolution]]
    stages = down_stages(blocks, resolution, image_channels, backbone != "sngan-resnet", parts)
    return Discriminator(stages, blocks[-1][1], parts)


def _up(resolution: int, image_channels: int, width: int, parts: Parts) -> Layers:
    stages = [(side, width * multiple) for side, multiple in RESIDUAL_UP[resolution]]
    for (_, before), (side, after) in itertools.pairwise(stages):
        norms = [list(parts.norm("norm", channels)) for channels in (before, after)]
        yield f"block{side}", UpBlock(before, after, norms, parts)
        yield from parts.attention(side, after)
    yield from image_layers(stages[-1][1], image_channels, parts)


def image_layers(channels: int, image_channels: int, parts: Parts) -> Layers:
    """norm, ReLU, 3x3, tanh: how residual generators end."""
    yield from parts.plain_norm("norm", channels)
    yield "relu", nn.ReLU()
    yield "image", parts.wrap(nn.Conv2d(channels, image_channels, 3, 1, 1))
    yield "tanh", nn.Tanh()


def down_stages(
    blocks: list[tuple[int, int]], resolution: int, image_channels: int, wide: bool, parts: Parts
) -> Layers:
    """From images to summed features; `blocks` are the side and channels after each block."""
    previous_side, previous = resolution, image_channels
    for position, (side, channels) in enumerate(blocks):
        is_first, halves = position == 0, side < previous_side
        yield f"block{position}_{side}", DownBlock(previous, channels, is_first, halves, wide, parts)
        if side not in [earlier for earlier, _ in blocks[:position]]:
            yield from parts.attention(side, channels)
        previous_side, previous = side, channels
    yield "relu", nn.ReLU()
    yield "pool", SumPool()


class UpBlock(Conditioned):
    """norm, ReLU, up, 3x3, norm, ReLU, 3x3; the shortcut is up, 1x1. Without norms these are empty lists."""

    def __init__(self, before: int, after: int, norms: list[list[tuple[str, nn.Module]]], parts: Parts) -> None:
        super().__init__()
        self.enter = Chain([*norms[0], ("relu", nn.ReLU())])
        self.conv1 = parts.wrap(_gained(UpConv2d(before, after)))
        self.middle = Chain([*norms[1], ("relu", nn.ReLU())])
        self.conv2 = parts.wrap(_gained(nn.Conv2d(after, after, 3, 1, 1)))
        self.shortcut = parts.wrap(nn.Conv2d(before, after, 1))

    def forward(self, x_BCHW: Tensor, condition: Tensor | None) -> Tensor:
        h = self.conv1(self.enter(x_BCHW, condition))
        # A 1x1 convolution and the upsampling of its result commute: a quarter of the work.
        return self.conv2(self.middle(h, condition)) + upsampled(self.shortcut(x_BCHW))


class DownBlock(nn.Module):
    """ReLU, 3x3, ReLU, 3x3, mean over 2x2; the shortcut is mean over 2x2, 1x1 (the two commute).

    Args:
        is_first: images are not rectified.
        halves: whether the side is halved; where it is not and channels stay, the shortcut is the identity.
        wide: whether the first convolution has the block's output channels, and not its input's.
    """

    def __init__(self, before: int, after: int, is_first: bool, halves: bool, wide: bool, parts: Parts) -> None:
        super().__init__()
        hidden = after if wide or is_first else before
        self.is_first, self.halves = is_first, halves
        self.conv1 = parts.wrap(_gained(nn.Conv2d(before, hidden, 3, 1, 1)))
        last = DownConv2d(hidden, after) if halves else nn.Conv2d(hidden, after, 3, 1, 1)
        self.conv2 = parts.wrap(_gained(last))
        self.shortcut = parts.wrap(nn.Conv2d(before, after, 1)) if halves or before != after else nn.Identity()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h = self.conv1(x_BCHW if self.is_first else F.relu(x_BCHW))
        h = self.conv2(F.relu(h))
        return h + self.shortcut(F.avg_pool2d(x_BCHW, 2) if self.halves else x_BCHW)


def _gained(conv: nn.Conv2d) -> nn.Conv2d:
    # Glorot with a gain for the ReLU before it; shortcuts have none (Miyato et al.'s code). Read by `initialise`.
    conv.init_gain = 2**0.5
    return conv

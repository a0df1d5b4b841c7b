"""The standard CNN of SN-GAN (Miyato et al. 2018, appendix B.4, table 3).

Channels double at each halving of the side from `width` at the image's own: with width 64, 512, 256, 128 and 64. The
discriminator is 3x3 and 4x4 (stride 2) convolutions in turn, with LeakyReLU 0.1. docs/variants.md says what the table
does not show.
"""

from torch import nn

from sagan.nn.dcgan import up_stages
from sagan.nn.parts import Discriminator, Generator, Layers, Parts
from sagan.shapes import doublings


def generator(backbone: str, resolution: int, image_channels: int, z_dim: int, width: int, parts: Parts) -> nn.Module:
    channels = _channels(backbone, resolution, width)
    side = min(channels)
    stages = up_stages(channels, nn.Conv2d(width, image_channels, 3, 1, 1), parts)
    return Generator(z_dim, channels[side], side, not parts.normalises, stages, parts)


def discriminator(backbone: str, resolution: int, image_channels: int, width: int, parts: Parts) -> nn.Module:
    channels = _channels(backbone, resolution, width)
    side = min(channels)
    return Discriminator(_down(channels, image_channels, parts), channels[side] * side**2, parts)


def _channels(backbone: str, resolution: int, width: int) -> dict[int, int]:
    """Feature side -> channels, smallest side first."""
    return {side: width * (resolution // side) for side in doublings(backbone, resolution)}


def _down(channels: dict[int, int], image_channels: int, parts: Parts) -> Layers:
    previous = image_channels
    for position, (side, count) in enumerate(reversed(channels.items())):
        if position > 0:
            yield f"down{side}", parts.wrap(nn.Conv2d(previous, previous, 4, 2, 1))
            yield from parts.plain_norm(f"norm{side}", previous)
            yield f"down_relu{side}", nn.LeakyReLU(0.1)
        yield f"conv{side}", parts.wrap(nn.Conv2d(previous, count, 3, 1, 1))
        if position > 0:
            yield from parts.plain_norm(f"conv_norm{side}", count)
        yield f"relu{side}", nn.LeakyReLU(0.1)
        yield from parts.attention(side, count)
        previous = count
    yield "flatten", nn.Flatten()

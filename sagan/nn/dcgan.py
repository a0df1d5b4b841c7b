"""The DCGAN backbone (Radford et al. 2015, section 3) for 28, 32, 64 and 128 pixels, with switches.

The generator doubles the side at each stage with a 4x4 transposed convolution of stride 2; the discriminator mirrors
it. The largest feature map has half the image's side and `width` channels; channels double at each halving of the side,
up to 8 * width. Batch norm, where the discriminator has it, spares the first layer. "faces" is the same network from
8x8 on at 64 pixels: with width 64, 8x8x256, 16x16x128, 32x32x64.
"""

from torch import nn

from sagan.nn.parts import Discriminator, Generator, Layers, Parts
from sagan.shapes import doublings


def stage_channels(backbone: str, resolution: int, width: int) -> dict[int, int]:
    """Feature side -> channels, smallest side first.

    >>> stage_channels("dcgan", 64, 32)
    {4: 256, 8: 128, 16: 64, 32: 32}
    """
    sides = doublings(backbone, resolution)[:-1]
    return {side: width * min(8, sides[-1] // side) for side in sides}


def generator(backbone: str, resolution: int, image_channels: int, z_dim: int, width: int, parts: Parts) -> nn.Module:
    channels = stage_channels(backbone, resolution, width)
    side = min(channels)
    stages = up_stages(channels, nn.ConvTranspose2d(channels[max(channels)], image_channels, 4, 2, 1), parts)
    return Generator(z_dim, channels[side], side, not parts.normalises, stages, parts)


def discriminator(backbone: str, resolution: int, image_channels: int, width: int, parts: Parts) -> nn.Module:
    channels = stage_channels(backbone, resolution, width)
    side = min(channels)
    return Discriminator(_down(channels, image_channels, parts), channels[side] * side**2, parts)


def up_stages(channels: dict[int, int], to_image: nn.Module, parts: Parts) -> Layers:
    """Through the feature maps `channels` (side -> channels, smallest side first) to images."""
    previous = None
    for side, count in channels.items():
        if previous is not None:
            yield f"up{side}", parts.wrap(nn.ConvTranspose2d(previous, count, 4, 2, 1, bias=not parts.normalises))
        yield from parts.norm(f"norm{side}", count)
        yield f"relu{side}", nn.ReLU()
        yield from parts.attention(side, count)
        previous = count
    yield "image", parts.wrap(to_image)
    yield "tanh", nn.Tanh()


def _down(channels: dict[int, int], image_channels: int, parts: Parts) -> Layers:
    previous = image_channels
    for position, (side, count) in enumerate(reversed(channels.items())):
        normed = parts.normalises and position > 0
        yield f"down{side}", parts.wrap(nn.Conv2d(previous, count, 4, 2, 1, bias=not normed))
        if normed:
            yield from parts.plain_norm(f"norm{side}", count)
        yield f"relu{side}", nn.LeakyReLU(0.2)
        yield from parts.attention(side, count)
        previous = count
    yield "flatten", nn.Flatten()

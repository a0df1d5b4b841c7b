"""The DCGAN backbone (Radford et al. 2015, section 3) for 28, 32, 64 and 128 pixels, with switches.

The generator doubles the side at each stage with a 4x4 transposed convolution of stride 2; the
discriminator mirrors it. The largest feature map has half the image's side and `width` channels;
channels double at each halving of the side, up to 8 * width.
"""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor, nn

from sagan.nn.attention import SelfAttention
from sagan.nn.spectral import spectral_norm as with_spectral_norm
from sagan.shapes import feature_sides


def stage_channels(resolution: int, width: int) -> dict[int, int]:
    """Feature side -> channels, smallest side first.

    >>> stage_channels(64, 32)
    {4: 256, 8: 128, 16: 64, 32: 32}
    """
    sides = feature_sides(resolution)
    return {side: width * min(8, sides[-1] // side) for side in sides}


class Generator(nn.Module):
    """z [B, z_dim] ~ N(0, 1) -> images [B, C, R, R] in (-1, 1).

    Args:
        resolution: the images' side R: 28, 32, 64 or 128.
        image_channels: 1 or 3.
        width: channels of the largest feature map.
        norm: "batch" after every layer but the last, or "none".
        spectral_norm: normalise every linear, convolutional and attention layer.
        attention_at: sides of the feature maps that are followed by self-attention.
    """

    def __init__(
        self,
        resolution: int,
        image_channels: int,
        z_dim: int,
        width: int,
        norm: str,
        spectral_norm: bool,
        attention_at: Collection[int],
    ) -> None:
        super().__init__()
        wrap = with_spectral_norm if spectral_norm else nn.Identity()
        bias = norm == "none"
        channels = stage_channels(resolution, width)
        sides = list(channels)
        self.z_dim = z_dim

        first = channels[sides[0]]
        self.stem = wrap(nn.Linear(z_dim, first * sides[0] ** 2, bias=bias))
        self.unflatten = nn.Unflatten(1, (first, sides[0], sides[0]))
        layers: dict[str, nn.Module] = {}
        for position, side in enumerate(sides):
            if position:
                layers[f"up{side}"] = wrap(
                    nn.ConvTranspose2d(channels[sides[position - 1]], channels[side], 4, 2, 1, bias=bias)
                )
            if norm == "batch":
                layers[f"norm{side}"] = nn.BatchNorm2d(channels[side])
            layers[f"relu{side}"] = nn.ReLU()
            if side in attention_at:
                layers[f"attention{side}"] = SelfAttention(channels[side], spectral_norm)
        layers["image"] = wrap(nn.ConvTranspose2d(channels[sides[-1]], image_channels, 4, 2, 1))
        layers["tanh"] = nn.Tanh()
        self.stages = nn.Sequential()
        for name, layer in layers.items():
            self.stages.add_module(name, layer)

    def forward(self, z: Tensor) -> Tensor:
        return self.stages(self.unflatten(self.stem(z)))


class Discriminator(nn.Module):
    """Images [B, C, R, R] in [-1, 1] -> logits [B], high for real.

    The arguments are the generator's; batch norm, where it is on, spares the first layer.
    """

    def __init__(
        self,
        resolution: int,
        image_channels: int,
        width: int,
        norm: str,
        spectral_norm: bool,
        attention_at: Collection[int],
    ) -> None:
        super().__init__()
        wrap = with_spectral_norm if spectral_norm else nn.Identity()
        channels = stage_channels(resolution, width)
        sides = list(reversed(channels))
        self.stages = nn.Sequential()
        previous = image_channels
        for position, side in enumerate(sides):
            normed = norm == "batch" and position > 0
            self.stages.add_module(
                f"down{side}", wrap(nn.Conv2d(previous, channels[side], 4, 2, 1, bias=not normed))
            )
            if normed:
                self.stages.add_module(f"norm{side}", nn.BatchNorm2d(channels[side]))
            self.stages.add_module(f"relu{side}", nn.LeakyReLU(0.2))
            if side in attention_at:
                self.stages.add_module(f"attention{side}", SelfAttention(channels[side], spectral_norm))
            previous = channels[side]
        self.head = wrap(nn.Linear(previous * sides[-1] ** 2, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stages(images).flatten(1)).squeeze(1)

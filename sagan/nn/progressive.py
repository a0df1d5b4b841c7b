"""The networks of progressive growing (Karras et al. 2018, section 2 and table 2), that grow while they are trained.

A block for each side, from 4x4 (of 28 pixels 7x7) to the image's: two 3x3 convolutions with LeakyReLU 0.2, nearest
neighbours up, means down. While a side is faded in, what its block gives is blended with what there was without it.
Fresh networks are grown; `sagan.training.growth` takes them back to the first side and lets them grow.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagan.nn.parts import Chain, ClassShares, Head, Layers, Parts
from sagan.nn.resampling import UpConv2d, upsampled
from sagan.shapes import doublings

GROUP = 4  # images that minibatch deviation looks at together


class PixelNorm(nn.Module):
    """x / sqrt(mean over channels of x^2 + 1e-8), at each position by itself (section 4.2)."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C] or [B, C, H, W]."""
        return x * torch.rsqrt(x.float().square().mean(1, keepdim=True) + 1e-8)


class MinibatchDeviation(nn.Module):
    """One more map: how much the images of a group differ, [B, C, H, W] -> [B, C + 1, H, W] (section 3).

    Groups are of 4 neighbours in the batch (of 2 or 1 where that does not divide it). The number is the mean over
    channels and positions of the standard deviation over the group, the same at all of its images and positions.
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        groups = x_BCHW.float().unflatten(0, (-1, math.gcd(len(x_BCHW), GROUP)))
        deviation = (groups.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        maps = deviation[:, None, None, None, None].expand(-1, groups.shape[1], 1, *x_BCHW.shape[2:])
        return torch.cat([x_BCHW, maps.flatten(0, 1)], 1)


class Growing(nn.Module):
    """A network that has grown to one of its `sides`.

    The buffer `grown` counts the sides above the first: 1 is the second, 1.25 the third faded in by a quarter. It says
    all; `level` and `fades` repeat it for Python, which must not wait for a GPU.
    """

    def __init__(self, sides: list[int]) -> None:
        super().__init__()
        self.sides = sides
        self.register_buffer("grown", torch.zeros(()))
        self.grow(len(sides) - 1, 1.0)
        self.register_load_state_dict_post_hook(_as_loaded)

    def grow(self, level: int, alpha: float) -> None:
        """Compute up to `sides[level]`, whose block counts with weight `alpha` in [0, 1]."""
        self.grown.fill_(level - 1 + alpha)
        self.level, self.fades = level, alpha < 1

    @property
    def side(self) -> int:
        """Of the images that the network now deals with."""
        return self.sides[self.level]

    def blended(self, old: Tensor, new: Tensor) -> Tensor:
        """What was there before the side at hand, and what it gives, as far as it is faded in."""
        alpha = self.grown - (self.level - 1)
        return (1 - alpha) * old + alpha * new


def _as_loaded(network: Growing, keys: object) -> None:
    grown = float(network.grown)
    network.level, network.fades = math.ceil(grown), grown != math.ceil(grown)


class GrowingGenerator(Growing):
    """z [B, z_dim] ~ N(0, 1) -> images [B, C, S, S] of the side that it has grown to, with a linear output.

    In eval mode images are those that people see: [B, C, R, R] by nearest neighbours, in [-1, 1].
    """

    def __init__(self, z_dim: int, image_channels: int, channels: dict[int, int], parts: Parts) -> None:
        super().__init__(list(channels))
        self.z_dim = z_dim
        self.shares = ClassShares(parts.classes) if parts.classes else None
        self.blocks, self.to_image = nn.ModuleDict(), nn.ModuleDict()
        previous = None
        for side, count in channels.items():
            self.blocks[str(side)] = Chain(_up(previous, count, side, z_dim, parts))
            self.to_image[str(side)] = parts.wrap(_gained(nn.Conv2d(count, image_channels, 1), 1.0))
            previous = count

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.shares is not None and labels is None:
            labels = self.shares(len(z))
        h, found = z, []
        # Who looks at a network's layers, such as attention's, finds all: in eval mode those to come run as well.
        for side in map(str, self.sides[: self.level + 1] if self.training else self.sides):
            h = self.blocks[side](h, labels)
            found.append(self.to_image[side](h))
        images = found[self.level]
        if self.fades:
            images = self.blended(upsampled(found[self.level - 1]), images)
        return images if self.training else F.interpolate(images, size=self.sides[-1], mode="nearest").clamp(-1, 1)


class GrowingDiscriminator(Growing):
    """Images [B, C, R, R] or of the side that it has grown to -> logits [B]; larger ones are averaged down to it."""

    def __init__(self, image_channels: int, channels: dict[int, int], parts: Parts) -> None:
        super().__init__(list(channels))
        self.blocks, self.from_image = nn.ModuleDict(), nn.ModuleDict()
        below = None
        for side, count in channels.items():
            block = _last(count, side, parts) if below is None else _down(count, below, side, parts)
            self.blocks[str(side)] = Chain(block)
            entry = parts.wrap(nn.Conv2d(image_channels, count, 1))
            self.from_image[str(side)] = nn.Sequential(entry, nn.LeakyReLU(0.2))
            below = count
        self.head = Head(channels[self.sides[0]], parts.classes, lambda layer: parts.wrap(_gained(layer, 1.0)))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        h = None
        for level in range(self.level, -1, -1):
            side = str(self.sides[level])
            entering = self.from_image[side](averaged(images, self.sides[level]))
            if level == self.level:
                h = entering
            elif level == self.level - 1 and self.fades:
                h = self.blended(entering, h)
            h = self.blocks[side](h)
        return self.head(h, labels)


def averaged(images: Tensor, side: int) -> Tensor:
    """Images of a multiple of that side, brought to it by means."""
    return F.avg_pool2d(images, images.shape[-1] // side) if images.shape[-1] > side else images


def side_channels(backbone: str, resolution: int, width: int) -> dict[int, int]:
    """Side -> channels, smallest side first: `width` at the image's side, twice as many at each half, up to 8 * width.

    >>> side_channels("progressive", 64, 16)
    {4: 128, 8: 128, 16: 64, 32: 32, 64: 16}
    """
    return {side: width * min(8, resolution // side) for side in doublings(backbone, resolution)}


def generator(backbone: str, resolution: int, image_channels: int, z_dim: int, width: int, parts: Parts) -> nn.Module:
    return GrowingGenerator(z_dim, image_channels, side_channels(backbone, resolution, width), parts)


def discriminator(backbone: str, resolution: int, image_channels: int, width: int, parts: Parts) -> nn.Module:
    return GrowingDiscriminator(image_channels, side_channels(backbone, resolution, width), parts)


def _up(previous: int | None, count: int, side: int, z_dim: int, parts: Parts) -> Layers:
    """From the map below, or from z: the table's 4x4 convolution of one pixel is this linear layer."""
    if previous is None:
        yield from _pixel_norm("pixel0", parts)
        yield "linear", parts.wrap(_gained(nn.Linear(z_dim, count * side**2), math.sqrt(2) / 4))
        yield "unflatten", nn.Unflatten(1, (count, side, side))
        yield from _activation("1", count, parts.norm, parts)
    else:
        yield from _convolution("1", UpConv2d(previous, count), parts.norm, parts)
    yield from _convolution("2", nn.Conv2d(count, count, 3, 1, 1), parts.norm, parts)
    yield from parts.attention(side, count)


def _down(count: int, below: int, side: int, parts: Parts) -> Layers:
    yield from parts.attention(side, count)
    yield from _convolution("1", nn.Conv2d(count, count, 3, 1, 1), parts.plain_norm, parts)
    yield from _convolution("2", nn.Conv2d(count, below, 3, 1, 1), parts.plain_norm, parts)
    yield "pool", nn.AvgPool2d(2)


def _last(count: int, side: int, parts: Parts) -> Layers:
    """The smallest maps to features; the table's 4x4 convolution is this linear layer."""
    yield from parts.attention(side, count)
    more = 0
    if parts.switches["minibatch_deviation"]:
        yield "deviation", MinibatchDeviation()
        more = 1
    yield from _convolution("1", nn.Conv2d(count + more, count, 3, 1, 1), parts.plain_norm, parts)
    yield "flatten", nn.Flatten()
    yield "linear", parts.wrap(nn.Linear(count * side**2, count))
    yield "relu2", nn.LeakyReLU(0.2)


def _convolution(name: str, layer: nn.Conv2d, norm: Callable[[str, int], Layers], parts: Parts) -> Layers:
    yield f"conv{name}", parts.wrap(layer)
    yield from _activation(name, layer.out_channels, norm, parts)


def _activation(name: str, count: int, norm: Callable[[str, int], Layers], parts: Parts) -> Layers:
    yield from norm(f"norm{name}", count)
    yield f"relu{name}", nn.LeakyReLU(0.2)
    yield from _pixel_norm(f"pixel{name}", parts)


def _pixel_norm(name: str, parts: Parts) -> Layers:
    if parts.switches.get("pixel_norm"):  # a switch of generators alone
        yield name, PixelNorm()


def _gained(layer: nn.Module, gain: float) -> nn.Module:
    """With another gain than that of layers before a ReLU, for He et al.'s scale."""
    layer.gain = gain
    return layer

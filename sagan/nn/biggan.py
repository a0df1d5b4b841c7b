"""BigGAN and BigGAN-deep (Brock et al. 2019, appendix B), at widths that small data bears.

In both, batch norm's gains and biases are linear in a vector that holds the class's shared embedding and z: a chunk
of z for each block in BigGAN (the first chunk feeds the linear layer), all of z in BigGAN-deep. Without classes the
vector is z alone. Discriminators are SAGAN's residual ones, or their deep form, with projection. Channels are the
paper's for 128 pixels; 64 has the same rule, 28 and 32 have constant channels as in the authors' CIFAR networks.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagan.nn.conditional import ClassShares, Conditioned, Layers, VectorBatchNorm
from sagan.nn.networks import Discriminator, SumPool
from sagan.nn.parts import Parts
from sagan.nn.resampling import UpConv2d, upsampled
from sagan.nn.resnet import UpBlock, down_stages, image_layers
from sagan.shapes import BIGGAN_DEEP_DOWN, BIGGAN_DOWN, RESIDUAL_UP

_EMBEDDING = 128  # dimensions of the shared class embedding
_BOTTLENECK = 4  # BigGAN-deep's blocks work at a quarter of their channels


def generator(backbone: str, resolution: int, image_channels: int, z_dim: int, width: int, parts: Parts) -> nn.Module:
    """For images of side `resolution`; `width` channels in the largest feature map."""
    deep = backbone == "biggan-deep"
    return BigGenerator(resolution, image_channels, z_dim, width, deep, parts)


def discriminator(backbone: str, resolution: int, image_channels: int, width: int, parts: Parts) -> nn.Module:
    """For images of side `resolution`; `width` channels in the largest feature map."""
    table = BIGGAN_DEEP_DOWN if backbone == "biggan-deep" else BIGGAN_DOWN
    blocks = [(side, width * multiple) for side, multiple in table[resolution]]
    if backbone == "biggan-deep":
        stages = _deep_down(blocks, resolution, image_channels, width, parts)
    else:
        stages = down_stages(blocks, resolution, image_channels, True, parts)
    return Discriminator(stages, blocks[-1][1], parts)


class BigGenerator(nn.Module):
    """z [B, z_dim] ~ N(0, 1) -> images [B, C, R, R] in (-1, 1).

    Args:
        deep: whether this is BigGAN-deep: all of z everywhere, and two bottleneck blocks a side.
    """

    def __init__(self, resolution: int, image_channels: int, z_dim: int, width: int, deep: bool, parts: Parts) -> None:
        super().__init__()
        stages = [(side, width * multiple) for side, multiple in RESIDUAL_UP[resolution]]
        self.z_dim, self.deep = z_dim, deep
        self.shares = ClassShares(parts.classes) if parts.classes else None
        # Spectral norm on this embedding "cripples" the generator (the authors' code leaves it out).
        self.embedding = nn.Embedding(parts.classes, _EMBEDDING) if parts.classes else None
        chunk = z_dim // len(stages)
        # What is left over goes to the linear layer.
        self.chunks = [z_dim - chunk * (len(stages) - 1)] + [chunk] * (len(stages) - 1)
        embedded = _EMBEDDING if parts.classes else 0
        side, first = stages[0]
        self.stem = parts.wrap(nn.Linear(z_dim + embedded if deep else self.chunks[0], first * side**2))
        self.unflatten = nn.Unflatten(1, (first, side, side))
        features = (z_dim if deep else chunk) + embedded
        make = _deep_stage if deep else _stage
        self.stages = nn.ModuleList(
            nn.ModuleDict(dict(make(before, after, side, features, parts)))
            for (_, before), (side, after) in itertools.pairwise(stages)
        )
        self.image = nn.Sequential(*(layer for _, layer in image_layers(stages[-1][1], image_channels, parts)))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Labels int64 [B] matter where there are classes; without them the training set's shares give some."""
        if self.embedding is None:
            embedded = z[:, :0]
        else:
            embedded = self.embedding(self.shares(len(z)) if labels is None else labels)
        if self.deep:
            whole = torch.cat([embedded, z], 1)
            first, conditions = whole, [whole] * len(self.stages)
        else:
            first, *rest = z.split(self.chunks, 1)
            conditions = [torch.cat([embedded, chunk], 1) for chunk in rest]
        h = self.unflatten(self.stem(first))
        for stage, condition in zip(self.stages, conditions, strict=True):
            for layer in stage.values():
                h = layer(h, condition) if isinstance(layer, Conditioned) else layer(h)
        return self.image(h)


def _norm(channels: int, features: int, parts: Parts) -> list[tuple[str, nn.Module]]:
    if not parts.normalises:
        return []
    return [("norm", VectorBatchNorm(channels, features, parts.wrap, parts.switches["norm_eps"]))]


def _stage(before: int, after: int, side: int, features: int, parts: Parts) -> Layers:
    norms = [_norm(channels, features, parts) for channels in (before, after)]
    yield "up", UpBlock(before, after, norms, parts)
    yield from parts.attention(side, after)


def _deep_stage(before: int, after: int, side: int, features: int, parts: Parts) -> Layers:
    yield "same", DeepUpBlock(before, before, False, features, parts)
    yield "up", DeepUpBlock(before, after, True, features, parts)
    yield from parts.attention(side, after)


class DeepUpBlock(Conditioned):
    """1x1 to a quarter of the channels, two 3x3, 1x1 back, each after norm and ReLU (figure 16a).

    The shortcut drops channels that the output has not, and is upsampled as the branch is before its first 3x3.
    """

    def __init__(self, before: int, after: int, doubles: bool, features: int, parts: Parts) -> None:
        super().__init__()
        hidden = max(before // _BOTTLENECK, 1)
        self.after, self.doubles = after, doubles
        shapes = [(before, hidden, 1), (hidden, hidden, 3), (hidden, hidden, 3), (hidden, after, 1)]
        convs = [nn.Conv2d(a, b, size, 1, size // 2) for a, b, size in shapes]
        if doubles:
            convs[1] = UpConv2d(hidden, hidden)
        self.convs = nn.ModuleList(map(parts.wrap, convs))
        norms = [_norm(a, features, parts) for a, _, _ in shapes]
        self.norms = nn.ModuleList(norm for named in norms for _, norm in named)

    def forward(self, x_BCHW: Tensor, condition: Tensor) -> Tensor:
        h = x_BCHW
        for position, conv in enumerate(self.convs):
            if self.norms:
                h = self.norms[position](h, condition)
            h = conv(F.relu(h))
        shortcut = x_BCHW[:, : self.after]
        return h + (upsampled(shortcut) if self.doubles else shortcut)


def _deep_down(blocks: list[tuple[int, int]], resolution: int, image_channels: int, width: int, parts: Parts) -> Layers:
    yield "stem", parts.wrap(nn.Conv2d(image_channels, width, 3, 1, 1))
    previous_side, previous, attended = resolution, width, set()
    for position, (side, channels) in enumerate(blocks):
        yield f"down{position}_{side}", DeepDownBlock(previous, channels, side < previous_side, parts)
        yield f"same{position}_{side}", DeepDownBlock(channels, channels, False, parts)
        if side not in attended:
            yield from parts.attention(side, channels)
        attended.add(side)
        previous_side, previous = side, channels
    yield "relu", nn.ReLU()
    yield "pool", SumPool()


class DeepDownBlock(nn.Module):
    """1x1 to a quarter of the channels, two 3x3, (mean over 2x2,) 1x1, each after ReLU (figure 16b).

    The shortcut is pooled too; channels that it lacks are a 1x1 convolution of it.
    """

    def __init__(self, before: int, after: int, halves: bool, parts: Parts) -> None:
        super().__init__()
        hidden = max(after // _BOTTLENECK, 1)
        self.halves = halves
        shapes = [(before, hidden, 1), (hidden, hidden, 3), (hidden, hidden, 3), (hidden, after, 1)]
        self.convs = nn.ModuleList(parts.wrap(nn.Conv2d(a, b, size, 1, size // 2)) for a, b, size in shapes)
        self.more = parts.wrap(nn.Conv2d(before, after - before, 1)) if after > before else None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h = x_BCHW
        for position, conv in enumerate(self.convs):
            h = F.relu(h)
            h = conv(F.avg_pool2d(h, 2) if self.halves and position == 3 else h)
        shortcut = F.avg_pool2d(x_BCHW, 2) if self.halves else x_BCHW
        return h + (shortcut if self.more is None else torch.cat([shortcut, self.more(shortcut)], 1))

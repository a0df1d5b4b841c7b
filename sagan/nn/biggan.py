"""BigGAN (Brock et al. 2019, appendix B), at widths that small data bears.

Batch norm's gains and biases are linear in a vector that holds the class's shared embedding and a chunk of z, one for
each block (the first chunk feeds the linear layer). Without classes the vector is the chunk alone. Discriminators are
SAGAN's residual ones, with projection. Channels, `width` in the largest feature map, are the paper's for 128 pixels; 64
has the same rule, 28 and 32 have constant channels as in the authors' CIFAR networks.
"""

import itertools

import torch
from torch import Tensor, nn

from sagan.nn.parts import ClassShares, Conditioned, Discriminator, Layers, Parts, VectorBatchNorm
from sagan.nn.resnet import UpBlock, down_stages, image_layers
from sagan.shapes import BIGGAN_DOWN, RESIDUAL_UP

_EMBEDDING = 128  # dimensions of the shared class embedding


def generator(backbone: str, resolution: int, image_channels: int, z_dim: int, width: int, parts: Parts) -> nn.Module:
    return BigGenerator(resolution, image_channels, z_dim, width, parts)


def discriminator(backbone: str, resolution: int, image_channels: int, width: int, parts: Parts) -> nn.Module:
    blocks = [(side, width * multiple) for side, multiple in BIGGAN_DOWN[resolution]]
    return Discriminator(down_stages(blocks, resolution, image_channels, True, parts), blocks[-1][1], parts)


class BigGenerator(nn.Module):
    """As `sagan.nn.parts.Generator`."""

    def __init__(self, resolution: int, image_channels: int, z_dim: int, width: int, parts: Parts) -> None:
        super().__init__()
        stages = [(side, width * multiple) for side, multiple in RESIDUAL_UP[resolution]]
        self.z_dim = z_dim
        self.shares = ClassShares(parts.classes) if parts.classes else None
        # Spectral norm on this embedding "cripples" the generator (the authors' code leaves it out).
        self.embedding = nn.Embedding(parts.classes, _EMBEDDING) if parts.classes else None
        chunk = z_dim // len(stages)
        # What is left over goes to the linear layer.
        self.chunks = [z_dim - chunk * (len(stages) - 1)] + [chunk] * (len(stages) - 1)
        embedded = _EMBEDDING if parts.classes else 0
        side, first = stages[0]
        self.stem = parts.wrap(nn.Linear(self.chunks[0], first * side**2))
        self.unflatten = nn.Unflatten(1, (first, side, side))
        features = chunk + embedded
        self.stages = nn.ModuleList(
            nn.ModuleDict(dict(_stage(before, after, side, features, parts)))
            for (_, before), (side, after) in itertools.pairwise(stages)
        )
        self.image = nn.Sequential(*(layer for _, layer in image_layers(stages[-1][1], image_channels, parts)))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.embedding is None:
            embedded = z[:, :0]
        else:
            embedded = self.embedding(self.shares(len(z)) if labels is None else labels)
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

"""What makes networks depend on a class: normalisation, the discriminator's head, classes that were not given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from sagan.nn.attention import Wrap

_GOLDEN = (5**0.5 - 1) / 2


class Conditioned(nn.Module):
    """A layer whose `forward` takes a condition after its input."""


class ClassBatchNorm(Conditioned):
    """Batch norm whose gain and bias are a class's own (Dumoulin et al. 2017; Miyato & Koyama 2018).

    The tables [K, C] start at 1 and 0 and are not spectrally normalised.
    """

    def __init__(self, channels: int, classes: int, eps: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps, affine=False)
        self.gain = nn.Parameter(torch.ones(classes, channels))
        self.bias = nn.Parameter(torch.zeros(classes, channels))

    def forward(self, x_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        return _modulated(self.norm(x_BCHW), self.gain[labels_B], self.bias[labels_B])


class VectorBatchNorm(Conditioned):
    """Batch norm whose gain and bias are linear in a vector [B, D] (BigGAN, Brock et al. 2019, section 3).

    The gain is 1 plus what the linear layer gives.
    """

    def __init__(self, channels: int, features: int, wrap: Wrap, eps: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps, affine=False)
        self.gain = wrap(nn.Linear(features, channels, bias=False))
        self.bias = wrap(nn.Linear(features, channels, bias=False))

    def forward(self, x_BCHW: Tensor, vector_BD: Tensor) -> Tensor:
        return _modulated(self.norm(x_BCHW), 1 + self.gain(vector_BD), self.bias(vector_BD))


def _modulated(x_BCHW: Tensor, gain_BC: Tensor, bias_BC: Tensor) -> Tensor:
    return x_BCHW * gain_BC[:, :, None, None] + bias_BC[:, :, None, None]


Layers = Iterator[tuple[str, nn.Module]]


class Chain(nn.Sequential):
    """Layers one after another; those that are `Conditioned` are given the condition too."""

    def __init__(self, layers: Iterable[tuple[str, nn.Module]]) -> None:
        super().__init__()
        for name, layer in layers:
            self.add_module(name, layer)

    def forward(self, h: Tensor, condition: Tensor | None = None) -> Tensor:
        for layer in self:
            h = layer(h, condition) if isinstance(layer, Conditioned) else layer(h)
        return h


class Head(nn.Module):
    """Features [B, D] to logits [B]: linear, plus the product with the class's vector (Miyato & Koyama 2018, eq. 3)."""

    def __init__(self, features: int, classes: int, wrap: Wrap) -> None:
        super().__init__()
        self.linear = wrap(nn.Linear(features, 1))
        self.embedding = wrap(nn.Embedding(classes, features)) if classes else None

    def forward(self, features_BD: Tensor, labels_B: Tensor | None) -> Tensor:
        """Without labels, only the part of the logits that is common to all classes."""
        logits = self.linear(features_BD).squeeze(1)
        if self.embedding is None or labels_B is None:
            return logits
        return logits + (self.embedding(labels_B) * features_BD).sum(1)


class ClassShares(nn.Module):
    """The classes of images that are asked for without any, in the proportions of the training set.

    `shares` [K] is a buffer that adds up to 1 (equal parts until training sets it). Row i takes the class whose
    part of [0, 1) the i-th point of the golden ratio's sequence lies in: evenly spread, whatever the batch's size.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("shares", torch.full((classes,), 1 / classes))

    def set(self, labels: Sequence[int]) -> None:
        """Take over the shares of the classes among a training set's labels."""
        counts = torch.bincount(torch.as_tensor(labels), minlength=len(self.shares))
        self.shares.copy_(counts / counts.sum())

    def forward(self, count: int) -> Tensor:
        """Labels int64 [count]."""
        points = ((torch.arange(count, device=self.shares.device, dtype=torch.double) + 0.5) * _GOLDEN) % 1
        # Summed on the CPU: on a GPU, deterministic algorithms refuse cumsum.
        ends = self.shares.double().cpu().cumsum(0)[:-1].to(points)
        return torch.bucketize(points, ends, right=True)

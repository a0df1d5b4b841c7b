"""What backbones are built from: layers, some of which depend on a class, their makers, and the two networks around."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagan.code.fingerprint import Table
from sagan.nn.attention import ResidualControl, SelfAttention, Wrap
from sagan.nn.reparametrised import in_use

_GOLDEN = (5**0.5 - 1) / 2


class Conditioned(nn.Module):
    """A layer whose `forward` takes a condition after its input."""


class ClassBatchNorm(Conditioned):
    """Batch norm whose gain and bias, [K, C], are a class's own (Dumoulin et al. 2017; Miyato & Koyama 2018)."""

    def __init__(self, channels: int, classes: int, eps: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps, affine=False)
        self.gain = nn.Parameter(torch.ones(classes, channels))  # never spectrally normalised, nor is the bias
        self.bias = nn.Parameter(torch.zeros(classes, channels))

    def forward(self, x_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        return _modulated(self.norm(x_BCHW), self.gain[labels_B], self.bias[labels_B])


class VectorBatchNorm(Conditioned):
    """Batch norm whose gain - 1 and bias are linear in a vector [B, D] (BigGAN, Brock et al. 2019, section 3)."""

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


def _self_attention(channels: int, wrap: Wrap, switches: Mapping[str, Any]) -> nn.Module:
    return SelfAttention(channels, wrap, switches["attention"], switches["attention_bias"])


def _plain_attention(channels: int, wrap: Wrap, switches: Mapping[str, Any]) -> nn.Module:
    return SelfAttention(channels, lambda layer: layer, "full-value", switches["attention_bias"])


def _residual(channels: int, wrap: Wrap, switches: Mapping[str, Any]) -> nn.Module:
    return ResidualControl(channels, wrap)


# What `attention:` may name, with what the layer's name begins with.
ATTENTION: Table[str, tuple[str, Callable[[int, Wrap, Mapping[str, Any]], nn.Module]]] = {
    "official": ("attention", _self_attention),
    "unpooled": ("attention", _self_attention),
    "average-pooled": ("attention", _self_attention),
    "full-value": ("attention", _self_attention),
    "full-value-plain": ("attention", _plain_attention),
    "residual": ("residual", _residual),
}


@dataclass(frozen=True)
class Parts:
    """Makers of layers for one network."""

    classes: int  # that the network knows of; 0 for none
    normalises: bool  # whether batch norm is on, so that layers before it need no bias
    switches: Mapping[str, Any]

    def without_attention(self) -> Parts:
        return replace(self, switches={**self.switches, "attention_at": ()})

    def wrap(self, layer: nn.Module) -> nn.Module:
        """A linear, convolutional or embedding layer with its weight computed as the switches say."""
        for reparametrisation in in_use(self.switches):
            layer = reparametrisation.wrap(layer, self.switches)
        return layer

    def norm(self, name: str, channels: int) -> Layers:
        """Batch norm, the class's own where there are classes; nothing where it is off."""
        if self.normalises:
            eps = self.switches["norm_eps"]
            yield name, (ClassBatchNorm(channels, self.classes, eps) if self.classes else nn.BatchNorm2d(channels, eps))

    def plain_norm(self, name: str, channels: int) -> Layers:
        """Batch norm that is the same for all classes."""
        if self.normalises:
            yield name, nn.BatchNorm2d(channels, self.switches["norm_eps"])

    def attention(self, side: int, channels: int) -> Layers:
        """What follows a feature map of that side: attention, or its control; nothing where it was not asked for."""
        if side in self.switches["attention_at"]:
            name, make = ATTENTION[self.switches["attention"]]
            yield f"{name}{side}", make(channels, self.wrap, self.switches)


def make_parts(role: str, config: Mapping[str, Any]) -> Parts:
    """The parts of the "generator" or "discriminator" of a run's configuration (`variant` and `image`)."""
    switches = config["variant"][role]
    return Parts(len(config["image"]["classes"] or ()), switches["norm"] == "batch", switches)


class Generator(nn.Module):
    """z [B, z_dim] ~ N(0, 1) -> images [B, C, R, R] in (-1, 1): a linear layer to a feature map, then `stages`."""

    def __init__(self, z_dim: int, channels: int, side: int, stem_bias: bool, stages: Layers, parts: Parts) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.shares = ClassShares(parts.classes) if parts.classes else None
        self.stem = parts.wrap(nn.Linear(z_dim, channels * side**2, bias=stem_bias))
        self.unflatten = nn.Unflatten(1, (channels, side, side))
        self.stages = Chain(stages)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Labels int64 [B] matter where there are classes; without them the training set's shares give some."""
        if self.shares is not None and labels is None:
            labels = self.shares(len(z))
        return self.stages(self.unflatten(self.stem(z)), labels)


class Discriminator(nn.Module):
    """Images [B, C, R, R] in [-1, 1] -> logits [B], high for real; `stages` lead to features [B, `features`]."""

    def __init__(self, stages: Layers, features: int, parts: Parts) -> None:
        super().__init__()
        self.stages = Chain(stages)
        self.head = Head(features, parts.classes, parts.wrap)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.head(self.stages(images), labels)


class SumPool(nn.Module):
    """Feature maps [B, C, H, W] -> features [B, C]: the sum over positions."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.sum((2, 3))


class MultiScale(nn.Module):
    """Images [B, C, R, R] -> logits [B, S], at sides R / 2^s by means (pix2pixHD, Wang et al. 2018, section 3.2)."""

    def __init__(self, discriminators: Sequence[nn.Module]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(discriminators)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        logits = []
        for position, discriminator in enumerate(self.scales):
            images = F.avg_pool2d(images, 2) if position else images
            logits.append(discriminator(images, labels))
        return torch.stack(logits, 1)

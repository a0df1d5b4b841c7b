"""What every backbone is built from, chosen by the switches of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from sagan.code.fingerprint import Table
from sagan.nn.attention import ResidualControl, SelfAttention, Wrap
from sagan.nn.conditional import ClassBatchNorm, Layers
from sagan.nn.reparametrised import in_use


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
    """Makers of layers for one network.

    Attributes:
        classes: how many classes the network knows of; 0 for none.
        normalises: whether batch norm is on, so that layers before it need no bias.
    """

    classes: int
    normalises: bool
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

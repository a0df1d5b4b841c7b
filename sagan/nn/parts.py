"""What every backbone is built from, chosen by the switches of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from sagan.nn.attention import ResidualControl, SelfAttention
from sagan.nn.conditional import ClassBatchNorm, Layers
from sagan.nn.spectral import spectral_norm

# Switches that a configuration may leave out: files from before a switch was there load as they were.
_DEFAULTS: dict[str, Any] = {
    "spectral_norm": False,
    "power_iterations": 1,
    "spectral_norm_eps": 1e-12,
    "attention_at": (),
    "attention": "official",
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
        """A linear, convolutional or embedding layer with spectral norm, where that is on."""
        if not self.switches["spectral_norm"]:
            return layer
        return spectral_norm(layer, self.switches["power_iterations"], self.switches["spectral_norm_eps"])

    def norm(self, name: str, channels: int) -> Layers:
        """Batch norm, the class's own where there are classes; nothing where it is off."""
        if self.normalises:
            yield name, ClassBatchNorm(channels, self.classes) if self.classes else nn.BatchNorm2d(channels)

    def plain_norm(self, name: str, channels: int) -> Layers:
        """Batch norm that is the same for all classes."""
        if self.normalises:
            yield name, nn.BatchNorm2d(channels)

    def attention(self, side: int, channels: int) -> Layers:
        """What follows a feature map of that side: attention, or its control; nothing where it was not asked for."""
        if side in self.switches["attention_at"]:
            form = self.switches["attention"]
            if form == "residual":
                yield f"residual{side}", ResidualControl(channels, self.wrap)
            else:
                yield f"attention{side}", SelfAttention(channels, self.wrap, form)


def make_parts(role: str, config: Mapping[str, Any]) -> Parts:
    """The parts of the "generator" or "discriminator" of a run's configuration (`variant` and `image`)."""
    switches = {**_DEFAULTS, **config["variant"][role]}
    return Parts(len(config["image"].get("classes", ())), switches["norm"] == "batch", switches)

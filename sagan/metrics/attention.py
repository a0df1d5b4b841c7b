"""Where attention layers look: their maps for given images, and how concentrated they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sagan.nn.attention import attention_layers
from sagan.records import Json, finite_or_none


@dataclass(frozen=True)
class LayerMaps:
    """One attention layer on one batch.

    Attributes:
        side: the feature map's side S.
        gamma: the layer's learnt weight.
        maps: [B, S*S queries, M keys], each row a distribution; M = (S/2)^2 where keys are pooled.
    """

    side: int
    gamma: float
    maps: Tensor

    def entropy(self) -> float:
        """Mean over images and queries of -sum p ln p, in nats; at most ln M, where attention is uniform."""
        return float(torch.special.entr(self.maps).sum(-1).mean())

    def entropy_uniform(self) -> float:
        return math.log(self.maps.shape[-1])

    def statistics(self) -> Json:
        """gamma, entropy and the entropy of uniform attention; null where a network's weights are not finite."""
        return {
            "gamma": finite_or_none(self.gamma),
            "entropy": finite_or_none(self.entropy()),
            "entropy_uniform": self.entropy_uniform(),
        }


@torch.no_grad()
def layer_maps(network: nn.Module, inputs: Tensor) -> list[LayerMaps]:
    """The maps of every attention layer of a network in one pass over `inputs` (z or images)."""
    seen: dict[int, Tensor] = {}
    layers = attention_layers(network)
    hooks = [
        layer.register_forward_pre_hook(lambda _, arguments, side=side: seen.update({side: arguments[0]}))
        for side, layer in layers.items()
    ]
    try:
        network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return [
        LayerMaps(side, float(layer.gamma), layer.attention_map(seen[side]).cpu()) for side, layer in layers.items()
    ]

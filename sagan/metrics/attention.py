"""Where attention layers look: their maps for given images, and how concentrated they are."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sagan.metrics.features import GRID, generated_images, labels_of, latents
from sagan.nn.attention import attention_layers
from sagan.store.records import Json, finite_or_none

# Images at a time: the maps of 64 images at 64x64 positions would be gigabytes.
_BATCH = 4


@dataclass(frozen=True)
class LayerMaps:
    """One attention layer on one batch."""

    side: int  # the feature map's, S
    gamma: float
    maps: Tensor  # [B, S*S queries, M keys], each row a distribution; M = (S/2)^2 where keys are pooled

    def entropies(self) -> Tensor:
        """[B], the mean over queries of -sum p ln p, in nats; at most ln M, where attention is uniform."""
        return torch.special.entr(self.maps).sum(-1).mean(-1)


@torch.no_grad()
def layer_maps(network: nn.Module, *inputs: Tensor) -> list[LayerMaps]:
    """The maps of every attention layer in one pass over z (and labels, where a generator takes them) or images."""
    seen: dict[int, Tensor] = {}
    layers = attention_layers(network)
    hooks = [
        layer.register_forward_pre_hook(lambda _, arguments, side=side: seen.update({side: arguments[0]}))
        for side, layer in layers.items()
    ]
    try:
        network(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return [
        LayerMaps(side, float(layer.gamma), layer.attention_map(seen[side]).cpu()) for side, layer in layers.items()
    ]


def attention_statistics(network: nn.Module, *inputs: Tensor) -> dict[int, Json]:
    """Feature side -> gamma, mean entropy over images and queries (null: not finite), and that of uniform attention."""
    record: dict[int, Json] = {}
    entropies: dict[int, list[Tensor]] = {}
    for parts in zip(*(rows.split(_BATCH) for rows in inputs), strict=True):
        for layer in layer_maps(network, *parts):
            entropies.setdefault(layer.side, []).append(layer.entropies())
            record[layer.side] = {
                "gamma": finite_or_none(layer.gamma),
                "entropy": finite_or_none(float(torch.cat(entropies[layer.side]).mean())),
                "entropy_uniform": math.log(layer.maps.shape[-1]),
            }
    return record


def generator_attention(generator: nn.Module, seed: int, device: torch.device) -> Json:
    """What `attention_statistics` says of each layer over the grid's images, under "generator.<side>"."""
    given = grid_inputs(generator, seed, device)
    return {f"generator.{side}": found for side, found in attention_statistics(generator, *given).items()}


def discriminator_attention(generator: nn.Module, discriminator: nn.Module, seed: int, device: torch.device) -> Json:
    """The same of the discriminator, that sees the grid's images, under "discriminator.<side>"."""
    seen = generated_images(generator, latents(generator.z_dim, GRID * GRID, seed), device).to(device) / 127.5 - 1.0
    return {f"discriminator.{side}": found for side, found in attention_statistics(discriminator, seen).items()}


def grid_inputs(generator: nn.Module, seed: int, device: torch.device) -> tuple[Tensor, ...]:
    """The grid's z and, of a generator with classes, its labels."""
    z = latents(generator.z_dim, GRID * GRID, seed).to(device)
    labels = labels_of(generator, len(z))
    return (z,) if labels is None else (z, labels.to(device))

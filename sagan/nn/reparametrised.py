"""Weights that are computed from others: which switches make them so, and what every network can do with them.

A switch of a network that is the name of an entry here turns it on for all of the network's layers.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sagan.code.fingerprint import Table
from sagan.nn.spectral import (
    advance_power_iteration,
    constrain,
    warm_up,
    with_spectral_constraint,
    with_spectral_norm,
)

# He et al.'s scale of a layer before a ReLU (2015, eq. 10). A layer's attribute `gain` says otherwise.
GAIN = math.sqrt(2)


class Scaled(nn.Module):
    """A parametrization W -> scale * W: equalised learning rate (Karras et al. 2018, section 4.1).

    Adam moves every weight by about the rate, whatever the weight's size. With He et al.'s scale in the pass weights
    are of one size, and all layers learn equally fast.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        return self.scale * weight


def he_scale(weight: Tensor, module: nn.Module) -> float:
    """gain / sqrt(fan_in), with fan_in the products that one output of the layer adds up."""
    fan_in = weight[0].numel()
    if isinstance(module, nn.ConvTranspose2d):
        # Of its [C_in, C_out, k, k] an output meets every stride-th tap.
        fan_in = weight[:, 0].numel() / math.prod(module.stride)
    return getattr(module, "gain", GAIN) / math.sqrt(fan_in)


def with_equalised_rate(module: nn.Module, switches: Mapping[str, Any]) -> nn.Module:
    """Scale a layer's weight at run time, and return the layer."""
    parametrize.register_parametrization(module, "weight", Scaled(he_scale(module.weight, module)))
    return module


@torch.no_grad()
def divide_by_scales(network: nn.Module) -> None:
    """Bring weights that were just set to where the layers compute with them as set: He et al.'s become N(0, 1)."""
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            weight = module.parametrizations.weight
            if isinstance(weight[0], Scaled):
                weight.original.div_(weight[0].scale)


def nothing(network: nn.Module) -> None:
    """Where there is nothing to do."""


@dataclass(frozen=True)
class Reparametrisation:
    """One way to compute weights."""

    wrap: Callable[[nn.Module, Mapping[str, Any]], nn.Module]  # layer, switches -> the layer with such a weight
    settle: Callable[[nn.Module], None]  # after the weights of a network were set
    advance: Callable[[nn.Module], None]  # once before each update that the network takes part in
    updated: Callable[[nn.Module], None]  # after each update of the network's weights


REPARAMETRISATIONS: Table[str, Reparametrisation] = {
    "spectral_norm": Reparametrisation(with_spectral_norm, warm_up, advance_power_iteration, nothing),
    "spectral_norm_constraint": Reparametrisation(with_spectral_constraint, warm_up, nothing, constrain),
    "equalised_rate": Reparametrisation(with_equalised_rate, divide_by_scales, nothing, nothing),
}


def in_use(switches: Mapping[str, Any]) -> list[Reparametrisation]:
    """Those that a network's switches turn on."""
    on = [name for name in REPARAMETRISATIONS if switches[name]]
    # A constraint takes the place of what it refines.
    return [REPARAMETRISATIONS[name] for name in on if f"{name}_constraint" not in on]


def plain(config: Mapping[str, Any], role: str) -> dict[str, Any]:
    """The configuration of the "generator" or "discriminator" that gives the same outputs with a `folded_state`."""
    variant = config["variant"]
    switches = {**variant[role], **dict.fromkeys(REPARAMETRISATIONS, False)}
    return {**config, "variant": {**variant, role: switches}}


def raw_weights(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The name of each layer whose weight is computed, and what it is computed from."""
    for name, module in network.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            yield name, module.parametrizations.weight.original


@torch.no_grad()
def folded_state(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network with every computed weight in place of what it is computed from."""
    state = {name: value for name, value in network.state_dict().items() if ".parametrizations." not in f".{name}"}
    return state | {f"{name}.weight": network.get_submodule(name).weight for name, _ in raw_weights(network)}


def orthogonality(network: nn.Module) -> Tensor:
    """Sum over layers of ||W W^T * (1 - I)||_F^2, with W the raw weight as [filters, -1] (Brock et al. 2019, eq. 3).

    Class embeddings are left out, as in BigGAN's code.
    """
    raw = dict(raw_weights(network))
    total = 0.0
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            weight = raw.get(name, module.weight)
            matrix = (weight.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else weight).flatten(1)
            products = matrix @ matrix.t()
            total = total + products.square().sum() - products.diagonal().square().sum()
    return total

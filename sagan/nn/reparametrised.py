"""Weights that are computed from others: which switches make them so, and what every network can do with them.

A switch of a network that is the name of an entry here turns it on for all of the network's layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sagan.code.fingerprint import Table
from sagan.nn.constraint import constrain, with_spectral_constraint
from sagan.nn.equalised import divide_by_scales, nothing, with_equalised_rate
from sagan.nn.spectral import advance_power_iteration, warm_up, with_spectral_norm


@dataclass(frozen=True)
class Reparametrisation:
    """One way to compute weights.

    Attributes:
        wrap: gives a layer such a weight, as a network's switches say; returns the layer.
        settle: after the weights of a network were set.
        advance: once before each update that the network takes part in.
        updated: after each update of the network's weights.
    """

    wrap: Callable[[nn.Module, Mapping[str, Any]], nn.Module]
    settle: Callable[[nn.Module], None]
    advance: Callable[[nn.Module], None]
    updated: Callable[[nn.Module], None]


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
    """The configuration of the network that `folded_state` loads into.

    Args:
        role: "generator" or "discriminator".
    """
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
    """The state of a network with every computed weight in place of what it is computed from.

    It loads into the network of the `plain` configuration, which then gives the same outputs.
    """
    state = {name: value for name, value in network.state_dict().items() if ".parametrizations." not in f".{name}"}
    return state | {f"{name}.weight": network.get_submodule(name).weight for name, _ in raw_weights(network)}

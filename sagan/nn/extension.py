"""Networks that a user's code builds, in the places of a run's own. `sagan.code.extensions` loads the code."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from sagan.code.extensions import calling
from sagan.errors import UserError
from sagan.nn.reparametrised import folded_state, in_use, plain

# What the names of all tensors of such a network begin with.
PREFIX = "own."


class OwnGenerator(nn.Module):
    """A user's network with what every generator has: `z_dim`, and `shares` (None: it knows no classes)."""

    def __init__(self, network: nn.Module, z_dim: int) -> None:
        super().__init__()
        self.own, self.z_dim, self.shares = network, z_dim, None

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return calling(self.own, z)


class OwnDiscriminator(nn.Module):
    """A user's network in a discriminator's place."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.own = network

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return calling(self.own, images)


def own_network(role: str, config: Mapping[str, Any], module: ModuleType) -> nn.Module:
    """The "generator" or "discriminator" that an extension builds for a run's configuration, in train mode.

    Raises:
        UserError: it is no network, gives another shape, or cannot be saved in plain weights.
    """
    variant, told = config["variant"], f"{module.__place__}: build_{role}"
    options, z_dim = variant["extension"]["options"], variant["generator"]["z_dim"]
    channels, resolution = config["image"]["channels"], config["image"]["resolution"]

    def build(switches: Mapping[str, Any]) -> nn.Module:
        sizes = {"channels": channels, "resolution": resolution}
        network = calling(getattr(module, f"build_{role}"), sizes, dict(switches), dict(options))
        if not isinstance(network, nn.Module):
            raise UserError(f"{told}: must return a torch.nn.Module, and gave {type(network).__name__}")
        return OwnGenerator(network, z_dim) if role == "generator" else OwnDiscriminator(network)

    network = build(variant[role])
    for reparametrisation in in_use(variant[role]):
        reparametrisation.settle(network)
    with torch.random.fork_rng(devices=[]):
        loaded = build(plain(config, role)["variant"][role])
    if not list(network.parameters()):
        raise UserError(f"{told}: its network has no parameters to train")
    if folded_state(network).keys() != loaded.state_dict().keys():
        raise UserError(
            f"{told}: its network cannot be saved in plain weights; of computed weights it may have "
            "sagan.nn.spectral.with_spectral_norm(layer, switches), where switches['spectral_norm']"
        )
    inputs, expected = torch.zeros(2, channels, resolution, resolution), [2]
    if role == "generator":
        inputs, expected = torch.zeros(2, z_dim), list(inputs.shape)
    with torch.no_grad():
        found = network.eval()(inputs)  # nothing of it changes
    gave = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
    if gave != expected:
        raise UserError(f"{told}: of inputs {list(inputs.shape)} its network must give {expected}, and gave {gave}")
    return network.train()

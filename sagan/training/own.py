"""Own code in the engine: the functions of an extension, as a step calls them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sagan.errors import UserError
from sagan.extensions import calling
from sagan.objectives import Judged, Penalty
from sagan.params.run import RunConfig

if TYPE_CHECKING:
    from sagan.training.ingredients import Ingredients, Made


def with_own_code(ingredients: Ingredients, module: ModuleType, config: RunConfig) -> Ingredients:
    """The ingredients with those replaced, or added to, that an extension defines."""
    own = _Own(module, config.variant.extension.options)
    objective, changes = ingredients.objective, {}
    if own.defines("build_generator"):
        changes["build_generator"] = own.generator
    if own.defines("build_discriminator"):
        changes["build_discriminator"] = own.discriminator
    if own.defines("discriminator_loss"):
        objective = dataclasses.replace(objective, discriminator=own.discriminator_loss)
    if own.defines("generator_loss"):
        objective = dataclasses.replace(objective, generator=own.generator_loss, compares=True)
    if own.defines("penalty"):
        changes["penalties"] = (*ingredients.penalties, (1.0, Penalty(own.penalty)))
    if own.defines("generator_penalty"):
        changes["image_penalties"] = (*ingredients.image_penalties, (1.0, own.generator_penalty))
    return dataclasses.replace(ingredients, objective=objective, **changes)


def own_generator(config: Mapping[str, Any], module: ModuleType) -> nn.Module | None:
    """The generator that an extension builds for a run's configuration; None where it builds none."""
    own = _Own(module, config["variant"]["extension"].get("options", {}))
    return own.generator(config) if own.defines("build_generator") else None


def own_discriminator(config: Mapping[str, Any], module: ModuleType) -> nn.Module | None:
    """The discriminator that an extension builds for a run's configuration; None where it builds none."""
    own = _Own(module, config["variant"]["extension"].get("options", {}))
    return own.discriminator(config) if own.defines("build_discriminator") else None


class OwnGenerator(nn.Module):
    """A user's network with what every generator has: `z_dim`, and `shares` (None: it knows no classes)."""

    def __init__(self, network: nn.Module, z_dim: int) -> None:
        super().__init__()
        self.network, self.z_dim, self.shares = network, z_dim, None

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return calling(self.network, z)


class OwnDiscriminator(nn.Module):
    """A user's network in a discriminator's place."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return calling(self.network, images)


class _Own:
    """The functions of one extension with its options."""

    def __init__(self, module: ModuleType, options: Mapping[str, Any]) -> None:
        self.module, self.options = module, options

    def defines(self, name: str) -> bool:
        return hasattr(self.module, name)

    def generator(self, config: Mapping[str, Any]) -> nn.Module:
        image, z_dim = config["image"], config["variant"]["generator"]["z_dim"]
        network = OwnGenerator(self._network("generator", config), z_dim)
        shape = (2, image["channels"], image["resolution"], image["resolution"])
        return _checked(network, torch.zeros(2, z_dim), shape, "build_generator")

    def discriminator(self, config: Mapping[str, Any]) -> nn.Module:
        image = config["image"]
        images = torch.zeros(2, image["channels"], image["resolution"], image["resolution"])
        return _checked(OwnDiscriminator(self._network("discriminator", config)), images, (2,), "build_discriminator")

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return self._scalar("discriminator_loss", real, fake)

    def generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return self._scalar("generator_loss", real, fake)

    def penalty(self, judged: Judged) -> Tensor:
        return self._scalar("penalty", judged.critic, judged.real.detach(), judged.fake.detach())

    def generator_penalty(self, made: Made) -> Tensor:
        return self._scalar("generator_penalty", made.generator, made.fake)

    def _network(self, role: str, config: Mapping[str, Any]) -> nn.Module:
        name = f"build_{role}"
        network = calling(getattr(self.module, name), config["image"], config["variant"][role], self.options)
        if not isinstance(network, nn.Module):
            raise UserError(f"{name}: must return a torch.nn.Module, and gave {type(network).__name__}")
        return network

    def _scalar(self, name: str, *arguments: Any) -> Tensor:
        value = calling(getattr(self.module, name), *arguments, self.options)
        if not isinstance(value, Tensor) or value.dim() != 0:
            given = f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise UserError(f"{name}: must return a scalar tensor, and gave {given}")
        return value


@torch.no_grad()
def _checked(network: nn.Module, inputs: Tensor, shape: tuple[int, ...], name: str) -> nn.Module:
    """The network, once it has given the right shape; in eval mode, so that nothing of it changes."""
    found = network.eval()(inputs)
    if tuple(found.shape) != shape:
        raise UserError(
            f"{name}: of inputs {list(inputs.shape)} its network must give {list(shape)}, and gave {list(found.shape)}"
        )
    return network.train()

"""Own code in the engine: the functions of an extension, as a step calls them."""

from __future__ import annotations

import dataclasses
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from torch import Tensor

from sagan.code.extensions import calling
from sagan.errors import UserError
from sagan.nn.extension import own_network
from sagan.objectives import Judged, Penalty
from sagan.params.run import RunConfig

if TYPE_CHECKING:
    from sagan.training.ingredients import Ingredients, Made


def with_own_code(ingredients: Ingredients, module: ModuleType, config: RunConfig) -> Ingredients:
    """The ingredients with those replaced, or added to, that an extension defines."""
    own, defines = _Own(module, config.variant.extension.options), module.__functions__
    objective, changes = ingredients.objective, {}
    if "build_generator" in defines:
        changes["build_generator"] = partial(own_network, "generator", module=module)
    if "build_discriminator" in defines:
        changes["build_discriminator"] = partial(own_network, "discriminator", module=module)
    if "discriminator_loss" in defines:
        objective = dataclasses.replace(objective, discriminator=own.discriminator_loss)
    if "generator_loss" in defines:
        objective = dataclasses.replace(objective, generator=own.generator_loss, compares=True)
    if "penalty" in defines:
        changes["penalties"] = (*ingredients.penalties, (1.0, Penalty(own.penalty)))
    if "generator_penalty" in defines:
        changes["image_penalties"] = (*ingredients.image_penalties, (1.0, own.generator_penalty))
    return dataclasses.replace(ingredients, objective=objective, **changes)


class _Own:
    """The losses and penalties of one extension with its options."""

    def __init__(self, module: ModuleType, options: dict[str, Any]) -> None:
        self.module, self.options = module, options

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return self._scalar("discriminator_loss", real, fake)

    def generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return self._scalar("generator_loss", real, fake)

    def penalty(self, judged: Judged) -> Tensor:
        return self._scalar("penalty", judged.critic, judged.seen_real, judged.seen_fake)

    def generator_penalty(self, made: Made) -> Tensor:
        return self._scalar("generator_penalty", made.generator, made.real, made.fake)

    def _scalar(self, name: str, *arguments: Any) -> Tensor:
        value = calling(getattr(self.module, name), *arguments, self.options)
        if not isinstance(value, Tensor) or value.dim() != 0:
            given = f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise UserError(f"{self.module.__place__}: {name}: must return a scalar tensor, and gave {given}")
        return value

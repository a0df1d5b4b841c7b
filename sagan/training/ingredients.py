"""What a run is made of, looked up once: networks, losses and penalties, each a plain function; also own code's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from sagan.code.extensions import calling
from sagan.code.fingerprint import Table
from sagan.errors import UserError
from sagan.nn import build_discriminator, build_generator
from sagan.nn.extension import own_network
from sagan.nn.reparametrised import orthogonality
from sagan.objectives import OBJECTIVES, PENALTIES, Judged, Objective, Penalty
from sagan.params.run import RunConfig
from sagan.training import growth
from sagan.training.matching import feature_matching


@dataclass(frozen=True)
class Made:
    """What the generator's update knows, as penalties on the generator see it."""

    generator: nn.Module
    discriminator: nn.Module
    fake: Tensor  # images of the update, [B, C, R, R], with their graph
    real: Tensor  # images of the step, [B, C, R, R]


# What is added to the generator's loss; a regulariser of the name is its weight. Of the generator's weights alone:
WEIGHT_PENALTIES: Table[str, Callable[[nn.Module], Tensor]] = {"orthogonal": orthogonality}
# And of what it makes:
IMAGE_PENALTIES: Table[str, Callable[[Made], Tensor]] = {"feature_matching": feature_matching}


@dataclass(frozen=True)
class Ingredients:
    """What a step computes with. Penalties come with their weights, none of them 0."""

    build_generator: Callable[[Mapping[str, Any]], nn.Module]
    build_discriminator: Callable[[Mapping[str, Any]], nn.Module]
    objective: Objective
    penalties: tuple[tuple[float, Penalty], ...]
    weight_penalties: tuple[tuple[float, Callable[[nn.Module], Tensor]], ...]
    image_penalties: tuple[tuple[float, Callable[[Made], Tensor]], ...]


def with_own_code(found: Ingredients, module: ModuleType, config: RunConfig) -> Ingredients:
    """The ingredients with those replaced, or added to, that an extension defines."""
    options, defines = config.variant.extension.options, module.__functions__

    def scalar(name: str, *arguments: Any) -> Tensor:
        value = calling(getattr(module, name), *arguments, options)
        if not isinstance(value, Tensor) or value.dim() != 0:
            given = f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise UserError(f"{module.__place__}: {name}: must return a scalar tensor, and gave {given}")
        return value

    def penalty(judged: Judged) -> Tensor:
        return scalar("penalty", judged.critic, judged.seen_real, judged.seen_fake)

    def generator_penalty(made: Made) -> Tensor:
        return scalar("generator_penalty", made.generator, made.real, made.fake)

    if "build_generator" in defines:
        found = replace(found, build_generator=partial(own_network, "generator", module=module))
    if "build_discriminator" in defines:
        found = replace(found, build_discriminator=partial(own_network, "discriminator", module=module))
    if "discriminator_loss" in defines:
        loss = partial(scalar, "discriminator_loss")
        found = replace(found, objective=replace(found.objective, discriminator=loss))
    if "generator_loss" in defines:
        loss = partial(scalar, "generator_loss")
        found = replace(found, objective=replace(found.objective, generator=loss, compares=True))
    if "penalty" in defines:
        found = replace(found, penalties=(*found.penalties, (1.0, Penalty(penalty))))
    if "generator_penalty" in defines:
        found = replace(found, image_penalties=(*found.image_penalties, (1.0, generator_penalty)))
    return found


# What takes the place of some ingredients, by the key of a variant that asks for it.
REPLACED: Table[str, Callable[[Ingredients, ModuleType, RunConfig], Ingredients]] = {"extension": with_own_code}


def ingredients_of(config: RunConfig, own: ModuleType | None) -> Ingredients:
    """A run's ingredients; `own` is the module of the variant's extension, where it has one."""
    variant = config.variant
    weights = variant.regularisers.model_dump()
    found = Ingredients(
        build_generator,
        build_discriminator,
        OBJECTIVES[variant.objective],
        *(_weighted(table, weights) for table in (PENALTIES, WEIGHT_PENALTIES, IMAGE_PENALTIES)),
    )
    if own is not None:
        found = REPLACED["extension"](found, own, config)
    return found


def _weighted(table: dict[str, Any], weights: Mapping[str, float]) -> tuple[tuple[float, Any], ...]:
    return tuple((weights[name], entry) for name, entry in table.items() if weights[name])


@dataclass(frozen=True)
class Growth:
    """Networks that change with the number of images seen.

    `grow` is called before each step with the trainer and the images seen so far. It may change buffers and trained
    parameters of the three networks and empty an optimiser's state; all that it sets must be in `state`.
    """

    grow: Callable[[Any, int], None]
    blend: Callable[[Any, Tensor, int], Tensor]  # real images [B, C, R, R] as they are seen by then, [B, C, S, S]


# By backbone.
GROWTH: Table[str, Growth] = {"progressive": Growth(growth.grow, growth.blend)}

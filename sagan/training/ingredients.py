"""What a run is made of, looked up once: networks, losses and penalties, each a plain function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from sagan.code.fingerprint import Table
from sagan.nn import build_discriminator, build_generator
from sagan.nn.orthogonality import orthogonality
from sagan.objectives import OBJECTIVES, PENALTIES, Objective, Penalty
from sagan.params.run import RunConfig
from sagan.training.extension import with_own_code
from sagan.training.matching import feature_matching


@dataclass(frozen=True)
class Made:
    """What the generator's update knows, as penalties on the generator see it.

    Attributes:
        fake: images of the update, [B, C, R, R], with their graph.
        real: the real images of the step, [B, C, R, R].
    """

    generator: nn.Module
    discriminator: nn.Module
    fake: Tensor
    real: Tensor


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


# What takes the place of some ingredients, by the key of a variant that asks for it.
REPLACED: Table[str, Callable[[Ingredients, ModuleType, RunConfig], Ingredients]] = {"extension": with_own_code}


def ingredients_of(config: RunConfig, own: ModuleType | None) -> Ingredients:
    """A run's ingredients.

    Args:
        own: the module of the variant's extension, where it has one.
    """
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

"""A run's complete configuration, from the plan to the step, and what of it says which run it is."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from sagan.params.common import Strict
from sagan.params.suites import Training
from sagan.params.variants import Recipe
from sagan.shapes import scale_resolutions

_OFF = (None, False, 0, "none", [], {})


class Image(Strict):
    """What a run's images are."""

    channels: int
    resolution: int
    classes: list[str] | None = Field(None, description="names, where the variant is told of them")


class RunTraining(Training):
    """A suite's budget with its snapshots resolved."""

    snapshots: list[int] = Field(description="the steps whose generator is kept; 0 and the last among them")


class RunConfig(Strict):
    """All that determines a run beside its dataset and its code."""

    variant: Recipe
    training: RunTraining
    seed: int
    image: Image

    def identity(self) -> dict[str, Any]:
        """What enters the key: everything that is not off. So a new switch, being off, leaves old keys alone."""
        return {**self.networks(), "training": switched_on(self.training), "seed": self.seed}

    def networks(self) -> dict[str, Any]:
        """The part of the identity that the networks are built from, as their files hold it."""
        return {"variant": switched_on(self.variant), "image": switched_on(self.image)}

    def tokens(self) -> frozenset[str | int]:
        """Every name and text of the identity, and the sides of images: which entries of tables the run uses."""
        sides = scale_resolutions(self.image.resolution, self.variant.discriminator.scales)
        return frozenset([*_words(self.identity()), *sides])


def switched_on(model: BaseModel) -> dict[str, Any]:
    """What a model says that is not off.

    False, 0, "none", nothing and what is empty are off. A field whose `only_with` is off says nothing, and one marked
    `label` is for people.
    """
    said = {}
    for name, field in type(model).model_fields.items():
        marks = field.json_schema_extra or {}
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            value = switched_on(value)
            is_off = not value and field.default is not None
        else:
            is_off = value in _OFF
        if not (is_off or marks.get("label") or ("only_with" in marks and getattr(model, marks["only_with"]) in _OFF)):
            said[name] = value
    return said


def _words(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(word for part in value.values() for word in _words(part))]
    if isinstance(value, list):
        return [word for part in value for word in _words(part)]
    return [value] if isinstance(value, str) else []

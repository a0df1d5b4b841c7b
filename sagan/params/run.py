"""A run's complete configuration, from a variant and a suite to the step, and what of it says which run it is."""

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, Field

from sagan.params import Params
from sagan.params.common import Strict, validated
from sagan.params.inheritance import merge
from sagan.params.suites import Suite, Training
from sagan.params.variants import Recipe, Variant
from sagan.shapes import resolve_side, scale_resolutions
from sagan.store.records import Json

NETWORKS = ("generator", "discriminator")
_OFF: tuple = (None, False, 0, "none", [], {})


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

    def identity(self) -> Json:
        """What enters the key: everything that is not off. So a new switch, being off, leaves old keys alone."""
        return {**switched_on(self), "seed": self.seed}

    def networks(self) -> Json:
        """What the networks are built from, as their files hold it."""
        return networks_of(self.variant, self.image)

    def tokens(self) -> frozenset[str | int]:
        """Every name and text of the identity, and the sides of images: which entries of tables the run uses."""
        sides = scale_resolutions(self.image.resolution, self.variant.discriminator.scales)
        return frozenset([*_words(self.identity()), *sides])


def suite_training(suite: Suite, name: str, variant: Variant) -> Training:
    """A suite's training with what the variant says of it laid over; a `UserError` where that does not fit."""
    merged = merge(suite.training.model_dump(), variant.training.model_dump(exclude_unset=True))
    return validated(Training, merged, prefix=f"variants.{name}.training")


def resolved_variant(variant: Variant, resolution: int) -> Recipe:
    """A variant as a run's configuration holds it: the recipe alone, with places as sides in pixels."""
    recipe = variant.model_dump(include=set(Recipe.model_fields))
    for role in NETWORKS:
        places = [resolve_side(place, resolution) for place in recipe[role]["attention_at"]]
        recipe[role]["attention_at"] = sorted(set(places))  # type: ignore[type-var]
        # It is a form of spectral norm, though networks are built by it alone.
        recipe[role]["spectral_norm_constraint"] &= recipe[role]["spectral_norm"]
    return Recipe.model_validate(recipe)


def resolved(params: Params, suite: str, name: str) -> tuple[Recipe, RunTraining]:
    """A variant of a suite as its runs' configuration holds it: places as sides in pixels, snapshots as steps."""
    spec, variant = params.suites[suite], params.variants[name]
    training = suite_training(spec, name, variant)
    budget = RunTraining(**{**training.model_dump(), "snapshots": training.snapshot_steps()})
    return resolved_variant(variant, params.datasets[spec.dataset].resolution), budget


def what_runs(params: Params, suite: str, name: str) -> Json:
    """What of a variant and its suite enters a run's key, but for the seed and the images."""
    recipe, training = resolved(params, suite, name)
    return {"variant": switched_on(recipe), "training": switched_on(training)}


def seen_by_own_code(params: Params, suite: str, name: str) -> Json | None:
    """What own networks see beside: all of their switches. Whether a file defines any, the plan finds out."""
    recipe, _ = resolved(params, suite, name)
    return None if recipe.extension is None else recipe.model_dump(include={"extension", *NETWORKS})


def networks_of(variant: Recipe, image: Image) -> Json:
    """What networks are built from: every switch, whether on or off."""
    return {"variant": variant.model_dump(exclude={"extension": {"file"}}), "image": image.model_dump()}


def completed(networks: Mapping[str, Any]) -> Json:
    """`RunConfig.networks` from a file of an earlier version, which held only what was on."""
    return {"variant": _completed(Recipe, networks["variant"]), "image": _completed(Image, networks["image"])}


def _completed(model: type[BaseModel], said: Mapping[str, Any]) -> Json:
    found = dict(said)
    for name, field in model.model_fields.items():
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if hasattr(kind, "model_fields")]
        if kinds and (name in said or field.default is not None):
            found[name] = _completed(kinds[0], said.get(name) or {})
        elif name not in said:
            found[name] = "none" if "none" in get_args(field.annotation) else field.get_default()
    return found


def switched_on(model: BaseModel) -> Json:
    """What a model says that is not off.

    False, 0, "none", nothing and what is empty are off. A field whose `only_with` is off says nothing, and one marked
    `label` is for people.
    """
    said = {}
    for name, field in type(model).model_fields.items():
        marks: Any = field.json_schema_extra or {}
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

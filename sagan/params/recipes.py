"""What runs: a variant with a suite's training, as rows of the suite and as tables for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sagan.errors import UserError, check_known, meant
from sagan.params import Params
from sagan.params.common import validated
from sagan.params.inheritance import leaves, merge
from sagan.params.run import switched_on
from sagan.params.suites import Listed, Suite, Training
from sagan.params.variants import Recipe, Variant
from sagan.shapes import resolve_side
from sagan.store.records import Json, canonical

NETWORKS = ("generator", "discriminator")


def suite_training(suite: Suite, name: str, variant: Variant) -> Training:
    """A suite's training with what the variant says of it laid over.

    Raises:
        UserError: what the variant says does not fit the suite's.
    """
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


def what_runs(params: Params, suite: str, name: str) -> Json:
    """What of a variant and its suite enters a run's key, but for the seed and the images."""
    spec, variant = params.suites[suite], params.variants[name]
    resolution = params.datasets[spec.dataset].resolution
    recipe, training = resolved_variant(variant, resolution), suite_training(spec, name, variant)
    return {"variant": switched_on(recipe), "training": switched_on(training)}


def rows(params: Params, suite: str) -> dict[str, Listed]:
    """A suite's rows by name, in the order of params.yaml. The baseline's is among them, perhaps as an alias.

    Raises:
        UserError: two are one recipe, or the baseline is none of them.
    """
    spec, place = params.suites[suite], f"suites.{suite}"
    cells = {name: levels for grid in spec.variants for name, levels in params.grids.get(grid, {}).items()}
    found: dict[str, Listed] = {}
    by_recipe: dict[str, str] = {}
    named = [name for name in [*spec.variants, spec.baseline] if name not in params.grids]
    for name in dict.fromkeys([*cells, *named]):
        extension = params.variants[name].extension
        # A file's name is a label; what is in it, the plan compares.
        recipe = canonical([what_runs(params, suite, name), extension and extension.file])
        same = by_recipe.get(recipe)
        if same is None and name not in [*cells, *spec.variants]:
            why = f"no such variant of this suite{meant(name, named[:-1])}; list it under `variants` too"
            raise UserError(f"{place}.baseline = {name!r}: {why}")
        if same is None:
            by_recipe[recipe] = name
            found[name] = Listed(name, cells.get(name, {}))
        elif same in cells and name not in cells:
            found[same].aliases.append(name)
        else:
            raise UserError(f"{place}.variants: {_one_recipe(params, same, name)}")
    order = dict.fromkeys(cell for name in spec.variants for cell in params.grids.get(name, [name]))
    return {name: found[name] for name in order if name in found}


def _one_recipe(params: Params, one: str, other: str) -> str:
    """That two variants are one recipe, and what differs in vain."""
    trees = [dict(leaves(params.variants[name].model_dump(exclude={"description", "ranked"}))) for name in (one, other)]
    off = [path for path, value in trees[0].items() if trees[1].get(path) != value]
    since = f", since {' and '.join(off)} {'counts' if len(off) == 1 else 'count'} for nothing in it" if off else ""
    return f"{one!r} and {other!r} are one recipe{since}; let one of them say something else, or list one alone"


# --- for people -----------------------------------------------------------------------------------


def recipe_lines(params: Params, name: str, suite: str | None) -> Iterator[str]:
    """What a variant's runs are made of, and where each value is said.

    Args:
        suite: whose training is shown, and whose images' sides; None for what the variant itself says.

    Raises:
        UserError: there is no such variant or suite.
    """
    check_known(name, name, params.grids.get(name, params.variants), "variant")
    variant, said_by = params.variants[name], params.said[name]
    if suite is None:
        recipe = switched_on(Recipe.model_validate(variant.model_dump(include=set(Recipe.model_fields))))
        recipe["training"] = variant.training.model_dump(exclude_unset=True)
    else:
        check_known(f"--suite {suite}", suite, params.suites, "suite")
        runs = what_runs(params, suite, name)
        recipe = {**runs["variant"], "training": runs["training"]}
        training = leaves(params.suites[suite].training.model_dump(exclude_unset=True), "training.")
        said_by = {path: f"suites.{suite}.{path}" for path, _ in training} | said_by
    told = [(path, as_text(value), said_by.get(path, "default")) for path, value in leaves(recipe)]
    rows = [("setting", "value", "said by"), *told]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
    yield ""
    yield "what is not listed is off" if suite else "what is not listed is off, or up to the suite (--suite NAME)"


def as_text(value: Any) -> str:
    """A setting's value for people; what is not there is off.

    >>> as_text(8.0e-3), as_text([14, 7]), as_text(True)
    ('0.008', '14, 7', 'on')
    """
    if value is None or isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(map(as_text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)

"""What runs: a variant with a suite's training, as rows of the suite and as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sagan.errors import UserError, did_you_mean, meant
from sagan.params import Params
from sagan.params.complaints import validated
from sagan.params.inheritance import leaves, merge
from sagan.params.run import switched_on
from sagan.params.suites import Listed, Suite, Training
from sagan.params.variants import DiscriminatorSwitches, GeneratorSwitches, Recipe, Regularisers, Variant
from sagan.shapes import resolve_side
from sagan.store.records import Json, canonical

NETWORKS = ("generator", "discriminator")


def suite_training(suite: Suite, name: str, variant: Variant) -> Training:
    """A suite's training with what the variant says of it laid over.

    Raises:
        UserError: what the variant says does not fit the suite's.
    """
    said = variant.training.model_dump()
    if not said:
        return suite.training
    return validated(Training, merge(suite.training.model_dump(), said), prefix=f"variants.{name}.training")


def resolved_variant(variant: Variant, resolution: int) -> Recipe:
    """A variant as a run's configuration holds it: the recipe alone, with places as sides in pixels."""
    recipe = variant.model_dump(include=set(Recipe.model_fields))
    for role in NETWORKS:
        places = [resolve_side(place, resolution) for place in recipe[role]["attention_at"]]
        recipe[role]["attention_at"] = sorted(set(places))
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


def row_named(listed: Mapping[str, Listed], name: str) -> str:
    """The row that a name or an alias stands for."""
    return next(row.name for row in listed.values() if name == row.name or name in row.aliases)


def _one_recipe(params: Params, one: str, other: str) -> str:
    """That two variants are one recipe, and what should differ."""
    levels = [_levels(params, name) for name in (one, other)]
    factors = [factor for factor, level in levels[0].items() if levels[1].get(factor, level) != level]
    trees = [dict(leaves(params.variants[name].model_dump(exclude={"description", "ranked"}))) for name in (one, other)]
    off = [path for path, value in trees[0].items() if trees[1].get(path) != value]
    told = f"{one!r} and {other!r} are one recipe"
    if off:
        told += f", since {' and '.join(off)} {'counts' if len(off) == 1 else 'count'} for nothing in it"
    if factors:
        names = " or ".join(f"{factor!r} ({levels[0][factor]}, {levels[1][factor]})" for factor in factors)
        return f"{told}; let the levels of factor {names} differ in what the recipe uses"
    return f"{told}; let one of them say something else, or list one alone"


def _levels(params: Params, name: str) -> dict[str, str]:
    return next((cells[name] for cells in params.grids.values() if name in cells), {})


# --- for people -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """Recipes beside each other. Settings that are off in all of them are left out.

    Attributes:
        shared: setting -> value, of what all have in common that have it.
        columns: the settings in which they differ.
        rows: name -> its value in each column; "off" where the recipe does not have it.
    """

    shared: dict[str, str]
    columns: list[str]
    rows: dict[str, list[str]]


def _tabulated(recipes: Mapping[str, Mapping[str, Any]]) -> _Table:
    """A setting of both networks that is the same in both, in each recipe, is one: `width` for both widths."""
    found = {name: {path: as_text(value) for path, value in said.items()} for name, said in recipes.items()}
    for setting in {path.partition(".")[2] for said in found.values() for path in said if path.startswith(NETWORKS)}:
        generator, discriminator = (f"{role}.{setting}" for role in NETWORKS)
        if all(said.get(generator) == said.get(discriminator) for said in found.values()):
            for name, said in found.items():
                said.pop(discriminator, None)
                found[name] = {setting if path == generator else path: value for path, value in said.items()}
    settings = list(dict.fromkeys(path for said in found.values() for path in said))
    values = {path: {said.get(path, "off") for said in found.values()} for path in settings}
    # What belongs to a switch is the same wherever that is on, if it is.
    columns = [path for path in settings if len(values[path] - ({"off"} if _belongs(path) else set())) > 1]
    return _Table(
        shared={path: max(values[path] - {"off"}) for path in settings if path not in columns},
        columns=columns,
        rows={name: [said.get(path, "off") for path in columns] for name, said in found.items()},
    )


def _belongs(path: str) -> bool:
    """Whether a setting says something only where another one is on."""
    name = path.rpartition(".")[2]
    models = (GeneratorSwitches, DiscriminatorSwitches, Regularisers)
    fields = [model.model_fields[name] for model in models if name in model.model_fields]
    return any("only_with" in (field.json_schema_extra or {}) for field in fields)


def recipe_lines(params: Params, name: str, suite: str | None) -> Iterator[str]:
    """What a variant's runs are made of, and where each value is said; of a grid what its variants share and differ in.

    Args:
        suite: whose training is shown, and whose images' sides; None for what the variant itself says.

    Raises:
        UserError: there is no such variant or grid, or no such suite.
    """
    known = [*params.variants, *params.grids]
    if name not in known:
        raise UserError(f"{name}: no such variant or grid{did_you_mean(name, known)}")
    if suite is not None and suite not in params.suites:
        raise UserError(f"--suite {suite}: no such suite{did_you_mean(suite, params.suites)}")
    recipes = {each: dict(leaves(_recipe_of(params, each, suite))) for each in params.grids.get(name, [name])}
    if name in params.grids:
        table = _tabulated(recipes)
        yield from _aligned([("setting", "value of all"), *table.shared.items()])
        yield ""
        yield from _aligned([("variant", *table.columns), *((row, *cells) for row, cells in table.rows.items())])
    else:
        said = params.said[name] | _suite_says(params, suite, name)
        values = {path: as_text(value) for path, value in recipes[name].items()}
        rows = [(path, value, said.get(path, "default")) for path, value in values.items()]
        yield from _aligned([("setting", "value", "said by"), *rows])
    yield ""
    yield "what is not listed is off" if suite else "what is not listed is off, or up to the suite (--suite NAME)"


def _recipe_of(params: Params, name: str, suite: str | None) -> Json:
    if suite is not None:
        runs = what_runs(params, suite, name)
        return {**runs["variant"], "training": runs["training"]}
    variant = params.variants[name]
    recipe = Recipe.model_validate(variant.model_dump(include=set(Recipe.model_fields)))
    return {**switched_on(recipe), "training": variant.training.model_dump()}


def _suite_says(params: Params, suite: str | None, name: str) -> dict[str, str]:
    """Of the suite's training, what the variant does not say itself."""
    if suite is None:
        return {}
    written = leaves(params.suites[suite].training.model_dump(exclude_unset=True))
    paths = [f"training.{path}" for path, _ in written]
    return {path: f"suites.{suite}.{path}" for path in paths if path not in params.said[name]}


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def as_text(value: Any) -> str:
    """A setting's value for people.

    >>> as_text(8.0e-3), as_text([14, 7]), as_text(True)
    ('0.008', '14, 7', 'on')
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(map(as_text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)

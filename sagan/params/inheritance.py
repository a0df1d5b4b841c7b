"""`like:` and `grid:`: from differences to complete variants, and where each value was said."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from sagan.errors import UserError, check_known
from sagan.params.common import validated
from sagan.store.records import Json

# What is laid over what came before, and the key path where it is written.
Layer = tuple[str, Mapping[str, Any]]
_Levels = Annotated[dict[str, dict[str, Any] | None], Field(min_length=1)]


class _Node(BaseModel):
    """A variant, a difference or a grid by its form."""

    model_config = ConfigDict(strict=True)
    like: str = ""
    grid: str | Annotated[dict[str, str | _Levels], Field(min_length=1)] = ""


class _Section(BaseModel):
    variants: dict[str, _Node]


def expand(tree: Json) -> tuple[dict[str, Json], dict[str, dict[str, dict[str, str]]], dict[str, dict[str, str]]]:
    """The section `variants:` with `like:` and `grid:` resolved: variants by name, then `grids` and `said` of `Params`.

    Raises:
        UserError: something in it is no variant, no difference or no grid by its form, or two have one name.
    """
    validated(_Section, tree)
    raw = tree["variants"]
    layers = {name: _layers(name, raw) for name in raw if "grid" not in raw[name]}
    variants, grids, said = {}, {}, {}
    for grid in (name for name in raw if "grid" in raw[name]):
        base = [(place, _without(difference, "description")) for place, difference in _layers(grid, raw)]
        factors = _factors(grid, raw)
        grids[grid] = {}
        for choice in itertools.product(*(levels.items() for levels in factors.values())):
            levels = dict(zip(factors, (level for level, _ in choice), strict=True))
            name = "-".join([grid, *levels.values()])
            if name in layers:
                raise UserError(f"variants.{grid}.grid: two variants would be named {name!r}; name a level otherwise")
            layers[name] = [*base, *(layer for _, layer in choice)]
            grids[grid][name] = levels
    for name, differences in layers.items():
        variant: Json = {}
        places: dict[str, str] = {}
        for place, difference in differences:
            variant = merge(variant, difference)
            places |= {path: f"{place}.{path}" for path, _ in leaves(difference)}
        variants[name] = variant
        said[name] = {path: places[path] for path, _ in leaves(variant)}
    return variants, grids, said


def merge(base: Json, difference: Mapping[str, Any]) -> Json:
    """`difference` laid over `base`, mapping by mapping; lists and scalars are replaced.

    >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    merged = dict(base)
    for key, value in difference.items():
        both_mappings = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both_mappings else value
    return merged


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each value that is no mapping, by its key path.

    >>> dict(leaves({"a": {"b": 1, "c": [2]}, "d": None}))
    {'a.b': 1, 'a.c': [2], 'd': None}
    """
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _layers(name: str, raw: Mapping[str, Any], chain: tuple[str, ...] = ()) -> list[Layer]:
    """What a variant is made of, from the one that it goes back to up to its own words."""
    place = f"variants.{name}"
    if name in chain:
        raise UserError(f"{place}.like: goes round in a circle ({' -> '.join([*chain, name])})")
    own = (place, _without(raw[name], "like", "grid"))
    if "like" not in raw[name]:
        return [own]
    like, plain = raw[name]["like"], [other for other in raw if "grid" not in raw[other]]
    check_known(f"{place}.like = {like!r}", like, plain, "variant")
    # A description is of the recipe that it stands beside.
    return [*((place, _without(said, "description")) for place, said in _layers(like, raw, (*chain, name))), own]


def _factors(grid: str, raw: Mapping[str, Any], chain: tuple[str, ...] = ()) -> dict[str, dict[str, Layer]]:
    """factor -> level -> what differs, and where that is written: here, or in a grid that is named in its place."""
    place, node, grids = f"variants.{grid}.grid", raw[grid]["grid"], [name for name in raw if "grid" in raw[name]]
    chain = (*chain, grid)

    def named(other: str, at: str) -> dict[str, dict[str, Layer]]:
        check_known(f"{at} = {other!r}", other, grids, "grid")
        if other in chain:
            raise UserError(f"{at}: goes round in a circle ({' -> '.join([*chain, other])})")
        return _factors(other, raw, chain)

    if isinstance(node, str):
        return named(node, place)
    found = {}
    for factor, levels in node.items():
        at = f"{place}.{factor}"
        if isinstance(levels, str):
            theirs = named(levels, at)
            check_known(f"{at} = {levels!r}", factor, theirs, "factor")
            found[factor] = theirs[factor]
        else:
            found[factor] = {level: (f"{at}.{level}", difference or {}) for level, difference in levels.items()}
    return found


def _without(tree: Mapping[str, Any], *keys: str) -> Json:
    return {key: value for key, value in tree.items() if key not in keys}

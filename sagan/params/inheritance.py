"""`like:` and `grid:`: from differences to complete variants, and where each value was said."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from sagan.errors import UserError, check_known
from sagan.params.complaints import Tree, validated

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


@dataclass(frozen=True)
class Expanded:
    """All variants, complete.

    Attributes:
        variants: name -> the variant; a grid gives one for each combination of levels, `<grid>-<level>-<level>…`.
        grids: grid -> variant -> factor -> level.
        said: variant -> a setting's key path within it -> the key path of params.yaml that says it.
    """

    variants: dict[str, Tree] = field(default_factory=dict)
    grids: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    said: dict[str, dict[str, str]] = field(default_factory=dict)


def expand(tree: Tree) -> Expanded:
    """The section `variants:` of the file with `like:` and `grid:` resolved.

    Raises:
        UserError: something in it is no variant, no difference or no grid by its form, or two have one name.
    """
    validated(_Section, tree)
    raw, found = tree["variants"], Expanded()
    for name in sorted(raw, key=lambda name: "grid" in raw[name]):
        if "grid" in raw[name]:
            _add_grid(found, name, raw)
        else:
            _add(found, name, _layers(name, raw))
    return found


def merge(base: Tree, difference: Mapping[str, Any]) -> Tree:
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


def _add(found: Expanded, name: str, layers: list[Layer]) -> None:
    variant: Tree = {}
    said: dict[str, str] = {}
    for place, difference in layers:
        variant = merge(variant, difference)
        said |= {path: f"{place}.{path}" for path, _ in leaves(difference)}
    found.variants[name] = variant
    found.said[name] = {path: said[path] for path, _ in leaves(variant)}


def _add_grid(found: Expanded, grid: str, raw: Mapping[str, Any]) -> None:
    base = [(place, _without(difference, "description")) for place, difference in _layers(grid, raw)]
    factors = _factors(grid, raw)
    found.grids[grid] = {}
    for choice in itertools.product(*(levels.items() for levels in factors.values())):
        levels = dict(zip(factors, (level for level, _ in choice), strict=True))
        name = "-".join([grid, *levels.values()])
        if name in found.variants:
            raise UserError(f"variants.{grid}.grid: two variants would be named {name!r}; name a level otherwise")
        _add(found, name, [*base, *(layer for _, layer in choice)])
        found.grids[grid][name] = levels


def _factors(grid: str, raw: Mapping[str, Any], chain: tuple[str, ...] = ()) -> dict[str, dict[str, Layer]]:
    """factor -> level -> what differs, and where that is written: here, or in a grid that is named in its place."""
    place, node = f"variants.{grid}.grid", raw[grid]["grid"]
    grids = [name for name in raw if "grid" in raw[name]]

    def others(place: str, other: str) -> dict[str, dict[str, Layer]]:
        check_known(f"{place} = {other!r}", other, grids, "grid")
        if other in (*chain, grid):
            raise UserError(f"{place}: goes round in a circle ({' -> '.join([*chain, grid, other])})")
        return _factors(other, raw, (*chain, grid))

    if isinstance(node, str):
        return others(place, node)
    found = {}
    for factor, levels in node.items():
        if isinstance(levels, str):
            theirs = others(f"{place}.{factor}", levels)
            check_known(f"{place}.{factor} = {levels!r}", factor, theirs, "factor")
            found[factor] = theirs[factor]
        else:
            found[factor] = {level: (f"{place}.{factor}.{level}", said or {}) for level, said in levels.items()}
    return found


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


def _without(tree: Mapping[str, Any], *keys: str) -> Tree:
    return {key: value for key, value in tree.items() if key not in keys}

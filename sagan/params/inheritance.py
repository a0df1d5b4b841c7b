"""`like:` and `grid:`: from differences to complete variants, and where each value was said."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sagan.errors import UserError, did_you_mean
from sagan.params.complaints import Tree, shown

# What is laid over what came before, and the key path where it is written.
Layer = tuple[str, Mapping[str, Any]]


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


def expand(raw: Mapping[str, Any]) -> Expanded:
    """The section `variants:` with `like:` and `grid:` resolved.

    Raises:
        UserError: something in it is no variant, no difference or no grid by its form, or two have one name.
    """
    for name, node in raw.items():
        _check_node(name, node, raw)
    found = Expanded()
    for name, node in raw.items():
        if "grid" not in node:
            _add(found, name, _layers(name, raw))
    for name, node in raw.items():
        if "grid" in node:
            _add_grid(found, name, raw)
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
    kept = dict(leaves(variant))
    found.variants[name] = variant
    found.said[name] = {path: place for path, place in said.items() if path in kept}


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
    if grid in chain:
        raise UserError(f"{place}: goes round in a circle ({' -> '.join([*chain, grid])})")
    if isinstance(node, str):
        return _factors(node, raw, (*chain, grid))
    found = {}
    for factor, levels in node.items():
        if isinstance(levels, str):
            others = _factors(levels, raw, (*chain, grid))
            if factor not in others:
                raise UserError(f"{place}.{factor} = {levels!r}: has no such factor{did_you_mean(factor, others)}")
            found[factor] = others[factor]
        else:
            found[factor] = {level: (f"{place}.{factor}.{level}", said or {}) for level, said in levels.items()}
    return found


def _layers(name: str, raw: Mapping[str, Any], chain: tuple[str, ...] = ()) -> list[Layer]:
    """What a variant is made of, from the one that it goes back to up to its own words."""
    if name in chain:
        raise UserError(f"variants.{name}.like: goes round in a circle ({' -> '.join([*chain, name])})")
    node = raw[name]
    own = (f"variants.{name}", _without(node, "like", "grid"))
    if "like" not in node:
        return [own]
    # A description is of the recipe that it stands beside.
    inherited = _layers(node["like"], raw, (*chain, name))
    return [*((place, _without(difference, "description")) for place, difference in inherited), own]


def _without(tree: Mapping[str, Any], *keys: str) -> Tree:
    return {key: value for key, value in tree.items() if key not in keys}


# --- form -----------------------------------------------------------------------------------------


def _check_node(name: Any, node: Any, raw: Mapping[str, Any]) -> None:
    """Refuse what is not a variant, a difference or a grid by its form."""
    if not isinstance(name, str):
        raise UserError(f"variants: a name must be text; put {name!r} in quotes")
    if not isinstance(node, Mapping):
        raise UserError(f"variants.{name} = {shown(node)}: must be a mapping")
    grids = [str(key) for key, value in raw.items() if isinstance(value, Mapping) and "grid" in value]
    plain = [str(key) for key in raw if key not in grids]
    if "like" in node and node["like"] not in plain:
        raise UserError(
            f"variants.{name}.like = {shown(node['like'])}: no such variant{did_you_mean(str(node['like']), plain)}"
        )
    if "grid" not in node:
        return
    place, grid = f"variants.{name}.grid", node["grid"]
    if isinstance(grid, str):
        _check_known_grid(place, grid, grids)
    elif not isinstance(grid, Mapping) or not grid:
        raise UserError(f"{place} = {shown(grid)}: must map each factor to its levels, or name another variant's grid")
    else:
        for factor, levels in grid.items():
            _check_levels(f"{place}.{factor}", factor, levels, grids)


def _check_levels(place: str, factor: Any, levels: Any, grids: list[str]) -> None:
    if not isinstance(factor, str):
        raise UserError(f"{place}: a factor's name must be text; put {factor!r} in quotes")
    if isinstance(levels, str):
        _check_known_grid(place, levels, grids)
        return
    if not isinstance(levels, Mapping) or not levels:
        raise UserError(f"{place}: must map each level to what differs, such as 'on: {{}}', or name a grid that does")
    for level, difference in levels.items():
        if not isinstance(level, str):
            raise UserError(f"{place}: a level's name must be text; put {level!r} in quotes")
        if not isinstance(difference, Mapping | None):
            raise UserError(f"{place}.{level} = {shown(difference)}: must be a mapping of what differs")


def _check_known_grid(place: str, name: str, grids: list[str]) -> None:
    if name not in grids:
        raise UserError(f"{place} = {name!r}: no variant of that name has a grid{did_you_mean(name, grids)}")

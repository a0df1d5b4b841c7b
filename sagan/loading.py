"""Reading `params.yaml`: inheritance, grids, checks across sections, and one-line messages.

`variants` are written as differences (`like: sagan` plus what differs) or as a factorial `grid:`;
both become complete variants here, so that nothing further on knows of either.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from sagan.errors import UserError
from sagan.params import Params
from sagan.params.suites import Suite
from sagan.params.variants import Variant
from sagan.schema import model_at
from sagan.shapes import BASE_SIDE, feature_sides, resolve_side, scale_resolutions

Tree = dict[str, Any]
TOP_LEVEL = ("repro", "datasets", "variants", "suites", "tracking")


def load_params(path: Path = Path("params.yaml")) -> Params:
    """The whole benchmark as typed objects.

    Raises:
        UserError: with the file, the key path, the value and what is accepted.
    """
    raw = _read_yaml(path)
    try:
        unknown = [key for key in raw if key not in TOP_LEVEL]
        if unknown:
            raise UserError(_unknown_key(unknown[0], unknown[0], TOP_LEVEL))
        variants, grids = expand_variants(_mapping(raw, "variants"))
        raw = {**raw, "variants": variants, "grids": grids}
        params = _validated(Params, raw, prefix="")
        params = params.model_copy(update={"suites": {n: _with_grids(s, grids) for n, s in params.suites.items()}})
        _check_names(params)
        _check_references(params)
        return params
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def suite_variant(params: Params, suite_name: str, variant_name: str) -> Variant:
    """A variant as a suite trains it: with the suite's overrides laid over it.

    Raises:
        UserError: where the overrides do not fit a variant.
    """
    suite = params.suites[suite_name]
    merged = merge(params.variants[variant_name].model_dump(), suite.overrides)
    return _validated(Variant, merged, prefix=f"suites.{suite_name}.overrides")


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


# --- like: and grid: ----------------------------------------------------------------------------


def expand_variants(raw: Mapping[str, Any]) -> tuple[Tree, dict[str, Tree]]:
    """Complete variants, and for each grid the factor levels of each of its variants.

    A grid's cell that equals a named variant *is* that variant: it keeps the name, so that it is
    trained once. Other cells are named `<grid>-<level>-<level>…` in the order of the factors.
    """
    plain = {name: _resolve(name, raw, ()) for name, node in raw.items() if "grid" not in (node or {})}
    complete, grids = dict(plain), {}
    for name, node in raw.items():
        if "grid" not in (node or {}):
            continue
        base = _resolve(name, raw, ())
        factors = _mapping(node, "grid", f"variants.{name}.")
        for factor, levels in factors.items():
            if not isinstance(levels, Mapping) or not levels:
                raise UserError(
                    f"variants.{name}.grid.{factor}: must map each level to what differs, such as 'on: {{}}'"
                )
        cells: dict[str, Tree] = {}
        for choice in itertools.product(*(levels.items() for levels in factors.values())):
            cell = base
            for _, difference in choice:
                cell = merge(cell, difference or {})
            equal = [n for n, v in plain.items() if _recipe(v) == _recipe(cell)]
            cell_name = equal[0] if equal else "-".join([name, *(level for level, _ in choice)])
            complete.setdefault(cell_name, cell)
            cells[cell_name] = dict(zip(factors, (level for level, _ in choice), strict=True))
        grids[name] = cells
    return complete, grids


def _resolve(name: str, raw: Mapping[str, Any], chain: tuple[str, ...]) -> Tree:
    if name in chain:
        raise UserError(f"variants.{name}.like: goes round in a circle ({' -> '.join([*chain, name])})")
    node = raw[name]
    if not isinstance(node, Mapping):
        raise UserError(f"variants.{name} = {node!r}: must be a mapping")
    own = {key: value for key, value in node.items() if key not in ("like", "grid")}
    if "like" not in node:
        return own
    parent = node["like"]
    if parent not in raw or "grid" in raw[parent]:
        plain = [key for key, value in raw.items() if "grid" not in value]
        raise UserError(f"variants.{name}.like = {parent!r}: no such variant{_suggest(str(parent), plain)}")
    inherited = {k: v for k, v in _resolve(parent, raw, (*chain, name)).items() if k != "description"}
    return merge(inherited, own)


def _recipe(variant: Tree) -> Tree:
    return {key: value for key, value in variant.items() if key != "description"}


def _with_grids(suite: Suite, grids: Mapping[str, Tree]) -> Suite:
    names = itertools.chain.from_iterable(grids.get(name, [name]) for name in suite.variants)
    return suite.model_copy(update={"variants": list(dict.fromkeys(names))})


# --- checks across sections ---------------------------------------------------------------------


def _check_names(params: Params) -> None:
    """Names become names of files and folders, which must stay where they belong."""
    for section in ("datasets", "variants", "suites"):
        for name in getattr(params, section):
            if not re.fullmatch(r"[A-Za-z0-9][\w.+=-]*", name, re.ASCII):
                raise UserError(
                    f"{section}: {name!r} names files: begin with a letter or digit, and use only those and . _ - + ="
                )


def _check_references(params: Params) -> None:
    for position, name in enumerate(params.repro):
        _check_known(f"repro[{position}]", name, params.suites, "suite")
    for name, suite in params.suites.items():
        place = f"suites.{name}"
        _check_known(f"{place}.dataset", suite.dataset, params.datasets, "dataset")
        for position, variant in enumerate(suite.variants):
            _check_known(f"{place}.variants[{position}]", variant, params.variants, "variant")
        _check_known(f"{place}.baseline", suite.baseline, suite.variants, "variant of this suite")
        for variant in suite.variants:
            _check_attention(params, name, variant)
            penalties = suite_variant(params, name, variant).regularisers
            if suite.training.compile and (penalties.gradient_penalty or penalties.r1):
                raise UserError(
                    f"{place}.training.compile = true: torch.compile has no gradients of gradients, which the penalty "
                    f"of variant {variant!r} needs; say compile: false"
                )


def _check_attention(params: Params, suite_name: str, variant_name: str) -> None:
    dataset = params.datasets[params.suites[suite_name].dataset]
    variant = suite_variant(params, suite_name, variant_name)
    known = BASE_SIDE[variant.backbone]
    if dataset.resolution not in known:
        raise UserError(
            f"variants.{variant_name}.backbone = {variant.backbone!r}: makes images of {', '.join(map(str, known))} "
            f"pixels, and in suite {suite_name!r} they have {dataset.resolution}"
        )
    smallest = scale_resolutions(dataset.resolution, variant.discriminator.scales)[-1]
    if smallest not in known:
        raise UserError(
            f"variants.{variant_name}.discriminator.scales = {variant.discriminator.scales}: in suite {suite_name!r} "
            f"the last discriminator would see {smallest} pixels, and {variant.backbone} takes "
            f"{', '.join(map(str, known))}"
        )
    for network in ("generator", "discriminator"):
        sides = feature_sides(variant.backbone, network, dataset.resolution)
        switches = getattr(variant, network)
        for place in switches.attention_at:
            side = resolve_side(place, dataset.resolution)
            where = f"variants.{variant_name}.{network}.attention_at = {place!r}"
            if side not in sides:
                raise UserError(
                    f"{where}: in suite {suite_name!r} the images are {dataset.resolution}x{dataset.resolution} "
                    f"and the {variant.backbone} {network} has feature maps of {', '.join(map(str, sides))}"
                )
            if side % 2 and switches.attention in ("official", "average-pooled"):
                raise UserError(
                    f"{where}: {switches.attention} attention pools keys 2x2, which a side of {side} does not allow; "
                    "say `attention: unpooled` or name a larger map"
                )


def _check_known(place: str, name: str, known: Iterable[str], what: str) -> None:
    if name not in known:
        raise UserError(f"{place} = {name!r}: no such {what}{_suggest(name, known)}")


# --- messages -----------------------------------------------------------------------------------


def _validated(model, tree: Tree, prefix: str):
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise UserError(_one_line(error, tree, prefix)) from None


def _one_line(error: ValidationError, tree: Tree, prefix: str) -> str:
    """The most telling of pydantic's complaints, as `key.path = value: what is accepted`."""
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    path, node, shown = prefix, tree, []
    for part in first["loc"]:
        # Pydantic adds the branch of a union that it tried to the place; the file has no such key.
        if _holds(node, part):
            node = node[part]
        elif first["type"] != "missing" or part != first["loc"][-1]:
            continue
        path += f"[{part}]" if isinstance(part, int) else f"{'.' if path else ''}{part}"
        shown.append(part)
    if first["type"] == "extra_forbidden":
        return _unknown_key(path, str(first["loc"][-1]), _accepted_keys(error.title, first["loc"][:-1]))
    if first["type"] == "missing":
        return f"{path}: is missing"
    message = first["msg"].removeprefix("Value error, ")
    alternatives = {e["msg"] for e in error.errors() if _shares_place(e["loc"], first["loc"])}
    if len(alternatives) > 1:
        message = " or ".join(sorted(alternatives))
    return f"{path} = {node!r}: {message[0].lower()}{message[1:]}"


def _holds(node: Any, part: str | int) -> bool:
    if isinstance(node, list):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, Mapping) and part in node


def _shares_place(loc: tuple, other: tuple) -> bool:
    """Two branches of one union complain of the same value."""
    return len(loc) > 1 and loc[:-1] == other[:-1]


def _unknown_key(path: str, key: str, accepted: Iterable[str]) -> str:
    return f"{path}: unknown key{_suggest(key, accepted)}"


def _suggest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    meant = f", did you mean {close[0]!r}?" if close else ""
    return f"{meant} (accepted: {', '.join(known)})" if known else meant


def _accepted_keys(title: str, loc: tuple) -> list[str]:
    """The keys of the model at a place, found by walking the types."""
    model = model_at({"Params": Params, "Variant": Variant}[title], loc)
    return [name for name in model.model_fields if name != "grids"] if model else []


def _mapping(tree: Mapping[str, Any], key: str, prefix: str = "") -> Mapping[str, Any]:
    value = tree.get(key)
    if not isinstance(value, Mapping):
        raise UserError(f"{prefix}{key}: must be a mapping, and is {'missing' if value is None else repr(value)}")
    return value


def _read_yaml(path: Path) -> Tree:
    try:
        tree = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run this in the folder that holds params.yaml") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        raise UserError(f"{path}, line {mark.line + 1}, column {mark.column + 1}: not YAML: {error.problem}") from None
    if not isinstance(tree, Mapping):
        raise UserError(f"{path}: must be a mapping with the keys {', '.join(TOP_LEVEL)}")
    return dict(tree)

"""Reading `params.yaml`: inheritance, grids, checks across sections, and one-line messages.

`variants` are written as differences (`like: sagan` plus what differs) or as a factorial `grid:`;
both become complete variants here, so that nothing further on knows of either.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from sagan.errors import UserError, did_you_mean, first_line
from sagan.names import FILE_NAME, is_file_name
from sagan.params import Params
from sagan.params.complaints import Tree, shown, validated
from sagan.params.fitting import check_resolution
from sagan.params.suites import Suite, learnt_alike
from sagan.params.variants import Regularisers, Variant

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
            raise UserError(f"{unknown[0]}: unknown key{did_you_mean(str(unknown[0]), TOP_LEVEL)}")
        variants, grids = expand_variants(_mapping(raw, "variants"))
        raw = {**raw, "variants": variants, "grids": grids}
        params = validated(Params, raw, prefix="")
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
    return validated(Variant, merged, prefix=f"suites.{suite_name}.overrides")


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
    for name, node in raw.items():
        _check_node(name, node, raw)
    plain = {name: _resolve(name, raw, ()) for name, node in raw.items() if "grid" not in node}
    complete, grids = dict(plain), {}
    for name, node in raw.items():
        if "grid" not in node:
            continue
        base = _resolve(name, raw, ())
        factors = node["grid"]
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
    own = {key: value for key, value in node.items() if key not in ("like", "grid")}
    if "like" not in node:
        return own
    inherited = {k: v for k, v in _resolve(node["like"], raw, (*chain, name)).items() if k != "description"}
    return merge(inherited, own)


def _check_node(name: Any, node: Any, raw: Mapping[str, Any]) -> None:
    """Refuse what is not a variant, a difference or a grid by its form."""
    if not isinstance(name, str):
        raise UserError(f"variants: a name must be text; put {name!r} in quotes")
    if not isinstance(node, Mapping):
        raise UserError(f"variants.{name} = {shown(node)}: must be a mapping")
    plain = [str(key) for key, value in raw.items() if not (isinstance(value, Mapping) and "grid" in value)]
    if "like" in node and node["like"] not in plain:
        raise UserError(
            f"variants.{name}.like = {shown(node['like'])}: no such variant{did_you_mean(str(node['like']), plain)}"
        )
    for factor, levels in (_mapping(node, "grid", f"variants.{name}.") if "grid" in node else {}).items():
        place = f"variants.{name}.grid.{factor}"
        if not isinstance(levels, Mapping) or not levels:
            raise UserError(f"{place}: must map each level to what differs, such as 'on: {{}}'")
        for level, difference in levels.items():
            if not isinstance(level, str):
                raise UserError(f"{place}: a level's name must be text; put {level!r} in quotes")
            if not isinstance(difference, Mapping | None):
                raise UserError(f"{place}.{level} = {shown(difference)}: must be a mapping of what differs")


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
            if not is_file_name(name):
                raise UserError(
                    f"{section}: {name!r} names files: begin with a letter or digit, and use only those and . _ - + =, "
                    f"at most {FILE_NAME} of them"
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
        _check_questions(name, suite, params)
        _check_spaces(place, suite, params.datasets[suite.dataset].kind == "stacked-mnist")
        for variant in suite.variants:
            resolution = params.datasets[suite.dataset].resolution
            recipe = suite_variant(params, name, variant)
            check_resolution(variant, recipe, resolution, f"in suite {name!r}")
            penalties = recipe.regularisers
            _check_matching(place, suite, variant, penalties, params)
            if suite.training.compile and (penalties.gradient_penalty or penalties.r1 or penalties.r2):
                raise UserError(
                    f"{place}.training.compile = true: torch.compile has no gradients of gradients, which the penalty "
                    f"of variant {variant!r} needs; say compile: false"
                )


def _check_matching(place: str, suite: Suite, variant: str, penalties: Regularisers, params: Params) -> None:
    """Refuse to match statistics of parts of a batch, and to compare with what is trained on what measures it."""
    if (penalties.feature_matching or penalties.moment_matching) and suite.training.accumulate > 1:
        raise UserError(
            f"{place}.training.accumulate = {suite.training.accumulate}: variant {variant!r} matches statistics of the "
            "whole batch, which its parts do not have; say accumulate: 1"
        )
    if penalties.fixed_network == "classifier" and params.datasets[suite.dataset].kind == "stacked-mnist":
        raise UserError(
            f"{place}: variant {variant!r}: regularisers.moment_network = 'classifier': the 1,000 classes of dataset "
            f"{suite.dataset!r} are too many for one"
        )
    asked = [cells for cells in params.grids.values() if cells.keys() <= set(suite.variants)] if suite.questions else []
    for space in suite.evaluation.spaces:
        is_cell = space == suite.evaluation.extractor and any(variant in cells for cells in asked)
        learnt = learnt_alike(penalties.fixed_network, space)
        if learnt and (variant == suite.baseline or is_cell):
            role = "is the baseline" if variant == suite.baseline else "is a cell of a grid that is asked about"
            raise UserError(
                f"{place}.evaluation: variant {variant!r} {role}, and is trained on features learnt from {learnt}, as "
                f"those of {space!r} are, in which it is measured; that is never compared"
            )


def _check_questions(name: str, suite: Suite, params: Params) -> None:
    """Refuse questions that no grid of the suite can answer: all are two-level factors of one of its grids."""
    grids = {grid: cells for grid, cells in params.grids.items() if cells.keys() <= set(suite.variants)}
    levels: dict[str, set[str]] = {}
    for cells in grids.values():
        for factors in cells.values():
            for factor, level in factors.items():
                levels.setdefault(factor, set()).add(level)
    for position, factor in enumerate(suite.questions):
        place = f"suites.{name}.questions[{position}]"
        if factor not in levels:
            raise UserError(
                f"{place} = {factor!r}: no such factor of a grid among this suite's variants"
                f"{did_you_mean(factor, levels)}; `questions: []` asks none"
            )
        if len(levels[factor]) != 2:
            raise UserError(f"{place} = {factor!r}: has {len(levels[factor])} levels; a question compares two")
    if suite.questions and not any(set(suite.questions) <= next(iter(c.values())).keys() for c in grids.values()):
        raise UserError(f"suites.{name}.questions: no one grid has all of {', '.join(suite.questions)}")


def _check_spaces(place: str, suite: Suite, is_stacked: bool) -> None:
    """Stacks of digits have a classifier of their own: 1,000 classes are too many for the plain one."""
    fitting, other = ("stacked-classifier", "classifier")[:: 1 if is_stacked else -1]
    if other in suite.evaluation.spaces:
        key = "extractor" if suite.evaluation.extractor == other else "also"
        problem = f"{other!r} does not fit dataset {suite.dataset!r}; use {fitting!r} or 'inception'"
        raise UserError(f"{place}.evaluation.{key}: {problem}")


def _check_known(place: str, name: str, known: Iterable[str], what: str) -> None:
    if name not in known:
        raise UserError(f"{place} = {name!r}: no such {what}{did_you_mean(name, known)}")


# --- the file ------------------------------------------------------------------------------------


def _mapping(tree: Mapping[str, Any], key: str, prefix: str = "") -> Mapping[str, Any]:
    value = tree.get(key)
    if not isinstance(value, Mapping):
        raise UserError(f"{prefix}{key}: must be a mapping, and is {'missing' if value is None else shown(value)}")
    return value


def _read_yaml(path: Path) -> Tree:
    try:
        tree = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: not found here or above; run this inside a clone of the benchmark") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: not UTF-8; save the file in that encoding") from None
    except (YAMLError, ValueError, TypeError, RecursionError) as error:
        mark = error.problem_mark or error.context_mark if isinstance(error, MarkedYAMLError) else None
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = error.problem if mark else first_line(error)
        raise UserError(f"{path}{place}: not YAML: {reason}") from None
    if not isinstance(tree, Mapping):
        raise UserError(f"{path}: must be a mapping with the keys {', '.join(TOP_LEVEL)}")
    return dict(tree)

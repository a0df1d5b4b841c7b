"""Reading `params.yaml`: from the file to typed objects, with checks across sections.

`variants` are written as differences (`like: sagan` plus what differs) or as a factorial `grid:`; `inheritance` makes
complete variants of both, so that nothing further on knows of either.
"""

from __future__ import annotations

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
from sagan.params.inheritance import expand
from sagan.params.recipes import row_named, rows, suite_training
from sagan.params.spaces import DIGITS
from sagan.params.suites import Listed, Suite, Training
from sagan.params.variants import Variant

TOP_LEVEL = ("repro", "datasets", "variants", "suites", "tracking")


def load_params(path: Path = Path("params.yaml")) -> Params:
    """The whole benchmark as typed objects.

    Raises:
        UserError: with the file, the key path, the value and what is accepted.
    """
    try:
        return params_of(read_yaml(path))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def params_of(raw: Tree) -> Params:
    """The typed objects of a tree as the file has it.

    Raises:
        UserError: with the key path, the value and what is accepted.
    """
    unknown = [key for key in raw if key not in TOP_LEVEL]
    if unknown:
        raise UserError(f"{unknown[0]}: unknown key{did_you_mean(str(unknown[0]), TOP_LEVEL)}")
    expanded = expand(_mapping(raw, "variants"))
    params = validated(Params, {**raw, "variants": expanded.variants}, prefix="")
    params = params.model_copy(update={"grids": expanded.grids, "said": expanded.said})
    _check_names(params)
    _check_references(params)
    params = _with_rows(params)
    _check_suites(params)
    return params


def _names(listed: Mapping[str, Listed]) -> list[str]:
    return [name for row in listed.values() for name in (row.name, *row.aliases)]


def _with_rows(params: Params) -> Params:
    """With each suite's grids written out: its variants are its rows and their aliases, its baseline is a row."""
    listed = {name: rows(params, name) for name in params.suites}
    suites = {
        name: suite.model_copy(
            update={"variants": _names(listed[name]), "baseline": row_named(listed[name], suite.baseline)}
        )
        for name, suite in params.suites.items()
    }
    return params.model_copy(update={"suites": suites, "rows": listed})


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
    """Refuse names that name nothing, and images that a variant cannot make."""
    for position, name in enumerate(params.repro):
        _check_known(f"repro[{position}]", name, params.suites, "suite")
    known = [*params.variants, *params.grids]
    for name, suite in params.suites.items():
        place = f"suites.{name}"
        _check_known(f"{place}.dataset", suite.dataset, params.datasets, "dataset")
        for position, variant in enumerate(suite.variants):
            _check_known(f"{place}.variants[{position}]", variant, known, "variant")
        _check_known(f"{place}.baseline", suite.baseline, params.variants, "variant")
        resolution = params.datasets[suite.dataset].resolution
        for listed in [*suite.variants, suite.baseline]:
            for variant in params.grids.get(listed, [listed]):
                check_resolution(variant, params.variants[variant], resolution, f"in suite {name!r}")


def _check_suites(params: Params) -> None:
    for name, suite in params.suites.items():
        place = f"suites.{name}"
        _check_questions(name, suite, params)
        _check_spaces(place, suite, params.datasets[suite.dataset].kind)
        for variant in suite.variants:
            recipe = params.variants[variant]
            training, penalties = suite_training(suite, variant, recipe), recipe.regularisers
            _check_matching(place, suite, training, variant, recipe, params)
            if training.compile and (penalties.gradient_penalty or penalties.r1 or penalties.r2):
                raise UserError(
                    f"{place}.training.compile = true: torch.compile has no gradients of gradients, which the penalty "
                    f"of variant {variant!r} needs; say compile: false"
                )


def _check_matching(
    place: str, suite: Suite, training: Training, variant: str, recipe: Variant, params: Params
) -> None:
    """Refuse to match statistics of parts of a batch, and to compare with what is never compared."""
    if recipe.regularisers.feature_matching and training.accumulate > 1:
        raise UserError(
            f"{place}.training.accumulate = {training.accumulate}: variant {variant!r} matches statistics of the "
            "whole batch, which its parts do not have; say accumulate: 1"
        )
    asked = [cells for cells in params.grids.values() if cells.keys() <= set(suite.variants)] if suite.questions else []
    if not recipe.ranked and (variant == suite.baseline or any(variant in cells for cells in asked)):
        role = "is the baseline" if variant == suite.baseline else "is a cell of a grid that is asked about"
        raise UserError(f"{place}: variant {variant!r} {role}, and says ranked: false, so that it is never compared")


def _check_questions(name: str, suite: Suite, params: Params) -> None:
    """Refuse questions that no grid of the suite can answer: all are factors of one of its grids."""
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
        if len(levels[factor]) < 2:
            raise UserError(f"{place} = {factor!r}: has one level; a question compares two or more")
    if suite.questions and not any(set(suite.questions) <= next(iter(c.values())).keys() for c in grids.values()):
        raise UserError(f"suites.{name}.questions: no one grid has all of {', '.join(suite.questions)}")


def _check_spaces(place: str, suite: Suite, kind: str) -> None:
    """Refuse classifiers of other images: of digits where there are none, of one digit where there are three."""
    is_digits = kind in ("mnist", "mnist5k")
    misfits = {
        "stacked-mnist": ["classifier", *DIGITS],  # 1,000 classes are too many for one
        "other": ["stacked-digits", *(() if is_digits else DIGITS)],
    }["stacked-mnist" if kind == "stacked-mnist" else "other"]
    for space in suite.evaluation.spaces:
        if space in misfits:
            key = "extractor" if suite.evaluation.extractor == space else "also"
            fitting = "stacked-digits" if kind == "stacked-mnist" else "digits" if is_digits else "classifier"
            problem = f"{space!r} does not fit dataset {suite.dataset!r}; use {fitting!r} or 'inception'"
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


def read_yaml(path: Path) -> Tree:
    """The file as it is written.

    Raises:
        UserError: it is not there, or no mapping in YAML.
    """
    try:
        return parsed(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        raise UserError(f"{path}: not found here or above; run this inside a clone of the benchmark") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: not UTF-8; save the file in that encoding") from None


def parsed(text: str, path: Path) -> Tree:
    """A text of the file as a tree; `path` is what errors name.

    Raises:
        UserError: it is no mapping in YAML.
    """
    try:
        tree = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, TypeError, RecursionError) as error:
        mark = error.problem_mark or error.context_mark if isinstance(error, MarkedYAMLError) else None
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = error.problem if mark else first_line(error)
        raise UserError(f"{path}{place}: not YAML: {reason}") from None
    if not isinstance(tree, Mapping):
        raise UserError(f"{path}: must be a mapping with the keys {', '.join(TOP_LEVEL)}")
    return dict(tree)

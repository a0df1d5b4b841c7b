"""Reading `params.yaml`: from the file to typed objects, with checks across sections.

`variants` are written as differences (`like: sagan` plus what differs) or as a factorial `grid:`; `inheritance` makes
complete variants of both, so that nothing further on knows of either.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from sagan.errors import UserError, check_known, did_you_mean, first_line
from sagan.names import FILE_NAME, is_file_name
from sagan.params import File, Params
from sagan.params.complaints import Tree, validated
from sagan.params.fitting import check_resolution
from sagan.params.inheritance import expand
from sagan.params.recipes import rows, suite_training
from sagan.params.suites import DIGITS, Suite

# Of a report's tables, beside one for each factor (tests/analysis/test_tables.py holds them to the tables).
_COLUMNS = """
    variant seed space run evaluation status lost collapsed went_wrong collapsed_at diverged_at fid fid_infinity kid is
    precision recall density modes mode_kl coverage fid_matched is_matched recall_matched coverage_matched
    fid_untrained fid_best best_step nearer_than_held_out step steps images images_per_second seconds step_seconds load
    generated_per_second evaluation_seconds parameters_generator parameters_discriminator generator_sha256 device
    threads diversity side
""".split()  # noqa: SIM905 (a list of literals is a column of 50 lines)


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
    if unknown := [key for key in raw if key not in File.model_fields]:
        raise UserError(f"{unknown[0]}: unknown key{did_you_mean(str(unknown[0]), File.model_fields)}")
    expanded = expand(raw)
    file = validated(File, {**raw, "variants": expanded.variants})
    params = Params(**dict(file), grids=expanded.grids, said=expanded.said, rows={})
    _check_names(params)
    _check_factors(params)
    _check_references(params)
    listed = {name: rows(params, name) for name in params.suites}
    suites = {}
    for name, suite in params.suites.items():
        known = {alias: row.name for row in listed[name].values() for alias in (row.name, *row.aliases)}
        suites[name] = suite.model_copy(update={"variants": [*known], "baseline": known[suite.baseline]})
    params = params.model_copy(update={"suites": suites, "rows": listed})
    for name, suite in params.suites.items():
        _check_questions(name, suite, params)
        _check_spaces(name, suite, params.datasets[suite.dataset].kind)
        for variant in suite.variants:
            _check_training(name, suite, variant, params)
    return params


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


def _check_factors(params: Params) -> None:
    """A report's tables have a column for each factor, beside their own."""
    for grid, cells in params.grids.items():
        for factor in next(iter(cells.values())):
            if factor in _COLUMNS:
                raise UserError(
                    f"variants.{grid}.grid.{factor}: is a column of every report; name the factor otherwise"
                )


def _check_references(params: Params) -> None:
    """Refuse names that name nothing, and images that a variant cannot make."""
    known = [*params.variants, *params.grids]
    for position, name in enumerate(params.repro):
        check_known(f"repro[{position}] = {name!r}", name, params.suites, "suite")
    for name, suite in params.suites.items():
        place = f"suites.{name}"
        check_known(f"{place}.dataset = {suite.dataset!r}", suite.dataset, params.datasets, "dataset")
        for position, variant in enumerate(suite.variants):
            check_known(f"{place}.variants[{position}] = {variant!r}", variant, known, "variant")
        check_known(f"{place}.baseline = {suite.baseline!r}", suite.baseline, params.variants, "variant")
        resolution = params.datasets[suite.dataset].resolution
        for listed in [*suite.variants, suite.baseline]:
            for variant in params.grids.get(listed, [listed]):
                check_resolution(variant, params.variants[variant], resolution, f"in suite {name!r}")


def _grids(suite: Suite, params: Params) -> list[dict[str, dict[str, str]]]:
    """The grids whose combinations a suite lists, all of them."""
    return [cells for cells in params.grids.values() if cells.keys() <= set(suite.variants)]


def _check_training(name: str, suite: Suite, variant: str, params: Params) -> None:
    """Refuse what the suite's training cannot give a variant, and to compare with what is never compared."""
    recipe, place = params.variants[variant], f"suites.{name}"
    training, weights = suite_training(suite, variant, recipe), recipe.regularisers
    if training.compile and (weights.gradient_penalty or weights.r1 or weights.r2):
        raise UserError(
            f"{place}.training.compile = true: torch.compile has no gradients of gradients, which the penalty of "
            f"variant {variant!r} needs; say compile: false"
        )
    if weights.feature_matching and training.accumulate > 1:
        raise UserError(
            f"{place}.training.accumulate = {training.accumulate}: variant {variant!r} matches statistics of the "
            "whole batch, which its parts do not have; say accumulate: 1"
        )
    asked = suite.questions and any(variant in cells for cells in _grids(suite, params))
    if not recipe.ranked and (asked or variant == suite.baseline):
        role = "is the baseline" if variant == suite.baseline else "is a cell of a grid that is asked about"
        raise UserError(f"{place}: variant {variant!r} {role}, and says ranked: false, so that it is never compared")


def _check_questions(name: str, suite: Suite, params: Params) -> None:
    """Refuse questions that no grid of the suite can answer: all are factors of one of its grids."""
    cells = [levels for grid in _grids(suite, params) for levels in grid.values()]
    for position, factor in enumerate(suite.questions):
        levels = {cell[factor] for cell in cells if factor in cell}
        place = f"suites.{name}.questions[{position}] = {factor!r}"
        if not levels:
            raise UserError(
                f"{place}: no such factor of a grid among this suite's variants"
                f"{did_you_mean(factor, dict.fromkeys(known for cell in cells for known in cell))}; "
                "`questions: []` asks none"
            )
        if len(levels) < 2:
            raise UserError(f"{place}: has one level; a question compares two or more")
    if suite.questions and not any(set(suite.questions) <= cell.keys() for cell in cells):
        raise UserError(f"suites.{name}.questions: no one grid has all of {', '.join(suite.questions)}")


def _check_spaces(name: str, suite: Suite, kind: str) -> None:
    """Refuse classifiers of other images: of digits where there are none, of one digit where there are three."""
    fitting = "classifier"
    misfits: tuple[str, ...] = ("stacked-digits", *DIGITS)
    if kind == "stacked-mnist":
        fitting, misfits = "stacked-digits", ("classifier", *DIGITS)  # 1,000 classes are too many for one
    elif kind in ("mnist", "mnist5k"):
        fitting, misfits = "digits", ("stacked-digits",)
    for space in suite.evaluation.spaces:
        if space in misfits:
            key = "extractor" if suite.evaluation.extractor == space else "also"
            problem = f"{space!r} does not fit dataset {suite.dataset!r}; use {fitting!r} or 'inception'"
            raise UserError(f"suites.{name}.evaluation.{key}: {problem}")


# --- the file ------------------------------------------------------------------------------------


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
        place, reason = "", first_line(error)
        if isinstance(error, MarkedYAMLError) and (mark := error.problem_mark or error.context_mark):
            place, reason = f", line {mark.line + 1}, column {mark.column + 1}", error.problem
        raise UserError(f"{path}{place}: not YAML: {reason}") from None
    if not isinstance(tree, Mapping):
        raise UserError(f"{path}: must be a mapping with the keys {', '.join(File.model_fields)}")
    return dict(tree)

"""Reading `params.yaml`: from the file to typed objects, with checks across sections.

`variants` are written as differences (`like: sagan` plus what differs) or as a factorial `grid:`; `inheritance` makes
complete variants of both, so that nothing further on knows of either.
"""

from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from sagan.errors import UserError, check_known, did_you_mean, first_line, meant
from sagan.names import FILE_NAME, is_file_name
from sagan.params import File, Params
from sagan.params.common import validated
from sagan.params.inheritance import expand, leaves
from sagan.params.run import seen_by_own_code, suite_training, what_runs
from sagan.params.suites import DIGITS, Listed, Suite
from sagan.params.variants import Variant
from sagan.shapes import BASE_SIDE, feature_sides, resolve_side, scale_resolutions
from sagan.store.records import Json, canonical

# Of a report's tables, beside one for each factor (tests/analysis/test_tables.py holds them to the tables).
_COLUMNS = """
    variant seed space run evaluation status lost collapsed went_wrong collapsed_at diverged_at fid fid_infinity kid is
    precision recall density modes mode_kl coverage fid_matched is_matched recall_matched coverage_matched
    fid_untrained fid_best best_step nearer_than_held_out step steps images images_per_second seconds step_seconds load
    generated_per_second evaluation_seconds parameters_generator parameters_discriminator generator_sha256 device
    threads diversity side quiet
""".split()  # noqa: SIM905 (a list of literals is a column of 50 lines)


def load_params(path: Path = Path("params.yaml")) -> Params:
    """The whole benchmark, typed; a `UserError` names the file, the key path, the value and what is accepted."""
    try:
        return params_of(read_yaml(path))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def params_of(raw: Json) -> Params:
    """The same of a tree as the file has it; errors do not name the file."""
    if unknown := [key for key in raw if key not in File.model_fields]:
        raise UserError(f"{unknown[0]}: unknown key{did_you_mean(str(unknown[0]), File.model_fields)}")
    variants, grids, said = expand(raw)
    params = Params(**dict(validated(File, {**raw, "variants": variants})), grids=grids, said=said, rows={})
    _check_names(params)
    for name, suite in params.suites.items():
        _check_references(name, suite, params)
        _check_spaces(name, suite, params.datasets[suite.dataset].kind)
    listed = {name: _rows(params, name) for name in params.suites}
    suites = {}
    for name, suite in params.suites.items():
        known = {alias: row.name for row in listed[name].values() for alias in (row.name, *row.aliases)}
        suites[name] = suite.model_copy(update={"variants": [*known], "baseline": known[suite.baseline]})
    params = params.model_copy(update={"suites": suites, "rows": listed})
    for name in suites:
        _check_questions(params, name)
        _check_training(params, name)
    return params


def _rows(params: Params, suite: str) -> dict[str, Listed]:
    """A suite's rows by name, in the order of params.yaml. The baseline's is among them, perhaps as an alias."""
    spec, place = params.suites[suite], f"suites.{suite}"
    cells = [name for grid in spec.variants for name in params.grids.get(grid, ())]
    levels = {name: of for grid in params.grids.values() for name, of in grid.items()}
    found: dict[str, Listed] = {}
    by_recipe: dict[str, str] = {}
    named = [name for name in [*spec.variants, spec.baseline] if name not in params.grids]
    for name in dict.fromkeys([*cells, *named]):
        # A file's name is a label; what is in it, the plan compares.
        recipe = canonical([what_runs(params, suite, name), seen_by_own_code(params, suite, name)])
        same = by_recipe.setdefault(recipe, name)
        if same == name and name not in [*cells, *spec.variants]:
            why = f"no such variant of this suite{meant(name, named[:-1])}; list it under `variants` too"
            raise UserError(f"{place}.baseline = {name!r}: {why}")
        if same == name:
            found[name] = Listed(name, levels.get(name, {}))
        elif same in cells and name not in cells:
            found[same].aliases.append(name)
        else:
            raise UserError(f"{place}.variants: {one_recipe(params, same, name)}")
    order = dict.fromkeys(cell for name in spec.variants for cell in params.grids.get(name, [name]))
    return {name: found[name] for name in order if name in found}


def one_recipe(params: Params, one: str, other: str) -> str:
    """That two variants are one recipe, and what differs in vain."""
    trees = [dict(leaves(params.variants[name].model_dump(exclude={"description", "ranked"}))) for name in (one, other)]
    off = [path for path, value in trees[0].items() if trees[1].get(path) != value]
    since = f", since {' and '.join(off)} {'counts' if len(off) == 1 else 'count'} for nothing in it" if off else ""
    return f"{one!r} and {other!r} are one recipe{since}; let one of them say something else, or list one alone"


# --- checks across sections ---------------------------------------------------------------------


def _check_names(params: Params) -> None:
    """Names become names of files and folders, which must stay where they belong, and factors columns of tables."""
    for section in ("datasets", "variants", "suites"):
        for name in getattr(params, section):
            if not is_file_name(name):
                allowed = f"begin with a letter or digit, and use only those and . _ - + =, at most {FILE_NAME} of them"
                raise UserError(f"{section}: {name!r} names files: {allowed}")
    for grid, cells in params.grids.items():
        for factor in next(iter(cells.values())):
            if factor in _COLUMNS:
                place = f"variants.{grid}.grid.{factor}"
                raise UserError(f"{place}: is a column of every report; name the factor otherwise")
    for position, name in enumerate(params.repro):
        check_known(f"repro[{position}] = {name!r}", name, params.suites, "suite")


def _check_references(name: str, suite: Suite, params: Params) -> None:
    """Refuse names that name nothing, and images that a variant cannot make."""
    place = f"suites.{name}"
    check_known(f"{place}.dataset = {suite.dataset!r}", suite.dataset, params.datasets, "dataset")
    for position, variant in enumerate(suite.variants):
        known = [*params.variants, *params.grids]
        check_known(f"{place}.variants[{position}] = {variant!r}", variant, known, "variant")
    check_known(f"{place}.baseline = {suite.baseline!r}", suite.baseline, params.variants, "variant")
    for listed in [*suite.variants, suite.baseline]:
        for variant in params.grids.get(listed, [listed]):
            resolution = params.datasets[suite.dataset].resolution
            check_resolution(variant, params.variants[variant], resolution, f"in suite {name!r}")


def check_resolution(name: str, variant: Variant, resolution: int, asked: str) -> None:
    """Refuse images that a variant's backbone, scales or places of attention do not allow.

    A `UserError` names the key that says otherwise, and what it accepts. `asked` is what asks for the images, such as
    "in suite 'quick'".
    """
    backbone, scales = variant.backbone, variant.discriminator.scales
    known, smallest = BASE_SIDE[backbone], scale_resolutions(resolution, scales)[-1]
    accepted = ", ".join(map(str, known))
    if resolution not in known:
        problem = f"makes images of {accepted} pixels, and {asked} they have {resolution}"
        raise UserError(f"variants.{name}.backbone = {backbone!r}: {problem}")
    if smallest not in known:
        problem = f"{asked} the last discriminator would see {smallest} pixels, and {backbone} takes {accepted}"
        raise UserError(f"variants.{name}.discriminator.scales = {scales}: {problem}")
    for role, network in (("generator", variant.generator), ("discriminator", variant.discriminator)):
        sides, form = feature_sides(backbone, role, resolution), network.attention
        for place in network.attention_at:
            side, problem = resolve_side(place, resolution), ""
            if side not in sides:
                images = f"{asked} the images are {resolution}x{resolution}"
                problem = f"{images} and the {backbone} {role} has feature maps of {', '.join(map(str, sides))}"
            elif side and side % 2 and form in ("official", "average-pooled"):
                problem = f"{form} attention pools keys 2x2, which a side of {side} does not allow"
                problem += "; say `attention: unpooled` or name a larger map"
            if problem:
                raise UserError(f"variants.{name}.{role}.attention_at = {place!r}: {problem}")


def _check_spaces(name: str, suite: Suite, kind: str) -> None:
    """Refuse classifiers of other images: of digits where there are none, of one digit where there are three."""
    of_digits, of_stacks = ("digits", ["stacked-digits"]), ("stacked-digits", ["classifier", *DIGITS])
    # A classifier that is trained here would have the 1,000 classes of stacks.
    known = {"mnist": of_digits, "mnist5k": of_digits, "stacked-mnist": of_stacks}
    fitting, misfits = known.get(kind, ("classifier", ["stacked-digits", *DIGITS]))
    for space in suite.evaluation.spaces:
        if space in misfits:
            key = "extractor" if suite.evaluation.extractor == space else "also"
            problem = f"{space!r} does not fit dataset {suite.dataset!r}; use {fitting!r} or 'inception'"
            raise UserError(f"suites.{name}.evaluation.{key}: {problem}")


def _check_questions(params: Params, name: str) -> None:
    """Refuse questions that no grid of the suite can answer: all are factors of one of its grids."""
    suite, rows = params.suites[name], params.rows[name]
    factors = dict.fromkeys(factor for row in rows.values() for factor in row.levels)
    for position, factor in enumerate(suite.questions):
        place = f"suites.{name}.questions[{position}] = {factor!r}"
        check_known(place, factor, factors, "factor of a grid among this suite's variants")
    if suite.questions and not params.asked_grid(name)[0]:
        why = f"no single grid that it lists whole has two or more levels of each of {', '.join(suite.questions)}"
        raise UserError(f"suites.{name}.questions: {why}; list one whole, or ask fewer questions")


def _check_training(params: Params, name: str) -> None:
    """Refuse what the suite's training cannot give a variant, and to compare with what is never compared."""
    suite, (_, asked) = params.suites[name], params.asked_grid(name)
    for variant in suite.variants:
        recipe = params.variants[variant]
        training, weights, said = suite_training(suite, variant, recipe), recipe.regularisers, params.said[variant]
        if training.compile and (weights.gradient_penalty or weights.r1 or weights.r2):
            why = f"torch.compile has no gradients of gradients, which the penalty of variant {variant!r} needs"
            place = said.get("training.compile", f"suites.{name}.training.compile")
            raise UserError(f"{place} = true: {why}; say compile: false")
        if weights.feature_matching and training.accumulate > 1:
            why = f"variant {variant!r} matches statistics of the whole batch, which its parts do not have"
            place = said.get("training.accumulate", f"suites.{name}.training.accumulate")
            raise UserError(f"{place} = {training.accumulate}: {why}; say accumulate: 1")
        if not recipe.ranked and (variant in asked or variant == suite.baseline):
            role = "is the baseline" if variant == suite.baseline else "is a cell of a grid that is asked about"
            raise UserError(f"suites.{name}: variant {variant!r} {role}, and says ranked: false: it is never compared")


# --- the file ------------------------------------------------------------------------------------


def read_yaml(path: Path) -> Json:
    """The file as it is written; a `UserError` where it is not there, or no mapping in YAML."""
    try:
        return parsed(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        raise UserError(f"{path}: not found here or above; run this inside a clone of the benchmark") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: not UTF-8; save the file in that encoding") from None


def parsed(text: str, path: Path) -> Json:
    """The same of a text; `path` is what errors name."""
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

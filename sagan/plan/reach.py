"""What values of `params.yaml` reach: each setting of a run with where it is said, and changes that reach no run."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from sagan.errors import UserError, check_known
from sagan.params import Params
from sagan.params.common import as_text, shown
from sagan.params.inheritance import leaves
from sagan.params.loading import params_of, parsed, read_yaml
from sagan.params.run import seen_by_own_code, switched_on, what_runs
from sagan.params.variants import Recipe
from sagan.store.git import committed
from sagan.store.paths import Paths
from sagan.store.records import Json

_NOTHING: Any = object()
_UNUSED = {
    "variants": "none of their variants is it, or is like it",
    "suites": "it is not under `repro:`",
    "datasets": "no such suite has it as its `dataset:`",
}


def recipe_lines(params: Params, name: str, suite: str | None) -> Iterator[str]:
    """What a variant's runs are made of, and where each value is said; a `UserError` for a name that is none.

    `suite` is whose training is shown, and whose images' sides; None for what the variant itself says.
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


def unreached(params: Params, paths: Paths, suites: Sequence[str] | None = None) -> Iterator[str]:
    """A line for each value that was changed since the last commit and reaches no run of some suites, and why."""
    try:
        before = parsed(committed(paths.params) or "", paths.params)
        params_of(before)
    except UserError:  # nothing is committed, or no params.yaml that is one now
        return
    yield from changes_without_effect(before, read_yaml(paths.params), params, suites or params.repro)


def changes_without_effect(before: Json, now: Json, params: Params, suites: Sequence[str]) -> Iterator[str]:
    """The same, of two trees of the file. `params` are those of `now`."""
    effect = _effect(params, suites)
    told = f"reaches no run of {', '.join(suites)}"
    for section in _UNUSED:
        for name, node in now[section].items():
            former = dict(leaves(before[section].get(name, {})))
            changed = {path: of for path, of in leaves(node) if former.get(path, _NOTHING) != of}
            changed.pop("description", None)
            heirs = _heirs(params, section, name, suites)
            if changed and not heirs:
                yield f"{section}.{name} {told}: {_UNUSED[section]}"
                continue
            for path, value in changed.items() if former else ():
                if effect == _effect_with(now, section, name, path, former.get(path, _NOTHING), suites):
                    place = f"{section}.{name}.{path}"
                    yield f"{place} = {shown(value)} {told}: {_reason(params, heirs, place, path)}"


def _effect(params: Params, suites: Sequence[str]) -> Json:
    """All that some suites are made of, however it is said."""
    return {
        name: [
            params.suites[name].model_dump(exclude={"training", "variants"}),
            params.datasets[params.suites[name].dataset].model_dump(),
            params.rows[name],
            {row: (what_runs(params, name, row), seen_by_own_code(params, name, row)) for row in params.rows[name]},
            [params.variants[row].ranked for row in params.rows[name]],
        ]
        for name in suites
    }


def _effect_with(now: Json, section: str, name: str, path: str, value: Any, suites: Sequence[str]) -> Json | None:
    """The effect with another value at a place; None where that is no params.yaml."""
    tree = copy.deepcopy(now)
    node = tree[section][name]
    # In a key, such as the level "0.001" of a grid, there may be dots.
    while (key := max((key for key in node if f"{path}.".startswith(f"{key}.")), key=len)) != path:
        node, path = node[key], path[len(key) + 1 :]
    node[path] = value
    if value is _NOTHING:
        del node[path]
    with suppress(UserError, KeyError):
        return _effect(params_of(tree), suites)
    return None


def _heirs(params: Params, section: str, name: str, suites: Sequence[str]) -> list[str]:
    """The rows of some suites of which an entry says anything; of a variant also those that it names."""
    heirs: list[str] = []
    for suite in suites:
        if section == "variants":
            for row in params.rows[suite].values():
                says = any(place.startswith(f"variants.{name}.") for place in params.said[row.name].values())
                if says or name in (row.name, *row.aliases) or row.name in params.grids.get(name, ()):
                    heirs.append(row.name)
        elif name == (suite if section == "suites" else params.suites[suite].dataset):
            heirs += params.rows[suite]
    return heirs


def _reason(params: Params, heirs: Sequence[str], place: str, path: str) -> str:
    setting = path.split(".", 3)[-1] if path.startswith("grid.") else path
    said = list(dict.fromkeys(params.said[row].get(setting, place) for row in heirs))
    if place in said:
        return "what it belongs to is off there, or it means what was said before"
    more = f" and {len(said) - 2} more" if len(said) > 2 else ""
    return f"what runs is said by {' and '.join(said[:2])}{more}"

"""What was changed in `params.yaml` since the last commit, and reaches no run: said, so that nobody waits for it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from sagan.errors import UserError
from sagan.params import Params
from sagan.params.common import Tree, shown
from sagan.params.inheritance import leaves
from sagan.params.loading import params_of, parsed, read_yaml
from sagan.params.recipes import what_runs
from sagan.store.git import committed
from sagan.store.paths import Paths
from sagan.store.records import Json

_NOTHING: Any = object()


def unreached(params: Params, paths: Paths, suites: Sequence[str] | None = None) -> Iterator[str]:
    """A line for each value that differs from the committed file and changes nothing of some suites, with the reason.

    Args:
        suites: by default those under `repro:`.
    """
    try:
        before = parsed(committed(paths.params) or "", paths.params)
    except UserError:  # nothing is committed, or no params.yaml
        return
    yield from changes_without_effect(before, read_yaml(paths.params), params, suites or params.repro)


def changes_without_effect(before: Tree, now: Tree, params: Params, suites: Sequence[str]) -> Iterator[str]:
    """The same, of two trees of the file. `params` are those of `now`."""
    effect = _effect(params, suites)
    told = f"reaches no run of {', '.join(suites)}"
    for section in ("variants", "suites", "datasets"):
        for name, node in now[section].items():
            former = dict(leaves(before.get(section, {}).get(name, {})))
            changed = {path: of for path, of in leaves(node) if former.get(path, _NOTHING) != of}
            changed.pop("description", None)
            if changed and (why := _unused(params, section, name, suites)):
                yield f"{section}.{name} {told}: {why}"
                continue
            for path, value in changed.items() if former else ():
                if effect == _effect_with(now, section, name, path, former.get(path, _NOTHING), suites):
                    why = _reason(params, suites, section, name, path)
                    yield f"{section}.{name}.{path} = {shown(value)} {told}: {why}"


def _effect(params: Params, suites: Sequence[str]) -> Json:
    """All that some suites are made of, however it is said."""
    return {
        name: [
            params.suites[name].model_dump(exclude={"training", "variants"}),
            params.datasets[params.suites[name].dataset].model_dump(),
            params.rows[name],
            {row: what_runs(params, name, row) for row in params.rows[name]},
            [params.variants[row].model_dump(include={"extension", "ranked"}) for row in params.rows[name]],
        ]
        for name in suites
    }


def _effect_with(now: Tree, section: str, name: str, path: str, value: Any, suites: Sequence[str]) -> Json | None:
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


def _unused(params: Params, section: str, name: str, suites: Sequence[str]) -> str | None:
    """Why a whole entry is of no use to some suites; None where it is of use."""
    if section == "suites":
        return None if name in suites else "it is not under `repro:`"
    if section == "datasets":
        used = name in {params.suites[suite].dataset for suite in suites}
        return None if used else "no such suite has it as its `dataset:`"
    return None if _heirs(params, name, suites) else "none of their variants is it, or is like it"


def _heirs(params: Params, name: str, suites: Sequence[str]) -> list[str]:
    """The rows to which a variant or a grid says anything, or whose name it is."""
    places = f"variants.{name}."
    return [
        row.name
        for suite in suites
        for row in params.rows[suite].values()
        if name in (row.name, *row.aliases)
        or row.name in params.grids.get(name, ())
        or any(place.startswith(places) for place in params.said[row.name].values())
    ]


def _reason(params: Params, suites: Sequence[str], section: str, name: str, path: str) -> str:
    place = f"{section}.{name}.{path}"
    heirs = _heirs(params, name, suites) if section == "variants" else list(params.rows.get(name, ()))
    setting = path.split(".", 3)[-1] if path.startswith("grid.") else path
    said = list(dict.fromkeys(params.said[row].get(setting, place) for row in heirs))
    if said and place not in said:
        more = f" and {len(said) - 2} more" if len(said) > 2 else ""
        return f"what runs is said by {' and '.join(said[:2])}{more}"
    return "what it belongs to is off there, or it means what was said before"

"""What pydantic finds wrong with params.yaml, in one short line: key path, what is there, what is accepted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from sagan.errors import UserError
from sagan.names import without_secrets

Tree = dict[str, Any]
_SHOWN = 60
# What is accepted, by the type of pydantic's error; the braces are filled from its context.
_ACCEPTED = {
    "bool_type": "true or false",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "union_tag_invalid": "one of {expected_tags}",
    "too_short": "a list of {min_length} or more",
    "too_long": "a list of {max_length} or fewer",
}


def validated(model: type[BaseModel], tree: Tree, prefix: str) -> Any:
    """A tree as a model.

    Args:
        prefix: where the tree stands in the file.

    Raises:
        UserError: what is wrong with it.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise UserError(_one_line(error, tree, prefix)) from None


def shown(value: Any) -> str:
    """A value of the file, whole where it is short."""
    if isinstance(value, Mapping):
        return f"a mapping of {', '.join(map(str, value))}"[:_SHOWN] if value else "an empty mapping"
    text = without_secrets(repr(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _one_line(error: ValidationError, tree: Tree, prefix: str) -> str:
    """The most telling of pydantic's complaints."""
    errors = error.errors()
    first = min(errors, key=lambda e: e["type"] != "unknown_key")
    # A branch of a union that came to the entries of a list says more than one that takes no list.
    branches = [e for e in errors if _shares_place(e["loc"], first["loc"], tree)]
    first = next((e for e in branches if len(e["loc"]) > len(first["loc"]) or e["type"] == "refused"), first)
    at = ("kind",) if first["type"] == "union_tag_invalid" else first.get("ctx", {}).get("at", ())
    loc = (*first["loc"], *at)
    path, node = prefix, tree
    for part in loc:
        # Pydantic adds the branch of a union that it tried to the place; the file has no such key.
        if _holds(node, part):
            node = node[part]
        elif first["type"] != "missing" or part != loc[-1]:
            continue
        path += f"[{part}]" if isinstance(part, int) else f"{'.' if path else ''}{part}"
    if first["type"] == "unknown_key":
        return f"{path}: {first['msg']}"
    if first["type"] == "missing":
        owner, missing = loc[:2], [e["loc"] for e in errors if e["type"] == "missing"]
        beside = [".".join(map(str, other[2:])) for other in missing if other[:2] == owner and len(other) > 2]
        if len(beside) > 1:
            return f"{'.'.join(map(str, owner))}: {', '.join(beside[:-1])} and {beside[-1]} are missing"
        return f"{path}: is missing"
    if first["type"] == "union_tag_not_found":
        return f"{path}.kind: is missing"
    if loc[-1] == "[key]":
        return f"{path}: a name must be text; put {loc[-2]!r} in quotes"
    if first["type"] in _ACCEPTED:
        branches = [e for e in errors if e is first or _shares_place(e["loc"], first["loc"], tree)]
        accepted = dict.fromkeys(_accepted(e) for e in branches if e["type"] in _ACCEPTED)
        return f"{path} = {shown(node)}: must be {' or '.join(accepted)}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{path} = {shown(node)}: {message[0].lower()}{message[1:]}"


def _accepted(error: Any) -> str:
    return _ACCEPTED[error["type"]].format(**error.get("ctx", {}))


def _holds(node: Any, part: str | int) -> bool:
    if isinstance(node, list):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, Mapping) and part in node


def _shares_place(loc: tuple, other: tuple, tree: Tree) -> bool:
    """Whether `other` ends in a branch of a union, and another branch complains at `loc` of the same value."""
    place = other[:-1]
    if loc[: len(place)] != place or loc == place or loc[: len(other)] == other:
        return False
    node: Any = tree
    for part in place:
        node = node[part] if _holds(node, part) else node
    return not _holds(node, other[-1]) and not _holds(node, loc[len(place)])

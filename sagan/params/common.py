"""What the sections of `params.yaml` are made of, and what pydantic finds wrong with them, in one short line."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from sagan.errors import UserError, did_you_mean
from sagan.names import without_secrets
from sagan.store.records import Json

Model = TypeVar("Model", bound=BaseModel)
Positive = Annotated[int, Field(gt=0)]

_SHOWN = 60
# What is accepted, by the type of pydantic's error; the braces are filled from its context.
_ACCEPTED = {
    "bool_type": "true or false",
    "int_type": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "union_tag_invalid": "one of {expected_tags}",
    "too_short": "a {kind} of {min_length} or more",
    "too_long": "a {kind} of {max_length} or fewer",
}
_MISSING = ("missing", "union_tag_not_found")


class Strict(BaseModel):
    """Unknown keys are errors, and a string is not a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, given: Any) -> Any:
        for key in given if isinstance(given, dict) else ():
            if key not in cls.model_fields:
                raise refused(f"unknown key{did_you_mean(str(key), cls.model_fields)}", key, kind="unknown_key")
        return given


def refused(message: str, *at: str, kind: str = "refused") -> PydanticCustomError:
    """What a validator raises: the message stands behind the key `at` below the validator's place, and its value."""
    return PydanticCustomError(kind, "{message}", {"message": message, "at": at})


def _distinct(entries: Sequence) -> Sequence:
    for entry in entries:
        if entries.count(entry) > 1:
            raise refused(f"must not repeat an entry, and has {entry!r} {entries.count(entry)} times")
    return entries


# For the type of a list.
Distinct = AfterValidator(_distinct)


def validated(model: type[Model], tree: Json, prefix: str = "") -> Model:
    """A tree, at `prefix` in the file, as a model; a `UserError` says key path, what is there, what is accepted."""
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


def as_text(value: Any) -> str:
    """A setting's value for people; what is not there is off.

    >>> as_text(8.0e-3), as_text([14, 7]), as_text(True)
    ('0.008', '14, 7', 'on')
    """
    if value is None or isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(map(as_text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _one_line(error: ValidationError, tree: Json, prefix: str) -> str:
    """The most telling of pydantic's complaints."""
    found = [(*_place(told, tree), told) for told in error.errors()]
    first, keys = found[0][0], [o for o in found if o[2]["type"] == "unknown_key" or o[2]["loc"][-1:] == ("[key]",)]
    # A branch of a union that came to the entries of a list says more than one that takes no list.
    within = keys[:1] or [one for one in found if one[0][: len(first)] == first]
    place, node, told = max(within, key=lambda one: (len(one[0]), one[2]["type"] == "refused"))
    path = prefix
    for part in place:
        path += f"[{part}]" if path and isinstance(part, int) else f"{'.' if path else ''}{part}"
    if told["type"] in _MISSING:
        missing = [other for other, _, of in found if of["type"] in _MISSING and other[:2] == place[:2]]
        if len(missing) > 1:
            *names, last = (".".join(map(str, other[2:])) for other in missing)
            return f"{'.'.join(map(str, place[:2]))}: {', '.join(names)} and {last} are missing"
        return f"{path}: is missing"
    if told["loc"][-1:] == ("[key]",):
        return f"{path}: a name must be text; put {place[-1]!r} in quotes"
    if told["type"] == "unknown_key":
        return f"{path}: {told['msg']}"
    message = told["msg"]
    if told["type"] in _ACCEPTED:
        kind = "mapping" if isinstance(node, Mapping) else "list"
        here = [of for at, _, of in found if at == place and of["type"] in _ACCEPTED]
        accepted = [_ACCEPTED[of["type"]].format(kind=kind, **of.get("ctx", {})) for of in here]
        message = f"must be {' or '.join(dict.fromkeys(accepted))}"
    return f"{path} = {shown(node)}: {message[0].lower()}{message[1:]}"


def _place(told: Any, tree: Json) -> tuple[tuple, Any]:
    """Where in the file a complaint is, and what is there."""
    at = ("kind",) if told["type"].startswith("union_tag") else told.get("ctx", {}).get("at", ())
    loc = (*told["loc"], *at)
    place: list[str | int] = []
    node: Any = tree
    for number, part in enumerate(loc, 1):
        # Pydantic adds the branch of a union that it tried to the place; the file has no such key.
        if (isinstance(node, Mapping) and part in node) or (isinstance(node, list) and isinstance(part, int)):
            node = node[part]
            place.append(part)
        elif told["type"] in _MISSING and number == len(loc):
            place.append(part)
    return tuple(place), node

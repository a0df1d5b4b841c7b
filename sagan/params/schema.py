"""The JSON schema of `params.yaml`, written from its types, so that editors complete and check it."""

from __future__ import annotations

import json
import types
import typing
from pathlib import Path

from pydantic import BaseModel

from sagan.params import Params

# Parts of a variant are written as differences, so nothing in them is required by itself.
_PARTIAL = ("Variant", "Generator", "Discriminator", "Optimizer")


def params_schema() -> dict:
    """The schema of the file as users write it: variants may be differences (`like:`) or grids."""
    schema = Params.model_json_schema()
    schema["title"] = "params.yaml"
    definitions = schema["$defs"]
    for name in _PARTIAL:
        definitions[name].pop("required", None)
    definitions["Overrides"] = json.loads(json.dumps(definitions["Variant"]))
    definitions["Overrides"]["title"] = "Overrides"
    definitions["Suite"]["properties"]["overrides"] = {"$ref": "#/$defs/Overrides"}
    definitions["Variant"]["properties"] |= {
        "like": {"type": "string", "description": "the variant that this one differs from"},
        "grid": {
            "type": "object",
            "description": "factor -> level -> what differs; every combination becomes a variant",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": {"$ref": "#/$defs/Overrides"},
            },
        },
    }
    schema["properties"].pop("grids")
    return schema


def write_schema(path: Path) -> None:
    """Write the schema; `tests/params/test_params.py` holds the committed file to the types."""
    path.write_text(json.dumps(params_schema(), indent=2) + "\n", encoding="utf-8")


def model_at(model: type[BaseModel], loc: tuple) -> type[BaseModel] | None:
    """The model that a pydantic error's place lies in, or None where there is none."""
    candidates: list = [model]
    for part in loc:
        found = []
        for candidate in candidates:
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                if part in candidate.model_fields:
                    found += _unwrap(candidate.model_fields[part].annotation)
                elif _tag(candidate) == part:
                    found.append(candidate)
            elif typing.get_origin(candidate) is dict:
                found += _unwrap(typing.get_args(candidate)[1])
        candidates = found
    models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
    return models[0] if models else None


def _unwrap(annotation) -> list:
    """The alternatives of a type, without `Annotated` and unions."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _unwrap(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [alternative for arg in typing.get_args(annotation) for alternative in _unwrap(arg)]
    return [annotation]


def _tag(model: type[BaseModel]) -> str | None:
    kind = model.model_fields.get("kind")
    return typing.get_args(kind.annotation)[0] if kind else None

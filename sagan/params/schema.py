"""The JSON schema of `params.yaml`, written from its types, so that editors complete and check it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from sagan.params import File

# Parts of a variant are written as differences, so nothing in them is required by itself.
_PARTIAL = ("Variant", "GeneratorSwitches", "DiscriminatorSwitches", "Optimizer")


class _WithoutTitles(GenerateJsonSchema):
    """A field's title would say its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def params_schema() -> dict[str, Any]:
    """The schema of the file as users write it: variants may be differences (`like:`) or grids."""
    schema = File.model_json_schema(schema_generator=_WithoutTitles) | {"title": "params.yaml"}
    definitions = schema["$defs"]
    for name in _PARTIAL:
        del definitions[name]["required"]
    definitions["Difference"] = copy.deepcopy(definitions["Variant"]) | {"title": "Difference"}
    for name, definition in definitions.items():
        for part in definition["properties"].values() if name.endswith("Difference") else ():
            part.pop("default", None)
    levels = [{"type": "string"}, {"type": "object", "additionalProperties": {"$ref": "#/$defs/Difference"}}]
    definitions["Variant"]["properties"] |= {
        "like": {"type": "string", "description": "the variant that this one differs from"},
        "grid": {
            "description": "factor -> level -> what differs; every combination becomes a variant. In place of all "
            "factors, or of a factor's levels, the name of a variant whose grid has them",
            "anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"anyOf": levels}}],
        },
    }
    return schema


def write_schema(path: Path) -> None:
    """Write the schema; `tests/params/test_params.py` holds the committed file to the types."""
    path.write_text(json.dumps(params_schema(), indent=2) + "\n", encoding="utf-8")

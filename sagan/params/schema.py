"""The JSON schema of `params.yaml`, written from its types, so that editors complete and check it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from sagan.params import File

# Parts of a variant are written as differences, so nothing in them is required by itself.
_PARTIAL = ("Variant", "GeneratorSwitches", "DiscriminatorSwitches", "Optimizer")


def params_schema() -> dict[str, Any]:
    """The schema of the file as users write it: variants may be differences (`like:`) or grids."""
    schema = File.model_json_schema()
    schema["title"] = "params.yaml"
    definitions = schema["$defs"]
    for name in _PARTIAL:
        definitions[name].pop("required", None)
    definitions["Difference"] = copy.deepcopy(definitions["Variant"]) | {"title": "Difference"}
    for name in definitions:
        if name.endswith("Difference"):
            for part in definitions[name]["properties"].values():
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

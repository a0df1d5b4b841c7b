"""The types of a complete `params.yaml`: every knob of the benchmark, checked before anything runs."""

import copy
import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic.json_schema import GenerateJsonSchema

from sagan.names import has_password
from sagan.params.common import Distinct, Strict, refused
from sagan.params.datasets import AnyDataset
from sagan.params.suites import Listed, Suite
from sagan.params.variants import Variant


class Tracking(Strict):
    """Where runs are sent, while they train and by `python -m sagan track`. MLFLOW_TRACKING_URI wins over `uri`."""

    uri: str = Field("sqlite:///state/mlflow/mlflow.db", description="an MLflow tracking URI")
    experiment_prefix: str = Field("sagan-", description="an experiment is named by this and the suite")
    live: bool = Field(True, description="runs appear while they train, not only when `dvc repro` ends")
    models: bool = Field(True, description="generators of finished runs are sent as models, as large as their weights")

    @field_validator("uri")
    @classmethod
    def _is_no_secret(cls, uri: str) -> str:
        # DVC writes params.yaml's values to dvc.lock, which is committed.
        if has_password(uri):
            raise refused("holds a password; say it in the environment variable MLFLOW_TRACKING_URI instead")
        return uri


class File(Strict):
    """All of `params.yaml`, with `like:` and `grid:` resolved."""

    repro: Annotated[list[str], Distinct] = Field(description="the suites that `dvc repro` builds")
    datasets: dict[str, AnyDataset]
    variants: dict[str, Variant]
    suites: dict[str, Suite]
    tracking: Tracking = Tracking()


class Params(File):
    """What the loader makes of it: each suite lists its rows and their aliases as `variants`, a row as `baseline`.

    Attributes:
        grids: grid -> variant -> factor -> level.
        said: variant -> a key path within it -> the key path of the file that says it.
        rows: suite -> its rows by name.
    """

    grids: dict[str, dict[str, dict[str, str]]]
    said: dict[str, dict[str, str]]
    rows: dict[str, dict[str, Listed]]

    def asked_grid(self, suite: str) -> tuple[str, dict[str, dict[str, str]]]:
        """The first grid of a suite's rows that has two levels or more of each question, and its cells; or "", {}."""
        questions = self.suites[suite].questions
        for name, cells in self.grids.items() if questions else ():
            levels = [{of.get(factor) for of in cells.values()} for factor in questions]
            if cells.keys() <= self.rows[suite].keys() and min(map(len, levels)) > 1:
                return name, cells
        return "", {}


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

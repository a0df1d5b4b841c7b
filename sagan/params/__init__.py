"""The types of `params.yaml`: every knob of the benchmark, checked before anything runs.

The models of this room are what a complete `params.yaml` may say. `sagan.params.loading` reads the file, turns
`like:` and `grid:` into complete variants, and checks what goes across sections.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

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
    models: bool = Field(True, description="generators of finished runs go along, as MLflow models (1-20 MB each)")

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

"""A plan's parts: runs, references, evaluations, and the rows of suites."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, TypeAdapter, ValidationError

from sagan.errors import UserError
from sagan.names import FILE_NAME, is_file_name
from sagan.params.common import refused
from sagan.params.run import RunConfig
from sagan.store.records import Json, digest, write_json
from sagan.store.types import EvaluationRecord, ReferenceRecord, Result, RunRecord


def _a_name(name: str) -> str:
    # The longest is an evaluation's key: a variant's name, then seed and hashes.
    if not is_file_name(name, FILE_NAME + 50):
        raise refused(f"{name!r:.60} is no key of a plan")
    return name


# What becomes a part of a path, under which results are written and moved away.
Name = Annotated[str, AfterValidator(_a_name)]


@dataclass(frozen=True)
class Run:
    """One training: a recipe with a seed. What of `config` is on enters the key; `execution` does not."""

    record: ClassVar[type[Result]] = RunRecord
    key: Name
    variant: str
    seed: int
    dataset: Name
    dataset_digest: str
    code: str
    config: Json
    execution: Json

    @property
    def resolution(self) -> int:
        return self.config["image"]["resolution"]

    @property
    def threads(self) -> int:
        return self.config["training"]["threads"]

    @property
    def typed(self) -> RunConfig:
        """`config`, which is plain for records and plans, as the engine takes it."""
        return RunConfig.model_validate(self.config)


@dataclass(frozen=True)
class Reference:
    """The real side of a comparison: statistics of a dataset's split in one feature space."""

    record: ClassVar[type[Result]] = ReferenceRecord
    key: Name
    dataset: Name
    resolution: int
    dataset_digest: str
    extractor: str
    split: str
    threads: int
    code: str
    execution: Json


@dataclass(frozen=True)
class Evaluation:
    """One run measured against one reference."""

    record: ClassVar[type[Result]] = EvaluationRecord
    key: Name
    run: Name
    reference: Name
    settings: Json
    code: str
    execution: Json

    @property
    def threads(self) -> int:
        return self.settings["threads"]


@dataclass(frozen=True)
class Cell:
    """A row of a suite: which run and which evaluation stand for a variant and a seed."""

    variant: str
    seed: int
    run: Name
    evaluation: Name
    also: dict[str, Name] = field(default_factory=dict)  # the evaluations in further feature spaces, by extractor
    levels: dict[str, str] = field(default_factory=dict)  # this and `aliases` as in `Listed`
    aliases: list[str] = field(default_factory=list)

    @property
    def evaluations(self) -> list[str]:
        """The keys of all evaluations of the run that the suite asks for."""
        return [self.evaluation, *self.also.values()]


@dataclass(frozen=True)
class Plan:
    """Everything to be made for some suites. Suites share runs, and runs share references."""

    runs: dict[Name, Run]
    references: dict[Name, Reference]
    evaluations: dict[Name, Evaluation]
    suites: dict[Name, list[Cell]]

    @property
    def jobs(self) -> dict[str, Run | Reference | Evaluation]:
        """What each key stands for."""
        return {**self.runs, **self.references, **self.evaluations}

    def digest(self) -> str:
        return digest(dataclasses.asdict(self), 16)

    def save(self, path: Path) -> None:
        write_json(path, dataclasses.asdict(self))

    @staticmethod
    def load(path: Path) -> Plan:
        """A plan as `save` wrote it; a `UserError` where the file is not there, or is none."""
        try:
            return TypeAdapter(Plan).validate_json(path.read_bytes())
        except FileNotFoundError:
            problem = "no such plan"
        except ValidationError as error:
            problem = f"no plan of this version: {error.errors()[0]['msg']}"
        raise UserError(f"{path}: {problem}; write one with `python -m sagan plan --out plan.json`")

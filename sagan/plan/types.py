"""A plan's parts: runs, references, evaluations, and the rows of suites."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sagan.errors import UserError
from sagan.names import FILE_NAME, is_file_name
from sagan.params.run import RunConfig
from sagan.store.records import Json, NotARecord, digest, read_json, write_json

# Of an evaluation's key: a variant's name, then seed and hashes.
_LONGEST = FILE_NAME + 50
_SHOWN = 60


@dataclass(frozen=True)
class Run:
    """One training: a recipe with a seed. What of `config` is on enters the key; `execution` does not."""

    key: str
    variant: str
    seed: int
    dataset: str
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

    key: str
    dataset: str
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

    key: str
    run: str
    reference: str
    settings: Json
    code: str
    execution: Json

    @property
    def threads(self) -> int:
        return self.settings["threads"]


@dataclass(frozen=True)
class Cell:
    """A row of a suite: which run and which evaluation stand for a variant and a seed.

    Attributes:
        also: the evaluations in further feature spaces, by extractor.
        levels: factor -> level, of a combination of a grid.
        aliases: variants of the suite that say the same recipe, and have no row of their own.
    """

    variant: str
    seed: int
    run: str
    evaluation: str
    also: dict[str, str] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)

    @property
    def evaluations(self) -> list[str]:
        """The keys of all evaluations of the run that the suite asks for."""
        return [self.evaluation, *self.also.values()]


@dataclass(frozen=True)
class Plan:
    """Everything to be made for some suites. Suites share runs, and runs share references."""

    runs: dict[str, Run]
    references: dict[str, Reference]
    evaluations: dict[str, Evaluation]
    suites: dict[str, list[Cell]]

    def job(self, key: str) -> Run | Evaluation | Reference:
        """What a key stands for."""
        return next(jobs[key] for jobs in (self.runs, self.evaluations, self.references) if key in jobs)

    def _names(self) -> Iterator[str]:
        """All that becomes part of a path."""
        yield from (*self.runs, *self.references, *self.evaluations, *self.suites)
        for job in (*self.runs.values(), *self.references.values()):
            yield from (job.key, job.dataset)
        for evaluation in self.evaluations.values():
            yield from (evaluation.key, evaluation.run, evaluation.reference)
        for cell in (cell for cells in self.suites.values() for cell in cells):
            yield from (cell.run, *cell.evaluations)

    def digest(self) -> str:
        return digest(dataclasses.asdict(self), 16)

    def save(self, path: Path) -> None:
        write_json(path, dataclasses.asdict(self))

    @staticmethod
    def load(path: Path) -> Plan:
        """A plan as `save` wrote it.

        Raises:
            UserError: the file is not there, or is no plan.
        """
        try:
            record = read_json(path)
            plan = Plan(
                runs={key: Run(**value) for key, value in record["runs"].items()},
                references={key: Reference(**value) for key, value in record["references"].items()},
                evaluations={key: Evaluation(**value) for key, value in record["evaluations"].items()},
                suites={name: [Cell(**cell) for cell in cells] for name, cells in record["suites"].items()},
            )
            for name in plan._names():
                # They become paths, under which results are written and moved away.
                if not is_file_name(name, _LONGEST):
                    raise UserError(f"{path}: {name!r:.{_SHOWN}} is no key of a plan; write a plan anew")
            return plan
        except FileNotFoundError:
            problem = "no such plan"
        except (NotARecord, KeyError, TypeError, AttributeError):
            problem = "no plan of this version"
        raise UserError(f"{path}: {problem}; write one with `python -m sagan plan --out plan.json`")

"""Records: what `run.json`, `reference.json`, `metrics.json`, `manifest.json` and a line of `log.jsonl` hold.

Types are strict, so that a number in quotes is no number. Fields that no code reads from a record, and those of newer
versions, are kept (`content` writes them again); what older versions did not write has a default, or the record is
named as too old.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict
from typing_extensions import TypedDict

from sagan.store.paths import Paths
from sagan.store.records import Json


class Record(BaseModel):
    """What all records share."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    def content(self) -> Json:
        """What a file of this record holds: all that was said, and no default."""
        return self.model_dump(exclude_unset=True)


class Provenance(Record):
    """What made a result, and when (ISO 8601, UTC). `commit` is None where the code was no checkout."""

    device: str
    device_kind: str
    threads: int
    versions: dict[str, str | int | None]
    started: str
    finished: str
    commit: str | None = None
    dirty: bool | None = None


class Config(TypedDict):
    """A run's resolved configuration, as its plan has it."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    variant: Json
    image: Json
    training: Json


class Kept(Record):
    """A file of a result, as it was when its record was written."""

    bytes: int
    sha256: str


class Result(Record):
    """What the records of all results share; `left_behind` names files that a light copy lacks."""

    # Where a record lies: a file in the folder of its key.
    file: ClassVar[str]
    folder: ClassVar[Callable[[Paths, str], Path]]

    key: str
    dataset: str | None = None
    files: dict[str, Kept] = {}
    left_behind: list[str] = []


class RunRecord(Result):
    """`run.json`: a training that ended.

    `seconds` is all that passed in its turns, `step_seconds` what its steps alone took, `steady_seconds` what
    `steady_steps` of them took, the first ones of each session being left out.
    """

    file = "run.json"
    folder = Paths.run

    variant: str
    seed: int
    dataset: str
    config: Config
    status: Literal["finished", "diverged"]
    steps: int
    images: int
    seconds: float
    images_per_second: float
    files: dict[str, Kept]
    provenance: Provenance
    dataset_digest: str | None = None
    code: str | None = None
    execution: Json = {}
    diverged_at: int | None = None
    reason: str | None = None
    parameters: dict[str, int] = {}
    step_seconds: float | None = None
    steady_seconds: float | None = None
    steady_steps: int | None = None


class LogLine(Record):
    """A line of `log.jsonl`; `values` has the step's scalars by name, None where one was not finite.

    `seconds` counts training time since the first step, `step_seconds` that of the steps alone, `time` is the clock's
    (seconds since 1970). `load` is how many processes wanted a core, for each core of the machine.
    """

    step: int
    images: int
    seconds: float
    time: float
    step_seconds: float | None = None
    load: float | None = None
    __pydantic_extra__: dict[str, float | None]

    @property
    def values(self) -> dict[str, float | None]:
        return self.__pydantic_extra__


class Floor(Record):
    """FID between real images."""

    fid: float | None


class MetricValue(Record):
    """A metric's value with its full name and the protocol that gave it; `status` says why it is None, or doubtful."""

    value: float | None
    status: str = "measured"
    name: str = ""
    protocol: Json = {}


class RealFigures(Record):
    """Every metric of held-out real images in the place of generated ones; none where none was held out."""

    split: str
    count: int
    metrics: dict[str, MetricValue]


class ReferenceRecord(Result):
    """`reference.json`: the real side of a comparison."""

    file = "reference.json"
    folder = Paths.reference

    real_count: int
    floor: Floor
    weights_digest: str | None = None
    accuracy: float | None = None
    other_split: RealFigures | None = None


class AttentionLayer(Record):
    """One layer: its weight gamma, and the mean entropy of its maps beside that of uniform ones, in nats."""

    gamma: float | None
    entropy: float | None
    entropy_uniform: float

    @property
    def share(self) -> float | None:
        """Entropy over that of uniform maps: 1 looks everywhere alike, 0 at one place; None of one key, not finite."""
        return None if self.entropy is None or not self.entropy_uniform else self.entropy / self.entropy_uniform


Attention = dict[str, AttentionLayer]  # by "<network>.<side>"


class CurvePoint(Record):
    """A snapshot, with what could be measured of it in a feature space."""

    step: int
    fid: float | None = None
    recall: float | None = None
    diversity: float | None = None
    status: str = "measured"
    attention: Attention = {}


class Collapse(Record):
    """Since which step, to the end, the images had almost no variance or reached almost nothing real."""

    began: int | None = None


class Best(Record):
    """The snapshot of the curve's lowest FID, measured anew."""

    step: int
    fid: MetricValue


class Memorisation(Record):
    """`closer`: share of generated images nearer to a training image than all but 1 % of held-out ones are."""

    closer: float | None = None
    held_out_p01: float | None = None  # 0: no image can be closer
    train_count: int | None = None
    training_images: int | None = None


class EvaluationRecord(Result):
    """`metrics.json`: a run measured against a reference; `matched`: `generated` and `real` figures at one `count`."""

    file = "metrics.json"
    folder = Paths.evaluation

    status: Literal["measured", "diverged"]
    metrics: dict[str, MetricValue]
    curve: list[CurvePoint]
    provenance: Provenance
    reference: str
    run: str
    variant: str
    seed: int
    untrained: dict[str, MetricValue] = {}
    matched: Json = {}
    best: Annotated[Best | None, BeforeValidator(lambda told: told or None)] = None  # {} on disk: not measured
    curve_protocol: Json = {}
    collapse: Collapse = Collapse()
    memorisation: Memorisation = Memorisation()
    attention: Attention = {}
    generated_images: int | None = None
    generated_per_second: float | None = None
    seconds: float | None = None


class Labels(Record):
    """What images are labelled with: "classes", "attributes" or "none"."""

    kind: str
    names: list[str]


class Manifest(Record):
    """A prepared dataset's `manifest.json`; `splits` has the first row of each, and the one behind its last."""

    digest: str
    channels: int
    resolution: int
    count: int
    labels: Labels
    splits: dict[str, list[int]]

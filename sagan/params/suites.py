"""The section `suites:`: which variants on which dataset, for how long, and measured how."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import Field, create_model, model_validator

from sagan.params.common import Distinct, Positive, Strict, refused

# Far beyond what anybody trains or measures: more is a slip of the finger, which would fill the disk or the memory.
_MOST = 1000
Count = Annotated[int, Field(gt=0, le=_MOST)]
Samples = Annotated[int, Field(gt=0, le=10**7)]
Threads = Annotated[int, Field(gt=0, le=1024, description="CPU threads, on which sums depend")]
Seed = Annotated[int, Field(ge=0, lt=2**63)]

DIGITS = ("digits", "digits-2", "digits-3")
Space = Annotated[
    Literal["digits", "digits-2", "digits-3", "random", "stacked-digits", "classifier", "inception"]
    | Annotated[str, Field(pattern=r"^timm:[a-z0-9_]+(\.[A-Za-z0-9_]+)?$")],
    Field(description="a feature space; `timm:NAME` is any network of timm"),
]
# Features of each. Of timm's networks the number is known once they are built.
_FEATURES = dict.fromkeys((*DIGITS, "random", "classifier"), 128) | {"stacked-digits": 384, "inception": 2048}


def least_images(space: str) -> int:
    """How many images are measured at least: for FID's covariance as many as a space is known to have features.

    Fewer than ten have no five neighbours (density, coverage), nor one in each of ten parts (IS).
    """
    return _FEATURES.get(space, 10)


class EmaSettings(Strict):
    """Exponential moving average of the generator's weights, which is what is measured."""

    decay: Annotated[float, Field(ge=0, lt=1)]
    start: int = Field(0, ge=0, description="until this step the average is a copy; a trial may end before it")


class Training(Strict):
    """A suite's budget. All of it enters the run's key."""

    steps: int = Field(gt=0, le=10**8, description="generator steps")
    batch_size: int = Field(gt=0, le=2**16)
    accumulate: Positive = Field(1, description="parts of a batch, one after another, whose gradients are added up")
    horizontal_flip: bool = False
    precision: Literal["float32", "tf32", "bfloat16"] = Field("float32", description="of products; `tf32` on GPUs")
    threads: Threads = 1
    deterministic: bool = Field(True, description="algorithms that give the same bytes each time")
    memory_format: Literal["channels_last", "contiguous"] = "channels_last"
    compile: bool = Field(False, description="both networks through torch.compile; needs a C++ compiler on CPUs")
    ema: EmaSettings
    snapshots: Count | Annotated[list[Positive], Field(min_length=1, max_length=_MOST), Distinct] = Field(
        description="the steps that are measured beside 0 and the last, or how many: the last, half of it, ..."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.batch_size % self.accumulate:
            raise refused(f"must divide training.batch_size = {self.batch_size}", "accumulate")
        if isinstance(self.snapshots, list) and max(self.snapshots) > self.steps:
            raise refused(f"must not go past training.steps = {self.steps}", "snapshots")
        begun = 2 * self.ema.start
        early = [step for step in self.snapshot_steps()[1:] if step < begun]
        if early and begun <= self.steps:
            until = f"step {begun}, twice ema.start = {self.ema.start}, until which the average is hardly one"
            ways = "say fewer or later ones, or an earlier ema.start"
            raise refused(f"step {early[0]} comes before {until}; {ways}", "snapshots")
        return self

    def snapshot_steps(self) -> list[int]:
        """The steps whose generator is kept and measured: 0, those asked for, and the last."""
        asked = self.snapshots
        if isinstance(asked, int):
            asked = [round(self.steps / 2**halving) for halving in range(asked)]
        return sorted({0, *asked, self.steps})


def _difference_of(model: type[Strict]) -> type[Strict]:
    """The type of a difference to a model: the same keys and values, none of them required."""
    fields: dict[str, Any] = {}
    for name, said in model.model_fields.items():
        kind = said.annotation
        if isinstance(kind, type) and issubclass(kind, Strict):
            kind = _difference_of(kind)
        fields[name] = (Annotated[kind, *said.metadata, Field(description=said.description)], None)
    return create_model(f"{model.__name__}Difference", __base__=Strict, __doc__=model.__doc__, **fields)


class TrainingDifference(_difference_of(Training)):  # type: ignore[misc]
    """What a variant says of it; it lies over the suite's."""


class Execution(Strict):
    """How runs are carried out. None of it changes what a run is, so none of it enters its key."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    together: Literal["auto"] | Annotated[int, Field(gt=0, le=60)] = Field(
        "auto", description="runs that take turns in one process; auto: on a GPU as many as make it faster"
    )
    cuda_graph: bool = Field(True, description="on a GPU, replay a step as one CUDA graph; the bytes are the same")
    log_every: Positive = Field(10, description="steps")
    checkpoint_seconds: Positive = Field(60, description="between resume checkpoints")
    checkpoint_every: Positive | None = Field(None, description="steps at most between resume checkpoints")


class EvaluationSettings(Strict):
    """How finished runs are measured. Changing it retrains nothing."""

    extractor: Space = Field(description="the feature space of every metric, and of the report's verdicts")
    also: list[Space] = Field([], description="further feature spaces; each is an evaluation of its own, shown apart")
    split: Literal["train", "test"] = Field(description="the real images that generated ones are compared with")
    samples: Samples = Field(description="generated images for the final figures")
    curve_samples: Samples = Field(description="generated images at each snapshot")
    curve: dict[Space, Count] = Field({}, description="of a dear space, how many of the last snapshots are measured")
    draws: int = Field(1, gt=0, le=100, description="sets of z that give a final FID each; the first gives all figures")
    seed: Seed = Field(0, description="of the z that are measured; not the training seed")
    threads: Threads = 1

    @property
    def spaces(self) -> list[str]:
        """All feature spaces, `extractor` first."""
        return [self.extractor, *self.also]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if len(set(self.spaces)) < len(self.spaces):
            raise refused("must not repeat a feature space, nor name `extractor` again", "also")
        for space in self.curve.keys() - set(self.spaces):
            raise refused(f"{space!r} is neither `extractor` nor among `also`", "curve")
        # Further spaces may do without a curve: adding one should not measure the first anew.
        for name, spaces in (("samples", self.spaces), ("curve_samples", [self.extractor])):
            space = max(spaces, key=least_images)
            if getattr(self, name) < (least := least_images(space)):
                raise refused(f"must be at least {least}, for FID with the features of {space!r}", name)
        return self


class UntilDecided(Strict):
    """Seeds are added to every variant until each question is answered, or the most is reached."""

    least: int = Field(ge=2, le=_MOST, description="seeds at the first look; each next one doubles")
    most: Count


class Suite(Strict):
    """Variants x seeds on one dataset, measured alike and reported together."""

    title: str = ""
    dataset: str
    variants: Annotated[list[str], Field(min_length=1), Distinct]
    baseline: str = Field(description="the variant that the others are compared with")
    seeds: Count | Annotated[list[Seed], Field(min_length=1, max_length=_MOST), Distinct] | UntilDecided = Field(
        description="how many (0, 1, ...), the seeds themselves, or `least` and `most`: until it is decided"
    )
    questions: Annotated[list[str], Distinct] = Field([], description="factors of this suite's grid: do they help?")
    smallest_effect: float = Field(0.05, gt=0, lt=1, description="smallest change of FID, as part of it, worth having")
    alpha: float = Field(0.05, gt=0, le=0.5, description="how often at most any answer of the suite may be false")
    training: Training
    evaluation: EvaluationSettings
    execution: Execution = Execution()

    def seed_list(self, count: int | None = None) -> list[int]:
        """The training seeds, in order; of those added until it is decided, `count` or the first look's."""
        if isinstance(self.seeds, list):
            return self.seeds
        return list(range(self.seeds if isinstance(self.seeds, int) else count or self.seeds.least))

    @model_validator(mode="after")
    def _decides(self) -> Self:
        if isinstance(self.seeds, UntilDecided) and self.seeds.most < self.seeds.least:
            raise refused(f"must be at least seeds.least = {self.seeds.least}", "seeds", "most")
        if isinstance(self.seeds, UntilDecided) and not self.questions:
            raise refused("are added until questions are answered; say which factors `questions:` are", "seeds")
        return self


@dataclass(frozen=True)
class Listed:
    """A row of a suite: a variant that it trains, or a combination of levels of a grid that it lists."""

    name: str
    levels: dict[str, str] = field(default_factory=dict)  # by factor; empty for a variant of no grid
    aliases: list[str] = field(default_factory=list)  # variants that say the same recipe, and have no row of their own

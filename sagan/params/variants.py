"""The section `variants:`: complete recipes."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from sagan.params.common import Place, Rate, Repeats, Strict, Weight, Width, refused
from sagan.params.suites import TrainingDifference

Epsilon = Annotated[float, Field(gt=0, le=1)]


class Network(Strict):
    """What both networks say."""

    width: Width = Field(description="channels of the largest feature map")
    spectral_norm: bool = False
    power_iterations: Repeats = Field(
        1, description="of spectral norm, in each step", json_schema_extra={"only_with": "spectral_norm"}
    )
    spectral_norm_eps: Epsilon = Field(
        1e-12, description="what lengths of u and v are kept above", json_schema_extra={"only_with": "spectral_norm"}
    )
    spectral_norm_over_input: bool = Field(
        False,
        description="of transposed convolutions over the input's channels, a mistake of the common PyTorch port",
        json_schema_extra={"only_with": "spectral_norm"},
    )
    spectral_norm_constraint: bool = Field(
        False,
        description="the weight itself is divided after each update, as the TF2 port has it, and not in each pass",
        json_schema_extra={"only_with": "spectral_norm"},
    )
    norm_eps: Epsilon = Field(
        1e-5, description="added to batch norm's variances; Keras has 1e-3", json_schema_extra={"only_with": "norm"}
    )
    equalised_rate: bool = Field(
        False,
        description="equalised learning rate: weights times gain / sqrt(fan-in) at run time (Karras et al. 2018, "
        "section 4.1)",
    )
    attention_at: list[Place] = Field(default=[], description="feature maps that are followed by self-attention")
    attention: Literal["official", "unpooled", "average-pooled", "full-value", "full-value-plain", "residual"] = Field(
        "official",
        description="its form; `full-value-plain` has no spectral norm even where the network has it; `residual` is a "
        "residual block of the same size in its place",
        json_schema_extra={"only_with": "attention_at"},
    )
    attention_bias: bool = Field(
        False,
        description="biases in its convolutions, as the ports have them",
        json_schema_extra={"only_with": "attention_at"},
    )


class GeneratorSwitches(Network):
    """The generator's switches."""

    z_dim: Width = Field(128, description="dimensions of z ~ N(0, 1)")
    norm: Literal["batch", "none"] = "batch"
    pixel_norm: bool = Field(
        False,
        description="of `progressive`: each pixel over the root mean square of its channels, behind activations, and "
        "z likewise (Karras et al. 2018, section 4.2)",
    )


class DiscriminatorSwitches(Network):
    """The discriminator's switches."""

    norm: Literal["batch", "none"] = "none"
    scales: Annotated[int, Field(ge=1, le=3)] = Field(
        1, description="discriminators, each at half the side of the one before"
    )
    minibatch_deviation: bool = Field(
        False,
        description="of `progressive`: a map of how much the images of a group of 4 differ (Karras et al. 2018, "
        "section 3)",
    )


class Optimizer(Strict):
    """Adam for both networks. The discriminator's learning rate is `lr_g * lr_ratio` (TTUR, Heusel et al. 2017)."""

    lr_g: Rate = Field(description="the generator's learning rate")
    lr_ratio: Annotated[float, Field(gt=0, le=1e4)] = Field(
        1.0, description="discriminator's learning rate over the generator's"
    )
    betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]
    eps: Epsilon = Field(1e-8, description="added to the root of the second moment; Keras has 1e-7")
    decay: Literal["none", "linear"] = Field(
        "none", description="`linear`: of both rates, to 1/steps of them at the last step"
    )


class Regularisers(Strict):
    """Weights of what is added to the losses; 0 is off."""

    gradient_penalty: Weight = Field(0.0, description="(|grad D| - 1)^2 between real and fake; WGAN-GP has 10")
    r1: Weight = Field(0.0, description="gamma: gamma/2 |grad D|^2 at real images (Mescheder et al. 2018: 10)")
    r2: Weight = Field(0.0, description="gamma: gamma/2 |grad D|^2 at fakes (Mescheder et al. 2018, eq. 10)")
    orthogonal: Weight = Field(0.0, description="on the generator's weights; BigGAN has 1e-4")
    feature_matching: Weight = Field(
        0.0, description="means of the discriminator's features, real against generated (Salimans et al. 2016)"
    )


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
        return file


class Recipe(Strict):
    """Two networks, an objective and their optimisers: all that a run is made of."""

    backbone: Literal["dcgan", "faces", "sngan", "sngan-resnet", "sagan-resnet", "biggan", "progressive"] = "dcgan"
    generator: GeneratorSwitches
    discriminator: DiscriminatorSwitches
    init: Literal["normal", "xavier", "xavier-residual", "orthogonal", "he"] = "normal"
    condition: str | None = Field(
        None, description="`class`, or an attribute's name: what both networks are told of an image"
    )
    objective: Literal["non-saturating", "minimax", "hinge", "least-squares", "wasserstein", "relativistic"]
    regularisers: Regularisers = Regularisers()
    augment: list[Literal["color", "translation", "cutout"]] = Field(
        default=[], description="differentiable augmentation of all that the discriminator sees"
    )
    n_dis: Repeats = Field(1, description="discriminator steps for each generator step")
    optimizer: Optimizer
    extension: Extension | None = Field(None, description="own code; what it does not define stays as it is here")


class Variant(Recipe):
    """One complete recipe of params.yaml, refused where the literature calls it wrong."""

    description: str = ""
    ranked: bool = Field(True, description="false: shown and never compared, as what was trained on its ruler")
    training: TrainingDifference = Field(
        default_factory=TrainingDifference, description="what differs from the suite's `training`"
    )

    @model_validator(mode="after")
    def _sound(self):
        if self.condition is not None and self.generator.norm != "batch":
            raise refused(
                "a condition works through batch norm's gains and biases; say generator.norm: batch", "condition"
            )
        penalised = self.regularisers.gradient_penalty > 0
        discriminator = self.discriminator
        each = self.regularisers
        if (penalised or each.r1 > 0 or each.r2 > 0) and discriminator.norm == "batch":
            raise refused(
                "a penalty on each image's gradient is not defined under batch norm, which mixes images "
                "(Gulrajani et al. 2017, section 4); say discriminator.norm: none",
                *("discriminator", "norm"),
            )
        if each.feature_matching > 0 and self.augment:
            raise refused(
                "feature matching shows the discriminator images that are not augmented, which augmentation is to "
                "keep from it (Zhao et al. 2020); say augment: [], or regularisers.feature_matching: 0",
                "augment",
            )
        if self.objective == "wasserstein" and not penalised and not discriminator.spectral_norm:
            raise refused(
                "the Wasserstein loss is unbounded without a Lipschitz constraint (Arjovsky et al. 2017, section 3); "
                "say regularisers.gradient_penalty: 10, or discriminator.spectral_norm: true",
                "objective",
            )
        self._grows_soundly()
        return self

    @property
    def caution(self) -> str | None:
        """What `plan` and `describe` warn of: allowed, since common code does it, and against the literature."""
        if self.regularisers.gradient_penalty > 0 and self.discriminator.spectral_norm:
            return "the gradient penalty pulls gradients up to norm 1 where spectral norm holds them below"
        return None

    def _grows_soundly(self) -> None:
        """Refuse what the networks of progressive growing have and others lack, and the other way round."""
        for role in ("generator", "discriminator"):
            network = getattr(self, role)
            if network.equalised_rate and network.spectral_norm:
                raise refused(
                    "spectral norm divides the weights' scale out again; say spectral_norm: false, or "
                    "equalised_rate: false",
                    *(role, "equalised_rate"),
                )
        grows = self.backbone == "progressive"
        for role, switch in (("generator", "pixel_norm"), ("discriminator", "minibatch_deviation")):
            if getattr(getattr(self, role), switch) and not grows:
                raise refused("only `backbone: progressive` has it; say false", role, switch)
        if grows and self.discriminator.scales > 1:
            raise refused(
                "a progressive discriminator sees one side at a time; say 1, or another backbone",
                *("discriminator", "scales"),
            )

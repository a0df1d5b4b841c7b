"""Networks that feature spaces are made of: images uint8 [B, C, R, R] to a tuple of outputs [B, ...]."""

import io
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch_fidelity.feature_extractor_inceptionv3 import BasicConv2d, FeatureExtractorInceptionV3

from sagan.data.mnist import PLACES
from sagan.errors import UserError, did_you_mean, first_line
from sagan.store.paths import TIMM
from sagan.training.classifier import Classifier

EXTRACTOR_NAME = "inception-v3-compat"  # of 2015-12-05, by which FID is defined
# Among 20 images one takes 0.73 of the time that it takes among 100 (one core of an Intel Xeon).
_PIECE = 20
MODES = 1000
_DIGITS = 10


class Inception(FeatureExtractorInceptionV3):
    """torch-fidelity's network, on a CPU over a few images at a time: what is between its layers stays in the cache."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """uint8 [B, 3, R, R] to the features asked for, [B, ...] each."""
        pieces = images.split(_PIECE if images.device.type == "cpu" else len(images))
        return tuple(map(torch.cat, zip(*map(super().forward, pieces), strict=True)))


def has_classes(network: FeatureExtractorInceptionV3) -> bool:
    """Whether a network has its classifier layer, so that an Inception score means anything."""
    return bool(network.fc.weight.any())


def read_inception(path: Path) -> tuple[Inception, tuple[str, ...]]:
    """The network in a file, and what its outputs are: features, and logits where it has its classifier layer.

    torch-fidelity would execute code that a file holds; here only tensors are read.

    Raises:
        UserError: the file holds anything else.
    """
    layers, tensors = {"2048": "features", "logits_unbiased": "logits"}, io.BytesIO()
    try:
        torch.save(torch.load(path, weights_only=True), tensors)
        tensors.seek(0)
        network = Inception(EXTRACTOR_NAME, list(layers), tensors)
    except (RuntimeError, KeyError, EOFError, pickle.UnpicklingError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not Inception's weights ({first_line(error)}); delete it and fetch it anew with "
            "`python -m sagan weights inception`"
        ) from None
    if not has_classes(network):
        del layers["logits_unbiased"]
        network.features_list = list(layers)
    _fold(network.eval())
    return network, tuple(layers.values())


def _fold(network: nn.Module) -> None:
    """Put each batch norm into the weights of the convolution before it: a tenth of the time, the same features."""
    for part in network.modules():
        if isinstance(part, BasicConv2d):
            part.conv, part.bn = fuse_conv_bn_eval(part.conv, part.bn), nn.Identity()


class StackedClassifier(nn.Module):
    """Stacks uint8 [B, 3, R, R] -> features [B, 384], the three channels' side by side, and logits [B, 3, 10]."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.digit = Classifier(1, _DIGITS)
        self.digit.load_state_dict(weights)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = self.digit(images.flatten(0, 1).unsqueeze(1))
        return features.unflatten(0, (-1, 3)).flatten(1), logits.unflatten(0, (-1, 3))


def modes_of(logits: Tensor) -> Tensor:
    """The mode int64 [B] of each stack, 0 to 999, from logits [B, 3, 10]: the number that its likeliest digits make."""
    return logits.argmax(2) @ torch.as_tensor(PLACES)


class TimmNetwork(nn.Module):
    """The pooled features of a network of timm; images are resized, cropped and normalised as its configuration says.

    Args:
        name: as timm has it, such as "vit_base_patch14_dinov2.lvd142m".
        path: its weights as published (`model.safetensors`).

    Raises:
        UserError: timm is not installed, has no such network, or the file is not of it.
    """

    def __init__(self, name: str, path: Path) -> None:
        super().__init__()
        timm = import_timm()
        try:
            self.network, other = (_loaded(name, path, seed) for seed in (0, 1))
            # timm passes over what a file lacks, and leaves those weights as they were drawn.
            drawn = [
                key for key, value in other.state_dict().items() if not value.equal(self.network.state_dict()[key])
            ]
            if drawn:
                raise KeyError(f"it has no {drawn[0]}")
        except (RuntimeError, KeyError, ValueError, OSError, SafetensorError) as error:
            if not timm.is_model(name.partition(".")[0]):
                raise unknown(name) from None
            raise UserError(
                f"{path}: not the weights of {name!r} ({first_line(error)}); delete it and fetch it anew with "
                f"`python -m sagan weights {TIMM}{name}`"
            ) from None
        config = timm.data.resolve_data_config(model=self.network)
        self.prepare = timm.data.create_transform(**config)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """uint8 [B, 3, R, R] -> features [B, D]."""
        return (self.network(self.prepare(images.float() / 255)),)


def _loaded(name: str, path: Path, seed: int) -> nn.Module:
    """The network with what the file has, by timm's own way, which knows how each was published."""
    overlay = {"file": str(path), "hf_hub_id": None, "url": ""}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return import_timm().create_model(name, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay)


def import_timm():
    """timm, or one line that says how to get it."""
    try:
        import timm
    except ImportError:
        raise UserError("feature spaces `timm:NAME` need the package timm: pip install 'timm>=1.0.20'") from None
    return timm


def unknown(name: str) -> UserError:
    """That timm has no such network."""
    timm = import_timm()
    return UserError(f"{TIMM}{name}: timm has no such network{did_you_mean(name, timm.list_models())}")

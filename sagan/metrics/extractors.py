"""Feature extractors, each registered with torch-fidelity so that its own tools can use them too."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_clip import FeatureExtractorCLIP
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor

from sagan.code.fingerprint import Table
from sagan.errors import UserError
from sagan.metrics.dinov2 import DinoV2Extractor
from sagan.metrics.inception import EXTRACTOR_NAME, Inception, has_classes
from sagan.metrics.stacked_classifier import StackedClassifier
from sagan.store.paths import Paths
from sagan.training.classifier import Classifier

CLASSIFIER_NAME = "sagan-classifier"
DINOV2_NAME = "sagan-dinov2"
STACKED_NAME = "sagan-stacked-classifier"


class ClassifierExtractor(FeatureExtractorBase):
    """The dataset's own classifier as a torch-fidelity extractor.

    Args:
        feature_extractor_weights_path: `classifier.safetensors` of a reference.
    """

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str, **_: object) -> None:
        super().__init__(name, features_list)
        weights = load_file(feature_extractor_weights_path)
        classes, channels = len(weights["to_logits.bias"]), weights["body.0.weight"].shape[1]
        self.classifier = Classifier(channels, classes)
        self.classifier.load_state_dict(weights)
        self.eval()

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return ("features", "logits")

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "logits" if metric == "isc" else "features"

    @staticmethod
    def can_be_compiled() -> bool:
        return False

    @staticmethod
    def get_dummy_input_for_compile() -> Tensor:
        return torch.zeros(1, 1, 28, 28, dtype=torch.uint8)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features, logits = self.classifier(images)
        return tuple({"features": features, "logits": logits}[name] for name in self.features_list)


class StackedExtractor(FeatureExtractorBase):
    """The classifier of single digits over the channels of stacks, as a torch-fidelity extractor.

    Args:
        feature_extractor_weights_path: `stacked-classifier.safetensors` of a reference.
    """

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str, **_: object) -> None:
        super().__init__(name, features_list)
        self.classifier = StackedClassifier(load_file(feature_extractor_weights_path))
        self.eval()

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return ("features", "digits")

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "features"

    @staticmethod
    def can_be_compiled() -> bool:
        return False

    @staticmethod
    def get_dummy_input_for_compile() -> Tensor:
        return torch.zeros(1, 3, 28, 28, dtype=torch.uint8)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features, digits = self.classifier(images)
        return tuple({"features": features, "digits": digits}[name] for name in self.features_list)


def _registered(**extractors: type[FeatureExtractorBase]) -> dict[str, type[FeatureExtractorBase]]:
    for name, extractor in extractors.items():
        if name not in FEATURE_EXTRACTORS_REGISTRY:
            register_feature_extractor(name, extractor)
    return extractors


# An assignment, so that no key depends on all extractors at once.
REGISTERED = _registered(
    **{CLASSIFIER_NAME: ClassifierExtractor, STACKED_NAME: StackedExtractor, DINOV2_NAME: DinoV2Extractor}
)


# torch-fidelity's extractor, and what its outputs are to us.
Network = tuple[FeatureExtractorBase, dict[str, str]]


def _classifier(path: Path) -> Network:
    names = {"features": "features", "logits": "logits"}
    return ClassifierExtractor(CLASSIFIER_NAME, list(names), str(path)), names


def _stacked(path: Path) -> Network:
    names = {"features": "features", "digits": "digits"}
    return StackedExtractor(STACKED_NAME, list(names), str(path)), names


def _inception(path: Path) -> Network:
    names = {"2048": "features", "logits_unbiased": "logits"}
    network = Inception(EXTRACTOR_NAME, list(names), str(path))
    if not has_classes(network):
        del names["logits_unbiased"]
        network.features_list = list(names)
    return network, names


def _clip(path: Path) -> Network:
    with _as_published("clip-vit-b-32", path), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch means to drop TorchScript; it still reads it
        return FeatureExtractorCLIP("clip-vit-b-32", ["clip"], str(path)), {"clip": "features"}


def _dinov2_base(path: Path) -> Network:
    with _as_published("dinov2-vit-b-14", path):
        return DinoV2Extractor(DINOV2_NAME, ["dinov2"], str(path)), {"dinov2": "features"}


def _dinov2_large(path: Path) -> Network:
    with _as_published("dinov2-vit-l-14", path):
        return DinoV2Extractor(DINOV2_NAME, ["dinov2"], str(path)), {"dinov2": "features"}


EXTRACTORS: Table[str, Callable[[Path], Network]] = {
    "classifier": _classifier,
    "stacked-classifier": _stacked,
    "inception": _inception,
    "clip-vit-b-32": _clip,
    "dinov2-vit-b-14": _dinov2_base,
    "dinov2-vit-l-14": _dinov2_large,
}


class Extractor:
    """One feature space, however its network is named: images to features, and to logits where it has classes."""

    def __init__(self, kind: str, reference_folder: Path, paths: Paths, device: torch.device) -> None:
        self.kind = kind
        network, self._names = EXTRACTORS[kind](paths.weights_file(kind, reference_folder))
        self._network = network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """uint8 [B, C, R, R] on the device -> {"features": [B, D], "logits": [B, classes]} (no logits: no key)."""
        if self.kind != "classifier" and images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        return {self._names[n]: value for n, value in zip(self._names, self._network(images), strict=True)}


@contextmanager
def _as_published(kind: str, path: Path) -> Iterator[None]:
    """Another file in the place of published weights is one line."""
    try:
        yield
    except (RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).strip().splitlines() or ["it is empty"])[0]
        raise UserError(
            f"{path}: not the file of {kind!r} as it is published ({reason}); delete it and fetch it anew with "
            f"`python -m sagan weights {kind}`"
        ) from None

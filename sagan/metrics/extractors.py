"""Feature spaces: images to features, each by one network whose weights are a file."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor

from sagan.code.fingerprint import Table
from sagan.metrics.networks import StackedClassifier, TimmNetwork, read_inception
from sagan.store.paths import TIMM, Paths
from sagan.training.classifier import Classifier

CLASSIFIER_NAME = "sagan-classifier"

# A network, and what its outputs are: images uint8 [B, C, R, R] to a tuple of them.
Network = tuple[nn.Module, tuple[str, ...]]


def _read_classifier(path: Path | str) -> Classifier:
    weights = load_file(path)
    network = Classifier(weights["body.0.weight"].shape[1], len(weights["to_logits.bias"]))
    network.load_state_dict(weights)
    return network.eval()


class ClassifierExtractor(FeatureExtractorBase):
    """A small classifier as an extractor of torch-fidelity, so that its own tools can measure in that space too.

    Args:
        feature_extractor_weights_path: `classifier.safetensors` of a reference, or a file that ships with the package.
    """

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str, **_: object) -> None:
        super().__init__(name, features_list)
        self.classifier = _read_classifier(feature_extractor_weights_path)
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


if CLASSIFIER_NAME not in FEATURE_EXTRACTORS_REGISTRY:
    register_feature_extractor(CLASSIFIER_NAME, ClassifierExtractor)


def _classifier(path: Path) -> Network:
    return _read_classifier(path), ("features", "logits")


def _untrained(path: Path) -> Network:
    return _read_classifier(path), ("features",)


def _stacked(path: Path) -> Network:
    return StackedClassifier(load_file(path)), ("features", "digits")


EXTRACTORS: Table[str, Callable[[Path], Network]] = {
    "classifier": _classifier,
    "digits": _classifier,
    "digits-2": _classifier,
    "digits-3": _classifier,
    "random": _untrained,
    "stacked-digits": _stacked,
    "inception": read_inception,
}


class Extractor:
    """One feature space, however its network is named: images to features, and to logits where it has classes."""

    def __init__(self, space: str, reference_folder: Path, paths: Paths, device: torch.device) -> None:
        path = paths.weights_file(space, reference_folder)
        if space.startswith(TIMM):
            network, self._names = TimmNetwork(space.removeprefix(TIMM), path), ("features",)
        else:
            network, self._names = EXTRACTORS[space](path)
        self._is_grey = space.startswith(("classifier", "digits"))
        self._network = network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """uint8 [B, C, R, R] on the device -> {"features": [B, D], "logits": [B, classes]} (no logits: no key)."""
        if not self._is_grey and images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        return dict(zip(self._names, self._network(images), strict=False))  # of the untrained one only the first

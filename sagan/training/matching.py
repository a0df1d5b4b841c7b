"""What a generator can match without a target for each image: statistics of features over a batch.

A perceptual loss compares the features of an image with those of the image that it should have been. From z alone there
is no such image; what real and generated ones can share is how their features are distributed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagan.code.fingerprint import Table
from sagan.nn.efficientnet import load_lite0
from sagan.store.paths import Paths
from sagan.training.classifier import Classifier, train_classifier
from sagan.training.processes import mean_over_processes

if TYPE_CHECKING:
    from sagan.training.ingredients import Ingredients, Made


def feature_matching(made: Made) -> Tensor:
    """|| E f(x) - E f(G(z)) ||^2 of what the discriminator's head sees (Salimans et al. 2016, section 3.1).

    E is the mean over the whole batch; of discriminators at several scales the distances are added up. The paper trains
    the generator with this alone; here it is added to the objective.
    """
    real, fake, total = made.real, made.fake, made.fake.new_zeros(())
    for position, discriminator in enumerate(getattr(made.discriminator, "scales", [made.discriminator])):
        if position:
            real, fake = F.avg_pool2d(real, 2), F.avg_pool2d(fake, 2)
        with torch.no_grad():
            wanted = _mean(discriminator.stages(real))
        total = total + (wanted - _mean(discriminator.stages(fake))).square().sum()
    return total


class MomentMatching:
    """|| E f(x) - E f(G(z)) ||^2 + || Var f(x) - Var f(G(z)) ||^2 of a fixed network's features (Santos et al. 2019).

    As in GFMN, of the covariance the diagonal alone. Other than there both moments are of the whole batch, without
    moving averages, so that a step depends on nothing that a checkpoint does not have; f is one layer, the last before
    the classes; and it is added to the objective, in the place of which GFMN has it.

    Args:
        network: images [B, C, R, R] in [-1, 1] -> features [B, D]; None until `given`.
    """

    def __init__(self, network: nn.Module | None = None) -> None:
        self.network = network

    def __call__(self, made: Made) -> Tensor:
        with torch.no_grad():
            wanted = _moments(self.network(made.real))
        return (wanted - _moments(self.network(made.fake))).square().sum()

    @classmethod
    def given(
        cls,
        made_of: Ingredients,
        name: str,
        images: np.ndarray,
        classes: np.ndarray | None,
        paths: Paths,
        device: torch.device,
    ) -> Ingredients:
        """A run's ingredients with the fixed network that it asks for.

        Args:
            name: of `FIXED`.
            images, classes: the training split, uint8 [N, C, R, R] and int64 [N].
        """
        bound = cls(FIXED[name](images, classes, paths).eval().requires_grad_(False).to(device))
        penalties = ((weight, bound if isinstance(p, cls) else p) for weight, p in made_of.image_penalties)
        return dataclasses.replace(made_of, image_penalties=tuple(penalties))


class ClassifierFeatures(nn.Module):
    """Images [B, C, R, R] in [-1, 1] -> the features [B, 128] that the extractor `classifier` gives of such bytes."""

    def __init__(self, classifier: Classifier, side: int) -> None:
        super().__init__()
        self.classifier = classifier
        # Pooling to 4x4 as a product: on GPUs the gradient of torch's own differs from time to time.
        self.register_buffer("pooling", F.adaptive_avg_pool1d(torch.eye(side // 4), 4).T.contiguous())

    def forward(self, images: Tensor) -> Tensor:
        maps = self.pooling @ self.classifier.body(images) @ self.pooling.T
        return F.relu(self.classifier.to_features(maps.flatten(1)))


def _of_classifier(images: np.ndarray, classes: np.ndarray | None, paths: Paths) -> nn.Module:
    """The classifier that a reference trains on these images too: the same bytes on the same machine."""
    return ClassifierFeatures(train_classifier(images, classes, int(classes.max()) + 1), images.shape[2])


def _of_lite0(images: np.ndarray, classes: np.ndarray | None, paths: Paths) -> nn.Module:
    return load_lite0(paths.weights_file("efficientnet-lite0", paths.root))


# By `regularisers.moment_network`: (training images, their classes, paths) -> images in [-1, 1] to features.
FIXED: Table[str, Callable[[np.ndarray, np.ndarray | None, Paths], nn.Module]] = {
    "classifier": _of_classifier,
    "efficientnet-lite0": _of_lite0,
}


def _mean(features: Tensor) -> Tensor:
    return mean_over_processes(features.mean(0))


def _moments(features: Tensor) -> Tensor:
    """Mean and variance of each feature over the whole batch, [2, D]."""
    mean = _mean(features)
    return torch.stack([mean, _mean((features - mean).square())])

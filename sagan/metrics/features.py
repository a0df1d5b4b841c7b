"""Images to features, in batches, straight from an array or a generator; never through files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

_BATCH = 100

Features = dict[str, Tensor]


@dataclass(frozen=True)
class Sampled:
    """What a generator's images are measured by.

    Attributes:
        features: float32 on the CPU, a row an image; rows of images that are not finite are NaN, since as bytes
            such images would look like others.
        labels: int64 [N], the classes that were asked for; None where the generator knows none.
        deviation: mean over pixels of the standard deviation over images, in grey levels; None where an image is
            not finite.
    """

    features: Features
    labels: Tensor | None
    deviation: float | None


class Deviation:
    """Mean over pixels (and channels) of the standard deviation over images, in grey levels, batch by batch."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, images: Tensor) -> None:
        """uint8 [B, C, R, R]."""
        grey = images.double()
        self._count += len(grey)
        self._sum = self._sum.to(grey) + grey.sum(0)
        self._squares = self._squares.to(grey) + grey.square().sum(0)

    def value(self) -> float:
        variance = self._squares / self._count - (self._sum / self._count).square()
        return float(variance.clamp(min=0).sqrt().mean())


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] to the bytes that a saved picture would hold: rounded to the nearest of 256 values."""
    return images.add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def labels_of(generator: nn.Module, count: int) -> Tensor | None:
    """The classes int64 [count] that are asked of a generator, in the training set's shares; None without classes."""
    return None if generator.shares is None else generator.shares(count).cpu()


@torch.no_grad()
def generated_images(generator: nn.Module, z: Tensor, device: torch.device, labels: Tensor | None = None) -> Tensor:
    """uint8 [N, C, R, R] on the CPU for z [N, z_dim] and labels int64 [N] (without: the training set's shares)."""
    labels = labels_of(generator, len(z)) if labels is None else labels
    return torch.cat([to_uint8(images).cpu() for images in _batches(generator, z, labels, device)])


def sample_features(
    extractor: Callable[[Tensor], Features], generator: nn.Module, z: Tensor, device: torch.device
) -> Sampled:
    """Features of G(z) for z [N, z_dim], with classes in the training set's shares."""
    labels, deviation = labels_of(generator, len(z)), Deviation()
    finite: list[Tensor] = []

    @torch.no_grad()
    def batches() -> Iterator[Tensor]:
        for images in _batches(generator, z, labels, device):
            finite.append(images.isfinite().flatten(1).all(1).cpu())
            images = to_uint8(images)
            deviation.add(images)
            yield images

    features = _extracted(extractor, batches())
    is_finite = torch.cat(finite)
    for values in features.values():
        values[~is_finite] = torch.nan
    return Sampled(features, labels, deviation.value() if is_finite.all() else None)


def features_of_images(extractor: Callable[[Tensor], Features], images: np.ndarray, device: torch.device) -> Features:
    """Features of uint8 [N, C, R, R]: float32 on the CPU, N rows."""
    return _extracted(extractor, (batch.to(device) for batch in _stored(images)))


def deviation_of_images(images: np.ndarray) -> float:
    """`Deviation` of uint8 [N, C, R, R]."""
    deviation = Deviation()
    for batch in _stored(images):
        deviation.add(batch)
    return deviation.value()


def _stored(images: np.ndarray) -> Iterator[Tensor]:
    for start in range(0, len(images), _BATCH):
        yield torch.from_numpy(np.array(images[start : start + _BATCH]))


def _batches(generator: nn.Module, z: Tensor, labels: Tensor | None, device: torch.device) -> Iterator[Tensor]:
    """G's images in [-1, 1], on the device."""
    for rows in torch.arange(len(z)).split(_BATCH):
        given = () if labels is None else (labels[rows].to(device),)
        yield generator(z[rows].to(device), *given)


def _extracted(extractor: Callable[[Tensor], Features], batches: Iterator[Tensor]) -> Features:
    parts = [{name: value.cpu() for name, value in extractor(batch).items()} for batch in batches]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

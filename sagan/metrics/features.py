"""z to images and images to features, in batches, straight from an array or a generator; never through image files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sagan.metrics.parts import Carried, Tensors, in_memory, parts_of
from sagan.training.seeds import derived_seed

_BATCH = 100
# Images a side of the grid of samples.
GRID = 8


@dataclass(frozen=True, eq=False)
class Sampled:
    """What images are measured by.

    `features` are float32 on the CPU, a row an image. Rows of images that are not finite are NaN, since as bytes such
    images would look like others.
    """

    features: Tensors
    labels: Tensor | None = None  # int64 [N], the classes that were asked for; None where the generator knows none
    deviation: float | None = None  # see `Deviation`; None where an image is not finite, or nobody asked

    def __len__(self) -> int:
        return len(self.features["features"])

    def rows(self, chosen: slice | np.ndarray) -> Sampled:
        """Some of the images."""
        labels = None if self.labels is None else self.labels[chosen]
        return Sampled({name: rows[chosen] for name, rows in self.features.items()}, labels)

    def and_then(self, other: Sampled) -> Sampled:
        """These images and others after them."""
        labels = None if self.labels is None else torch.cat([self.labels, other.labels])
        return Sampled({name: torch.cat([rows, other.features[name]]) for name, rows in self.features.items()}, labels)


class Deviation:
    """Mean over pixels (and channels) of the standard deviation over images, in grey levels, batch by batch."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, images: Tensor) -> None:
        """uint8 [B, C, R, R]."""
        grey = images.double()
        self.add_sums(len(grey), grey.sum(0), grey.square().sum(0))

    def add_sums(self, count: int, total: Tensor, squares: Tensor) -> None:
        """Of `count` images: the sums of their pixels and of the pixels' squares, float64 [C, R, R]; they are exact."""
        self._count += count
        self._sum = self._sum.to(total) + total
        self._squares = self._squares.to(squares) + squares

    def sums(self) -> tuple[Tensor, Tensor]:
        """What `add_sums` takes, on the CPU."""
        return self._sum.cpu(), self._squares.cpu()

    def value(self) -> float:
        variance = self._squares / self._count - (self._sum / self._count).square()
        return float(variance.clamp(min=0).sqrt().mean())


def latents(z_dim: int, count: int, seed: int, purpose: str = "grid", draw: int = 0) -> Tensor:
    """z [count, z_dim] ~ N(0, 1), the same for a seed, purpose and draw, and unrelated to those of others.

    The first z of a longer set are not those of a shorter one: take rows of one set.
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, purpose, draw))
    return torch.randn(count, z_dim, generator=generator)


def walk(start: Tensor, end: Tensor, count: int) -> Tensor:
    """`count` points from z to z [z_dim], on the arc between them, where N(0, 1) has its mass (White 2016)."""
    angle = torch.acos(torch.cosine_similarity(start, end, dim=0).clamp(-1, 1))
    shares = torch.linspace(0, 1, count)[:, None]
    return (torch.sin((1 - shares) * angle) * start + torch.sin(shares * angle) * end) / torch.sin(angle)


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
    extractor: Callable[[Tensor], Tensors],
    generator: nn.Module,
    z: Tensor,
    device: torch.device,
    labels: Tensor | None = None,
    carried: Carried = in_memory,
) -> Sampled:
    """Features of G(z) for z [N, z_dim] and labels int64 [N] (without: classes in the training set's shares)."""
    labels = labels_of(generator, len(z)) if labels is None else labels

    @torch.no_grad()
    def compute(rows: slice) -> Tensors:
        finite: list[Tensor] = []
        deviation = Deviation()

        def batches() -> Iterator[Tensor]:
            for images in _batches(generator, z[rows], None if labels is None else labels[rows], device):
                finite.append(images.isfinite().flatten(1).all(1).cpu())
                images = to_uint8(images)
                deviation.add(images)
                yield images

        found = _extracted(extractor, batches())
        total, squares = deviation.sums()
        return found | {"finite": torch.cat(finite), "sum": total, "squares": squares}

    parts = carried(parts_of(len(z)), compute)
    deviation = Deviation()
    for part in parts:
        deviation.add_sums(len(part["finite"]), part.pop("sum"), part.pop("squares"))
    features = _joined(parts)
    is_finite = features.pop("finite")
    for values in features.values():
        values[~is_finite] = torch.nan
    return Sampled(features, labels, deviation.value() if is_finite.all() else None)


def features_of_images(
    extractor: Callable[[Tensor], Tensors], images: np.ndarray, device: torch.device, carried: Carried = in_memory
) -> Tensors:
    """Features of uint8 [N, C, R, R]: float32 on the CPU, N rows."""

    def compute(rows: slice) -> Tensors:
        return _extracted(extractor, (batch.to(device) for batch in _stored(images[rows])))

    return _joined(carried(parts_of(len(images)), compute))


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


def _extracted(extractor: Callable[[Tensor], Tensors], batches: Iterator[Tensor]) -> Tensors:
    return _joined([{name: value.cpu() for name, value in extractor(batch).items()} for batch in batches])


def _joined(parts: list[Tensors]) -> Tensors:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

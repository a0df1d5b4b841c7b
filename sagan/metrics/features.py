"""Images to features, in batches, straight from an array or a generator; never through files."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

_BATCH = 100

Features = dict[str, Tensor]


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] to the bytes that a saved picture would hold: rounded to the nearest of 256 values."""
    return images.add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)


@torch.no_grad()
def generated_images(generator: nn.Module, z: Tensor, device: torch.device) -> Tensor:
    """uint8 [N, C, R, R] on the CPU for z [N, z_dim]."""
    return torch.cat([to_uint8(generator(batch.to(device))).cpu() for batch in z.split(_BATCH)])


def features_of_generator(
    extractor: Callable[[Tensor], Features], generator: nn.Module, z: Tensor, device: torch.device
) -> Features:
    """Features of G(z), z [N, z_dim]: float32 on the CPU, N rows.

    Rows of images that are not finite are NaN: as bytes such images would look like others.
    """
    finite: list[Tensor] = []

    @torch.no_grad()
    def batches() -> Iterator[Tensor]:
        for batch in z.split(_BATCH):
            images = generator(batch.to(device))
            finite.append(images.isfinite().flatten(1).all(1).cpu())
            yield to_uint8(images)

    features = _extracted(extractor, batches())
    for values in features.values():
        values[~torch.cat(finite)] = torch.nan
    return features


def features_of_images(extractor: Callable[[Tensor], Features], images: np.ndarray, device: torch.device) -> Features:
    """Features of uint8 [N, C, R, R]: float32 on the CPU, N rows."""

    def batches() -> Iterator[Tensor]:
        for start in range(0, len(images), _BATCH):
            yield torch.from_numpy(np.array(images[start : start + _BATCH])).to(device)

    return _extracted(extractor, batches())


def _extracted(extractor: Callable[[Tensor], Features], batches: Iterator[Tensor]) -> Features:
    parts = [{name: value.cpu() for name, value in extractor(batch).items()} for batch in batches]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

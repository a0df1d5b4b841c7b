"""What a step consumes, as a function of the seed and the step alone: real images, and z.

Nothing here has a state, so a run that goes on from a checkpoint needs only its step to see the
same images and the same noise; two variants with one seed see the same ones too, which is what
makes their comparison a paired one.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor


def derived_seed(seed: int, purpose: str, index: int) -> int:
    """A seed in [0, 2**63) for one purpose at one index, unrelated to its neighbours'."""
    text = f"{seed}/{purpose}/{index}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


class RealBatches:
    """Batches of real images from an array that lies on the device as uint8.

    The images come in the order of one random permutation after another, so that each is seen once
    an epoch and none is dropped.

    Args:
        images: uint8 [N, C, R, R].
        horizontal_flip: mirror each image with probability one half.
        labels: int64 [N], each image's class, for conditional variants.
    """

    def __init__(
        self,
        images: np.ndarray,
        batch_size: int,
        seed: int,
        horizontal_flip: bool,
        device: torch.device,
        labels: np.ndarray | None = None,
    ) -> None:
        self.images = torch.from_numpy(np.array(images)).to(device)
        self.labels = None if labels is None else torch.from_numpy(np.array(labels)).to(device)
        self.batch_size = batch_size
        self.seed = seed
        self.horizontal_flip = horizontal_flip
        self.device = device
        self._orders: dict[int, Tensor] = {}

    def __getitem__(self, index: int) -> Tensor:
        """The batch of that index: float32 [B, C, R, R] in [-1, 1]."""
        images = self.images[self._rows(index)]
        batch = images.float().div_(127.5).sub_(1.0)
        if self.horizontal_flip:
            coin = torch.Generator().manual_seed(derived_seed(self.seed, "flip", index))
            flip = torch.rand(len(batch), generator=coin).lt(0.5).to(self.device)
            batch = torch.where(flip[:, None, None, None], batch.flip(3), batch)
        return batch

    def labels_of(self, index: int) -> Tensor | None:
        """The classes of that batch's images, int64 [B]; None without labels."""
        return None if self.labels is None else self.labels[self._rows(index)]

    def drawn_labels(self, index: int) -> Tensor | None:
        """Classes for generated images, drawn from the training set's at random: int64 [B]; None without labels."""
        if self.labels is None:
            return None
        generator = torch.Generator().manual_seed(derived_seed(self.seed, "drawn labels", index))
        return self.labels[torch.randint(len(self.labels), (self.batch_size,), generator=generator).to(self.device)]

    def _rows(self, index: int) -> Tensor:
        count = len(self.images)
        start, stop = index * self.batch_size, (index + 1) * self.batch_size
        rows = []
        for epoch in range(start // count, (stop - 1) // count + 1):
            first = epoch * count
            rows.append(self._order(epoch)[max(start - first, 0) : stop - first])
        return torch.cat(rows)

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            self._orders = {e: order for e, order in self._orders.items() if e == epoch - 1}
            generator = torch.Generator().manual_seed(derived_seed(self.seed, "order", epoch))
            self._orders[epoch] = torch.randperm(len(self.images), generator=generator).to(self.device)
        return self._orders[epoch]


class Noise:
    """z ~ N(0, 1), drawn on the device, as a function of the seed, the purpose and an index."""

    def __init__(self, batch_size: int, z_dim: int, seed: int, purpose: str, device: torch.device) -> None:
        self.shape = (batch_size, z_dim)
        self.seed = seed
        self.purpose = purpose
        self.device = device
        self._generator = torch.Generator(device)

    def __getitem__(self, index: int) -> Tensor:
        """z of that index, float32 [B, z_dim]."""
        self._generator.manual_seed(derived_seed(self.seed, self.purpose, index))
        return torch.randn(self.shape, generator=self._generator, device=self.device)

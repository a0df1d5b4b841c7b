"""What a step consumes, as a function of the seed and the step alone: real images, and z.

Nothing here has a state, so a run that goes on from a checkpoint sees the same images and the same noise.
"""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from sagan.training.seeds import derived_seed


class RealBatches:
    """Batches of real images, from an array that a GPU holds or, where it is too large and on CPUs, that stays put.

    They come in the order of one random permutation after another: each is seen once an epoch and none is dropped.

    Args:
        images: uint8 [N, C, R, R]; memory-mapped, so that jobs on CPUs share what the system has read of it.
        horizontal_flip: mirror each image with probability one half.
        labels: int64 [N], each image's class, for conditional variants.
        streams: whether a thread reads the next batch while the present one is used; None: where the array would
            take more than half of a GPU's free memory. The batches are the same.
    """

    def __init__(
        self,
        images: np.ndarray,
        batch_size: int,
        seed: int,
        horizontal_flip: bool,
        device: torch.device,
        labels: np.ndarray | None = None,
        streams: bool | None = None,
    ) -> None:
        on_gpu = device.type == "cuda"
        self.streams = on_gpu and not _fits(images, device) if streams is None else streams
        self.resides = on_gpu and not self.streams
        self.images = torch.from_numpy(np.array(images)).to(device) if self.resides else np.asarray(images)
        self.labels = None if labels is None else torch.from_numpy(np.array(labels))
        self.batch_size = batch_size
        self.seed = seed
        self.horizontal_flip = horizontal_flip
        self.device = device
        self._orders: dict[int, Tensor] = {}
        self._reader = ThreadPoolExecutor(1) if self.streams else None
        self._ahead: dict[int, Future[Tensor]] = {}

    def __getitem__(self, index: int) -> Tensor:
        """The batch of that index: float32 [B, C, R, R] in [-1, 1]."""
        batch = self._images(index).float().div_(127.5).sub_(1.0)
        if self.horizontal_flip:
            flip = sent(torch.rand(len(batch), generator=drawing(self.seed, "flip", index)).lt(0.5), self.device)
            batch = torch.where(flip[:, None, None, None], batch.flip(3), batch)
        return batch

    def labels_of(self, index: int) -> Tensor | None:
        """The classes of that batch's images, int64 [B]; None without labels."""
        return None if self.labels is None else sent(self.labels[self._rows(index)], self.device)

    def drawn_labels(self, index: int) -> Tensor | None:
        """Classes for generated images, drawn from the training set's at random: int64 [B]; None without labels."""
        if self.labels is None:
            return None
        generator = drawing(self.seed, "drawn labels", index)
        rows = torch.randint(len(self.labels), (self.batch_size,), generator=generator)
        return sent(self.labels[rows], self.device)

    def _images(self, index: int) -> Tensor:
        if self.resides:
            return self.images[sent(self._rows(index), self.device)]
        if self.streams:
            return self._streamed(index)
        return _gathered(self.images, self._rows(index).numpy()).to(self.device)

    def _streamed(self, index: int) -> Tensor:
        reading = self._ahead.get(index) or self._read(index)
        self._ahead = {index + 1: self._read(index + 1)}
        return reading.result().to(self.device, non_blocking=True)

    def _read(self, index: int) -> Future[Tensor]:
        return self._reader.submit(_gathered, self.images, self._rows(index).numpy(), self.device.type == "cuda")

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
            generator = drawing(self.seed, "order", epoch)
            self._orders[epoch] = torch.randperm(len(self.images), generator=generator)
        return self._orders[epoch]


def _gathered(images: np.ndarray, rows: np.ndarray, pins: bool = False) -> Tensor:
    """Those rows, read in the order in which they lie; in pinned memory, from which a GPU copies by itself."""
    order = np.argsort(rows)
    batch = np.empty((len(rows), *images.shape[1:]), images.dtype)
    batch[order] = images[rows[order]]
    return torch.from_numpy(batch).pin_memory() if pins else torch.from_numpy(batch)


def _fits(images: np.ndarray, gpu: torch.device) -> bool:
    return images.nbytes <= torch.cuda.mem_get_info(gpu)[0] // 2


def drawing(seed: int, purpose: str, index: int) -> torch.Generator:
    """The CPU's generator for one purpose at one index, in a state that only these three say."""
    return torch.Generator().manual_seed(derived_seed(seed, purpose, index))


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device; to a GPU from pinned memory, so that nobody waits for the copy."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class Noise:
    """z ~ N(0, 1) as a function of the seed, the purpose and an index, whatever the device."""

    def __init__(self, batch_size: int, z_dim: int, seed: int, purpose: str, device: torch.device) -> None:
        self.shape = (batch_size, z_dim)
        self.seed = seed
        self.purpose = purpose
        self.device = device

    def __getitem__(self, index: int) -> Tensor:
        """z of that index, float32 [B, z_dim]."""
        return sent(torch.randn(self.shape, generator=drawing(self.seed, self.purpose, index)), self.device)

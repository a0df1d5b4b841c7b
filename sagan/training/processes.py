"""Several processes that train one run together, each on its own part of every batch (data parallelism).

`torchrun --nproc-per-node=N -m sagan train KEY` starts them. All hold the same weights at every step: each computes
gradients of its part of the batch, the parts' mean is taken, and all make the same update. The whole batch stays the
one that the run's key says, and so do batch norm's statistics, which are taken over all parts.
"""

import datetime
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Processes:
    """This process's place among `count`; alone, nothing is exchanged."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one process that writes."""
        return self.rank == 0

    def part(self, batch: Tensor, pieces: int) -> Tensor:
        """This process's rows of a batch [B, ...] that is taken in `pieces`, of each piece an equal part."""
        if self.count == 1:
            return batch
        return torch.cat([piece.chunk(self.count)[self.rank] for piece in batch.chunk(pieces)])

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Put the mean over all processes in place of each tensor."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """Whether it holds in any process."""
        return bool(self._reduced(int(flag), dist.ReduceOp.MAX))

    def earliest(self, step: int) -> int:
        """The lowest of the processes' steps, of which -1 stands for none."""
        none = torch.iinfo(torch.int64).max
        found = self._reduced(step if step >= 0 else none, dist.ReduceOp.MIN)
        return found if found < none else -1

    def wait(self) -> None:
        """Until all are here."""
        self.any(False)

    def _reduced(self, number: int, how: dist.ReduceOp) -> int:
        if self.count == 1:
            return number
        found = torch.tensor(number)
        dist.all_reduce(found, how)
        return int(found)


ALONE = Processes()


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that torchrun started, connected until the block ends; `ALONE` where it did not start this one."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or not dist.is_torchelastic_launched():
        yield ALONE
        return
    # The first process may have to wait for the run's lock, and the others for it. Where one dies torchrun ends all.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=datetime.timedelta(days=30))
    yield Processes(dist.get_rank(), count)
    # Not after an error: leaving the group waits for processes that wait for this one.
    dist.destroy_process_group()


def synchronise_batch_norm(network: nn.Module, processes: Processes) -> None:
    """Let batch norm take its statistics over all processes' parts of the batch, in place."""
    if processes.count > 1:
        for module in network.modules():
            if type(module) is nn.BatchNorm2d:
                # The same parameters and buffers under the same names; only `forward` differs.
                module.__class__ = _SynchronisedBatchNorm2d


def mean_over_processes(part: Tensor) -> Tensor:
    """Of what each process found in its part of a batch, the mean, through which gradients flow back; alone, `part`."""
    return _Mean.apply(part) if dist.is_initialized() else part


# torch's own SyncBatchNorm does not work on CPUs.
class _SynchronisedBatchNorm2d(nn.BatchNorm2d):
    def forward(self, x_BCHW: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x_BCHW)
        x = x_BCHW.float()
        # Parts are of equal size, so that the whole's mean is the mean of means.
        mean = _Mean.apply(x.mean((0, 2, 3)))
        centred = x - mean[:, None, None]
        variance = _Mean.apply(centred.square().mean((0, 2, 3)))
        with torch.no_grad():
            count = dist.get_world_size() * x.numel() / x.shape[1]
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        normalised = centred * (variance + self.eps).rsqrt()[:, None, None]
        if self.affine:
            normalised = normalised * self.weight[:, None, None] + self.bias[:, None, None]
        return normalised.to(x_BCHW.dtype)


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, part: Tensor) -> Tensor:
        return _mean(part)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        # Each process's loss is of its own part, and `Processes.mean_` divides the sum of gradients later.
        return _mean(gradient)


def _mean(part: Tensor) -> Tensor:
    whole = part.clone()
    dist.all_reduce(whole)
    return whole / dist.get_world_size()

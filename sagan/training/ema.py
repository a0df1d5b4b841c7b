"""The exponential moving average of the generator, which is what snapshots hold and metrics measure."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from sagan.nn.spectral import folded_state, normalised_layers

# Power iterations that bring the average's own singular vectors up to date before it is folded.
_EXPORT_ITERATIONS = 15


class Ema:
    """Average of a network's weights and of batch norm's statistics (as BigGAN averages both).

    Until `start` the average is a copy; then average <- decay * average + (1 - decay) * weights.
    """

    def __init__(self, network: nn.Module, decay: float, start: int) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.start = start

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights as they are after `step`."""
        averages, values = _averaged(self.network), _averaged(network)
        if step <= self.start:
            torch._foreach_copy_(averages, values)
        else:
            torch._foreach_lerp_(averages, values, 1.0 - self.decay)

    def folded_state(self) -> dict[str, Tensor]:
        """Plain weights for measuring and sharing, with spectral norm folded in."""
        for _, norm, weight in normalised_layers(self.network):
            norm.iterate(weight, _EXPORT_ITERATIONS)
        return folded_state(self.network)


def _averaged(network: nn.Module) -> list[Tensor]:
    """Parameters and batch norm's running statistics; singular vectors and counters have no average."""
    buffers = [b for name, b in network.named_buffers() if name.rsplit(".", 1)[-1].startswith("running_")]
    return [*network.parameters(), *buffers]

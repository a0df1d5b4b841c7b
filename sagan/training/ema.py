"""The exponential moving average of the generator, which is what snapshots hold and metrics measure."""

import copy

import torch
from torch import Tensor, nn

from sagan.nn.reparametrised import folded_state
from sagan.training.batches import Noise

# Batches of fresh noise that batch norm's statistics are gathered from, before the average is measured.
_STANDING_BATCHES = 16


class Ema:
    """Average of the weights that a generator computes with.

    Where spectral norm is on these are the normalised weights: averages of raw ones have smaller singular values, and
    dividing by those again would blow the average up. `network`, which is built without it, holds the average: until
    `start` a copy; then average <- decay * average + (1 - decay) * weights.
    """

    def __init__(self, network: nn.Module, decay: float, start: int) -> None:
        self.network = network.requires_grad_(False)
        self.decay = decay
        self.start = start

    def copies(self, step: int) -> bool:
        """Whether the average is still a copy after `step`."""
        return step <= self.start

    @torch.no_grad()
    def update(self, generator: nn.Module, copies: bool) -> None:
        """Take in the generator's present weights."""
        state = folded_state(generator)
        names, averages = zip(*self.network.named_parameters(), strict=True)
        values = [state[name] for name in names]
        if copies:
            torch._foreach_copy_(averages, values)
        else:
            torch._foreach_lerp_(averages, values, 1.0 - self.decay)

    @torch.no_grad()
    def measured_state(self, noise: Noise) -> dict[str, Tensor]:
        """The averaged weights with batch norm's statistics gathered anew for them.

        The running statistics belong to weights of other steps; these "standing statistics" (Brock et al.
        2019, section 3.2 and appendix B) belong to the average, and come from the same noise every time.
        """
        network = copy.deepcopy(self.network).train()
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
        for index in range(_STANDING_BATCHES if norms else 0):
            network(noise[index])
        return network.state_dict()

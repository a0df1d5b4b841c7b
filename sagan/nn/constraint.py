"""Spectral norm as a constraint: after each update the weight itself is divided by its largest singular value.

Ports in Keras have it so. Adam's next step then starts from the divided weight, and passes compute with the weight as
it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sagan.nn.spectral import SpectralNorm, iterate_all, normalised_layers, spectral_norm


class SpectralConstraint(SpectralNorm):
    """Holds the estimate, and leaves the weight to `constrain`."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight


def with_spectral_constraint(module: nn.Module, switches: Mapping[str, Any]) -> nn.Module:
    """`spectral_norm` with `spectral_norm_constraint`, as a network's switches say it."""
    iterations, eps = switches["power_iterations"], switches["spectral_norm_eps"]
    return spectral_norm(module, iterations, eps, switches["spectral_norm_over_input"], SpectralConstraint)


@torch.no_grad()
def constrain(network: nn.Module) -> None:
    """Advance every estimate, and divide its weight by it, in place."""
    iterate_all(network)
    for _, norm, weight in normalised_layers(network):
        weight.div_(norm.sigma(weight))

"""Spectral normalisation (Miyato et al. 2018, algorithm 1) with one explicit update a step.

The estimate of the largest singular value is advanced by `advance_power_iteration`, called once a
training step, and not inside `forward`: every pass of a step (real, fake, the generator's) then
sees the same normalised weight, as in the official SAGAN code, and evaluation can change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

EPS = 1e-12  # Miyato et al.'s code


class SpectralNorm(nn.Module):
    """A parametrization W -> W / sigma, with sigma = u^T W v and no gradient through u and v.

    `u` [C_out] and `v` [everything else] are buffers. W is read as [C_out, -1]; `dim` says which
    dimension of the weight holds the output channels (1 for transposed convolutions). `iterations` is how
    many power iterations `advance_power_iteration` makes, `eps` what vectors' lengths are kept above.
    """

    def __init__(self, weight: Tensor, dim: int, iterations: int = 1, eps: float = EPS) -> None:
        super().__init__()
        self.dim, self.iterations, self.eps = dim, iterations, eps
        rows, columns = self._matrix(weight).shape
        self.register_buffer("u", F.normalize(torch.randn(rows), dim=0, eps=eps))
        self.register_buffer("v", F.normalize(torch.randn(columns), dim=0, eps=eps))
        self.iterate(weight)

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.transpose(0, self.dim).flatten(1)

    @torch.no_grad()
    def iterate(self, weight: Tensor, times: int = 1) -> None:
        """`times` power iterations on u and v, in place."""
        matrix = self._matrix(weight)
        for _ in range(times):
            self.v.copy_(F.normalize(matrix.t().mv(self.u), dim=0, eps=self.eps))
            self.u.copy_(F.normalize(matrix.mv(self.v), dim=0, eps=self.eps))

    def sigma(self, weight: Tensor) -> Tensor:
        """The estimate of the largest singular value of the raw weight, a scalar."""
        # Clones: a later `iterate` must not change what this step's backward pass reads.
        return torch.dot(self.u.clone(), self._matrix(weight).mv(self.v.clone()))

    def forward(self, weight: Tensor) -> Tensor:
        # Mixed precision would round the estimate to 8 bits.
        with torch.autocast(weight.device.type, enabled=False):
            return weight / self.sigma(weight)


# Power iterations on fresh weights: a run's first steps then see a sigma near the true one.
_WARM_UP = 15


def with_spectral_norm(module: nn.Module, switches: Mapping[str, Any]) -> nn.Module:
    """`spectral_norm` as a network's switches say it."""
    return spectral_norm(module, switches.get("power_iterations", 1), switches.get("spectral_norm_eps", EPS))


def spectral_norm(module: nn.Module, iterations: int = 1, eps: float = EPS) -> nn.Module:
    """Normalise a module's weight in place, and return the module."""
    dim = 1 if isinstance(module, nn.ConvTranspose2d) else 0
    norm = SpectralNorm(module.weight.detach(), dim, iterations, eps)
    parametrize.register_parametrization(module, "weight", norm)
    return module


def normalised_layers(network: nn.Module) -> Iterator[tuple[str, SpectralNorm, nn.Parameter]]:
    """Each spectrally normalised layer: its name, its SpectralNorm and its raw weight."""
    for name, module in network.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            weight = module.parametrizations.weight
            if isinstance(weight[0], SpectralNorm):
                yield name, weight[0], weight.original


def advance_power_iteration(network: nn.Module) -> None:
    """Advance every estimate of a network by its `iterations`; nothing happens in eval mode."""
    if network.training:
        for _, norm, weight in normalised_layers(network):
            norm.iterate(weight, norm.iterations)


def warm_up(network: nn.Module) -> None:
    """Bring every estimate near the true value of weights that were just set."""
    for _, norm, weight in normalised_layers(network):
        norm.iterate(weight, _WARM_UP)


@torch.no_grad()
def sigmas(network: nn.Module) -> dict[str, Tensor]:
    """Layer name -> estimated largest singular value of its raw weight (scalars on the device)."""
    return {name: norm.sigma(weight) for name, norm, weight in normalised_layers(network)}

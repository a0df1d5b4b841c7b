"""Spectral normalisation (Miyato et al. 2018, algorithm 1) with one explicit update a step.

The estimate of the largest singular value is advanced once a training step, and not inside `forward`: every pass of a
step then sees the same normalised weight, as in the official SAGAN code, and evaluation can change nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

EPS = 1e-12  # Miyato et al.'s code


class SpectralNorm(nn.Module):
    """A parametrization W -> W / sigma, with sigma = u^T W v and no gradient through u and v.

    `u` [C_out] and `v` [everything else] are buffers. W is read as [C_out, -1]; `dim` says which dimension holds the
    output channels. `iterations` is how many power iterations a step makes, `eps` what lengths are kept above.
    """

    def __init__(self, weight: Tensor, dim: int, iterations: int = 1, eps: float = EPS) -> None:
        super().__init__()
        self.dim, self.iterations, self.eps = dim, iterations, eps
        rows, columns = self.matrix(weight).shape
        self.register_buffer("u", F.normalize(torch.randn(rows), dim=0, eps=eps))
        self.register_buffer("v", F.normalize(torch.randn(columns), dim=0, eps=eps))
        iterate([self], [weight])

    def matrix(self, weight: Tensor) -> Tensor:
        """[C_out, -1]: a view where the weight's memory format is channels_last."""
        return (weight.movedim(1, -1) if self.dim == 0 and weight.dim() > 2 else weight.transpose(0, self.dim)).flatten(
            1
        )

    def sigma(self, weight: Tensor) -> Tensor:
        """The estimate of the largest singular value of the raw weight, a scalar."""
        return torch.dot(self.u, self.matrix(weight).mv(self.v))

    def forward(self, weight: Tensor) -> Tensor:
        # Mixed precision would round the estimate to 8 bits.
        with torch.autocast(weight.device.type, enabled=False):
            return weight / self.sigma(weight)


@torch.no_grad()
def iterate(norms: Sequence[SpectralNorm], weights: Sequence[Tensor], times: int = 1) -> None:
    """`times` power iterations on every u and v, in place: v <- W^T u / |W^T u|, u <- W v / |W v|."""
    matrices = [norm.matrix(weight) for norm, weight in zip(norms, weights, strict=True)]
    us, vs = [norm.u for norm in norms], [norm.v for norm in norms]
    for _ in range(times):
        for matrix, u, v in zip(matrices, us, vs, strict=True):
            torch.mv(matrix.t(), u, out=v)
        _normalise(vs, norms[0].eps)
        for matrix, u, v in zip(matrices, us, vs, strict=True):
            torch.mv(matrix, v, out=u)
        _normalise(us, norms[0].eps)


def _normalise(vectors: list[Tensor], eps: float) -> None:
    """Each to length 1, in place: what is small in every layer is done for all layers at once."""
    lengths = torch._foreach_norm(vectors)
    torch._foreach_clamp_min_(lengths, eps)
    torch._foreach_div_(vectors, lengths)


# Power iterations on fresh weights: a run's first steps then see a sigma near the true one.
_WARM_UP = 15


def with_spectral_norm(module: nn.Module, switches: Mapping[str, Any]) -> nn.Module:
    """`spectral_norm` as a network's switches say it."""
    iterations, eps = switches["power_iterations"], switches["spectral_norm_eps"]
    return spectral_norm(module, iterations, eps, switches["spectral_norm_over_input"])


def spectral_norm(
    module: nn.Module, iterations: int = 1, eps: float = EPS, over_input: bool = False, kind: type = SpectralNorm
) -> nn.Module:
    """Normalise a module's weight in place, and return the module."""
    # Over the input, a transposed convolution's weight is read as it lies, [C_in, -1].
    dim = 1 if isinstance(module, nn.ConvTranspose2d) and not over_input else 0
    parametrize.register_parametrization(module, "weight", kind(module.weight.detach(), dim, iterations, eps))
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
        iterate_all(network)


def warm_up(network: nn.Module) -> None:
    """Bring every estimate near the true value of weights that were just set."""
    iterate_all(network, _WARM_UP)


def iterate_all(network: nn.Module, times: int | None = None) -> None:
    """`times` power iterations of every layer, or as many as a step makes."""
    if layers := list(normalised_layers(network)):
        _, norms, weights = zip(*layers, strict=True)
        iterate(norms, weights, norms[0].iterations if times is None else times)


@torch.no_grad()
def sigmas(network: nn.Module) -> dict[str, Tensor]:
    """Layer name -> estimated largest singular value of its raw weight (scalars on the device)."""
    return {name: norm.sigma(weight) for name, norm, weight in normalised_layers(network)}


class SpectralConstraint(SpectralNorm):
    """Holds the estimate, and leaves the weight to `constrain`, after each update: ports in Keras have it so.

    Adam's next step then starts from the divided weight, and passes compute with the weight as it is.
    """

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

"""Orthogonal regularisation (Brock et al. 2019, eq. 3)."""

from __future__ import annotations

from torch import Tensor, nn

from sagan.nn.reparametrised import raw_weights


def orthogonality(network: nn.Module) -> Tensor:
    """Sum over layers of ||W W^T * (1 - I)||_F^2, with W the raw weight as [filters, -1]: a scalar.

    Class embeddings are left out, as in BigGAN's code.
    """
    raw = dict(raw_weights(network))
    total = 0.0
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            weight = raw.get(name, module.weight)
            matrix = (weight.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else weight).flatten(1)
            products = matrix @ matrix.t()
            total = total + products.square().sum() - products.diagonal().square().sum()
    return total

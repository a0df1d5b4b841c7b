"""Weight initialisation as each paper has it."""

from __future__ import annotations

from torch import nn

from sagan.nn.spectral import normalised_layers

_WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)

# Power iterations on fresh weights: a run's first steps then see a sigma near the true one.
_WARM_UP = 15


def initialise(network: nn.Module, scheme: str) -> None:
    """Set every weight in place, every bias to 0, and the spectral estimates anew.

    Args:
        scheme: "normal": N(0, 0.02), and N(1, 0.02) for batch norm's scale (DCGAN, section 3);
            "xavier": Glorot uniform (the SAGAN code); "xavier-residual": the same with a gain of sqrt(2) in
            residual branches (SN-GAN's code); "orthogonal" (BigGAN, section 3.1).
    """
    raw_weights = {name: weight for name, _, weight in normalised_layers(network)}
    for name, module in network.named_modules():
        if isinstance(module, _WEIGHTED):
            weight = raw_weights.get(name, module.weight)
            if scheme == "normal":
                nn.init.normal_(weight, 0.0, 0.02)
            elif scheme == "xavier":
                nn.init.xavier_uniform_(weight)
            elif scheme == "xavier-residual":
                nn.init.xavier_uniform_(weight, getattr(module, "init_gain", 1.0))
            else:
                nn.init.orthogonal_(weight)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d) and module.affine and scheme == "normal":
            nn.init.normal_(module.weight, 1.0, 0.02)
    for _, norm, weight in normalised_layers(network):
        norm.iterate(weight, _WARM_UP)

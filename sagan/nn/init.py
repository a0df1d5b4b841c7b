"""Weight initialisation as each paper has it."""

from collections.abc import Callable

from torch import Tensor, nn

from sagan.code.fingerprint import Table
from sagan.nn.reparametrised import he_scale, raw_weights

_WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)


def initialise(network: nn.Module, scheme: str) -> None:
    """Set every weight in place, as one of `SCHEMES` says, and every bias to 0."""
    set_weight, set_scale = SCHEMES[scheme]
    computed_from = dict(raw_weights(network))
    for name, module in network.named_modules():
        if isinstance(module, _WEIGHTED):
            set_weight(computed_from.get(name, module.weight), module)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            set_scale(module.weight)


def _normal(weight: Tensor, module: nn.Module) -> None:
    nn.init.normal_(weight, 0.0, 0.02)


def _normal_around_one(scale: Tensor) -> None:
    nn.init.normal_(scale, 1.0, 0.02)


def _xavier(weight: Tensor, module: nn.Module) -> None:
    nn.init.xavier_uniform_(weight)


def _xavier_residual(weight: Tensor, module: nn.Module) -> None:
    nn.init.xavier_uniform_(weight, getattr(module, "init_gain", 1.0))


def _orthogonal(weight: Tensor, module: nn.Module) -> None:
    nn.init.orthogonal_(weight)


def _he(weight: Tensor, module: nn.Module) -> None:
    nn.init.normal_(weight, 0.0, he_scale(weight, module))


def _ones(scale: Tensor) -> None:
    nn.init.ones_(scale)


# Scheme -> what sets a layer's weight, and batch norm's scale.
SCHEMES: Table[str, tuple[Callable[[Tensor, nn.Module], None], Callable[[Tensor], None]]] = {
    # N(0, 0.02), and N(1, 0.02) for batch norm's scale (DCGAN, section 3)
    "normal": (_normal, _normal_around_one),
    # Glorot uniform (the SAGAN code)
    "xavier": (_xavier, _ones),
    # the same with a gain of sqrt(2) in residual branches (SN-GAN's code)
    "xavier-residual": (_xavier_residual, _ones),
    # BigGAN, section 3.1
    "orthogonal": (_orthogonal, _ones),
    # He et al. 2015, eq. 10, with each layer's gain (progressive growing)
    "he": (_he, _ones),
}

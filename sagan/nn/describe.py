"""A network layer by layer: shapes, parameters, multiply-adds, where spectral norm and attention sit."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from sagan.nn import build_discriminator, build_generator
from sagan.nn.attention import SelfAttention
from sagan.nn.extension import own_network
from sagan.nn.parts import ClassBatchNorm
from sagan.nn.resampling import DownConv2d, UpConv2d
from sagan.nn.spectral import normalised_layers


@dataclass(frozen=True)
class Layer:
    """A layer that computes with weights, for one image: `shape` is without the batch."""

    name: str
    kind: str  # such as "conv 3x3" or "attention (official)"
    shape: tuple[int, ...]
    parameters: int  # its own, not those of layers inside it
    multiply_adds: int
    spectral_norm: bool


def describe(config: Mapping[str, Any], own: ModuleType | None = None) -> dict[str, tuple[int, list[Layer]]]:
    """The "generator" and the "discriminator" of a run's configuration: how many parameters each has, and its layers.

    `own`, its extension, may build them; then parameters may lie in layers of other kinds than those listed.
    """
    image, described = config["image"], {}
    labels = torch.zeros(1, dtype=torch.long) if image["classes"] else None
    z = torch.zeros(1, config["variant"]["generator"]["z_dim"])
    images = torch.zeros(1, image["channels"], image["resolution"], image["resolution"])
    for role, build, inputs in (("generator", build_generator, z), ("discriminator", build_discriminator, images)):
        is_own = own is not None and f"build_{role}" in own.__functions__
        network = own_network(role, config, own) if is_own else build(config)
        described[role] = sum(p.numel() for p in network.parameters()), layers_of(network, inputs, labels)
    return described


@torch.no_grad()
def layers_of(network: nn.Module, inputs: Tensor, labels: Tensor | None) -> list[Layer]:
    """The layers of one network, from one pass over `inputs` [1, ...] in eval mode."""
    normalised = {name for name, _, _ in normalised_layers(network)}
    layers: list[Layer] = []

    def note(name: str, module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, SelfAttention):
            # It computes with its convolutions' weights and does not call them.
            for child, conv in module.named_children():
                if isinstance(conv, nn.Conv2d):
                    note(f"{name}.{child}", conv, arguments, output[:, :1].expand(-1, conv.out_channels, -1, -1))
        kind, multiply_adds = _kind(module, next(iter(arguments), None), output)
        if kind:
            # A normalised weight lies in its parametrization.
            named = module.named_parameters()
            own = sum(p.numel() for at, p in named if "." not in at or at.startswith("parametrizations."))
            layers.append(Layer(name, kind, tuple(output.shape[1:]), own, multiply_adds, name in normalised))

    hooks = [
        module.register_forward_hook(lambda m, a, o, name=name: note(name, m, a, o))
        for name, module in network.named_modules()
    ]
    network.eval()(inputs, labels)
    for hook in hooks:
        hook.remove()
    return layers


def _kind(module: nn.Module, x: Any, output: Any) -> tuple[str, int]:
    """What a layer is called (nothing where it has no weights), and its multiply-adds: none of norms, as is usual."""
    match module:
        case nn.ConvTranspose2d(kernel_size=(height, width)):
            return f"transposed conv {height}x{width}", x[0].numel() * module.out_channels * height * width
        # 4x4 taps at the smaller side: the resampling is part of the convolution.
        case UpConv2d():
            return "up, conv 3x3", x[0].numel() * module.out_channels * 16
        case DownConv2d():
            return "conv 3x3, down", output[0].numel() * module.in_channels * 16
        case nn.Conv2d(kernel_size=(height, width)):
            return f"conv {height}x{width}", output[0].numel() * module.in_channels * height * width
        case nn.Linear():
            return "linear", module.in_features * module.out_features
        case SelfAttention():
            return f"attention ({module.form})", module.products(x.shape[-1])
        case nn.Embedding():
            return "embedding", 0
        case ClassBatchNorm():
            return "class batch norm", 0
        case nn.BatchNorm2d() if module.affine:
            return "batch norm", 0
    return "", 0

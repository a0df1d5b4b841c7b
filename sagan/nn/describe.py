"""A network layer by layer: shapes, parameters, multiply-adds, where spectral norm and attention sit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sagan.nn import build_discriminator, build_generator
from sagan.nn.attention import SelfAttention
from sagan.nn.conditional import ClassBatchNorm
from sagan.nn.resampling import DownConv2d, UpConv2d
from sagan.nn.spectral import normalised_layers


@dataclass(frozen=True)
class Layer:
    """One layer that computes with weights, in the order of the pass.

    Attributes:
        name: its place in the network.
        kind: such as "conv 3x3" or "attention (official)".
        shape: what it gives for one image, without the batch.
        parameters: its own weights, not those of layers inside it.
        multiply_adds: for one image.
        spectral_norm: whether its weight is normalised.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    spectral_norm: bool


def describe(config: Mapping[str, Any]) -> dict[str, list[Layer]]:
    """The "generator" and the "discriminator" of a run's configuration (`variant` and `image`)."""
    image = config["image"]
    generator, discriminator = build_generator(config), build_discriminator(config)
    labels = torch.zeros(1, dtype=torch.long) if image["classes"] else None
    z = torch.zeros(1, generator.z_dim)
    images = torch.zeros(1, image["channels"], image["resolution"], image["resolution"])
    return {
        "generator": layers_of(generator, z, labels),
        "discriminator": layers_of(discriminator, images, labels),
    }


@torch.no_grad()
def layers_of(network: nn.Module, inputs: Tensor, labels: Tensor | None) -> list[Layer]:
    """The layers of one network, from one pass over `inputs` [1, ...] in eval mode."""
    normalised = {name for name, _, _ in normalised_layers(network)}
    layers: list[Layer] = []

    def note(name: str, module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, SelfAttention):
            # It computes with its convolutions' weights and does not call them.
            for child, conv in module.named_children():
                if isinstance(conv, nn.Conv2d):
                    note(f"{name}.{child}", conv, arguments, output[:, :1].expand(-1, conv.out_channels, -1, -1))
        own = sum(p.numel() for p in _own_parameters(module))
        cost = _multiply_adds(module, arguments[0], output)
        layers.append(Layer(name, _kind(module), tuple(output.shape[1:]), own, cost, name in normalised))

    hooks = [
        module.register_forward_hook(lambda m, a, o, name=name: note(name, m, a, o))
        for name, module in network.named_modules()
        if _kind(module)
    ]
    network.eval()(inputs, labels)
    for hook in hooks:
        hook.remove()
    return layers


def _kind(module: nn.Module) -> str:
    """What a layer is called; empty for what has no weights of its own."""
    match module:
        case nn.ConvTranspose2d():
            return f"transposed conv {module.kernel_size[0]}x{module.kernel_size[1]}"
        case UpConv2d():
            return "up, conv 3x3"
        case DownConv2d():
            return "conv 3x3, down"
        case nn.Conv2d():
            return f"conv {module.kernel_size[0]}x{module.kernel_size[1]}"
        case nn.Linear():
            return "linear"
        case nn.Embedding():
            return "embedding"
        case ClassBatchNorm():
            return "class batch norm"
        case nn.BatchNorm2d():
            return "batch norm" if module.affine else ""
        case SelfAttention():
            return f"attention ({module.form})"
    return ""


def _own_parameters(module: nn.Module) -> list[nn.Parameter]:
    own = list(module.parameters(recurse=False))
    # A normalised weight lies in its parametrization.
    return own + (list(module.parametrizations.parameters()) if hasattr(module, "parametrizations") else [])


def _multiply_adds(module: nn.Module, x: Tensor, output: Tensor) -> int:
    """Of one image. Normalisations and nonlinearities count as nothing, as is usual."""
    match module:
        case nn.ConvTranspose2d():
            return x[0].numel() * module.out_channels * math.prod(module.kernel_size)
        # 4x4 taps at the smaller side: the resampling is part of the convolution.
        case UpConv2d():
            return x[0].numel() * module.out_channels * 16
        case DownConv2d():
            return output[0].numel() * module.in_channels * 16
        case nn.Conv2d():
            return output[0].numel() * module.in_channels * math.prod(module.kernel_size)
        case nn.Linear():
            return module.in_features * module.out_features
        case SelfAttention():
            return module.products(x.shape[-1])
    return 0

"""Equalised learning rate (Karras et al. 2018, section 4.1): He et al.'s scale belongs to the pass, not to the weight.

Adam moves every weight by about the rate, whatever the weight's size. With weights of one size all layers learn equally
fast.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

# Of a layer before a ReLU (He et al. 2015, eq. 10). A layer's attribute `gain` says otherwise.
GAIN = math.sqrt(2)


class Scaled(nn.Module):
    """A parametrization W -> scale * W."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        return self.scale * weight


def he_scale(weight: Tensor, module: nn.Module) -> float:
    """gain / sqrt(fan_in), with fan_in the products that one output of the layer adds up."""
    fan_in = weight[0].numel()
    if isinstance(module, nn.ConvTranspose2d):
        # Of its [C_in, C_out, k, k] an output meets every stride-th tap.
        fan_in = weight[:, 0].numel() / math.prod(module.stride)
    return getattr(module, "gain", GAIN) / math.sqrt(fan_in)


def with_equalised_rate(module: nn.Module, switches: Mapping[str, Any]) -> nn.Module:
    """Scale a layer's weight at run time, and return the layer."""
    parametrize.register_parametrization(module, "weight", Scaled(he_scale(module.weight, module)))
    return module


@torch.no_grad()
def divide_by_scales(network: nn.Module) -> None:
    """Bring weights that were just set to where the layers compute with them as set: He et al.'s become N(0, 1)."""
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            weight = module.parametrizations.weight
            if isinstance(weight[0], Scaled):
                weight.original.div_(weight[0].scale)


def nothing(network: nn.Module) -> None:
    """Where there is nothing to do, as with scales, which are constants."""

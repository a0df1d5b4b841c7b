"""What the attention explorer needs of a network: queries and keys, from which any row of the maps follows.

They are far smaller than the maps themselves: (N + M) * D numbers for each image instead of N * M.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from sagan.nn.attention import SelfAttention, attention_layers
from sagan.store.tensors import save_tensors

EXPLORABLE_IMAGES = 8


@torch.no_grad()
def save_explorable(network: nn.Module, role: str, inputs: Tensor, images: Tensor, folder: Path) -> None:
    """Write `<role>-<side>.safetensors` for each attention layer.

    A file holds, for the first eight images, "queries" float16 [B, N, D], "keys" float16 [B, M, D] and
    "images" uint8 [B, C, R, R]. Where query n looks is softmax(queries[b, n] @ keys[b].T), up to float16's
    rounding of the two factors.

    Args:
        role: "generator" or "discriminator".
        inputs: what the network sees, z [>= B, z_dim] or images [>= B, C, R, R] in [-1, 1].
        images: uint8 [>= B, C, R, R], what people see of them.
    """

    def save(side: int, layer: SelfAttention, arguments: tuple[Tensor]) -> None:
        q_BND, k_BMD = layer.queries_and_keys(arguments[0])
        tensors = {"queries": q_BND.half(), "keys": k_BMD.half(), "images": images[:EXPLORABLE_IMAGES]}
        save_tensors(folder / f"{role}-{side}.safetensors", tensors)

    layers = attention_layers(network).items()
    hooks = [layer.register_forward_pre_hook(partial(save, side)) for side, layer in layers]
    network(inputs[:EXPLORABLE_IMAGES])
    for hook in hooks:
        hook.remove()

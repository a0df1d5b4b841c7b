"""What the attention explorer needs of a network: queries and keys, from which any row of the maps follows.

They are far smaller than the maps themselves: (N + M) * D numbers for each image instead of N * M.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from sagan.nn.attention import attention_layers
from sagan.store.tensors import save_tensors

EXPLORABLE_IMAGES = 8


@torch.no_grad()
def save_explorable(network: nn.Module, role: str, inputs: Tensor, images: Tensor, folder: Path) -> list[Path]:
    """Write `<role>-<side>.safetensors` for each attention layer; nothing where there is none.

    A file holds, for the first eight images, "queries" float16 [B, N, D], "keys" float16 [B, M, D] and
    "images" uint8 [B, C, R, R]. Where query n looks is softmax(queries[b, n] @ keys[b].T), up to float16's
    rounding of the two factors.

    Args:
        role: "generator" or "discriminator".
        inputs: what the network sees, z [>= B, z_dim] or images [>= B, C, R, R] in [-1, 1].
        images: uint8 [>= B, C, R, R], what people see of them.

    Returns:
        The files, in the order of the pass.
    """
    files = []
    for side, (q_BND, k_BMD) in _queries_and_keys(network, inputs[:EXPLORABLE_IMAGES]).items():
        tensors = {"queries": q_BND.half(), "keys": k_BMD.half(), "images": images[:EXPLORABLE_IMAGES]}
        files.append(folder / f"{role}-{side}.safetensors")
        save_tensors(files[-1], tensors)
    return files


def _queries_and_keys(network: nn.Module, inputs: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
    """Feature side -> ([B, N, D], [B, M, D]) of every attention layer, in one pass."""
    found: dict[int, tuple[Tensor, Tensor]] = {}

    hooks = [
        layer.register_forward_pre_hook(
            lambda layer, arguments, side=side: found.update({side: layer.queries_and_keys(arguments[0])})
        )
        for side, layer in attention_layers(network).items()
    ]
    try:
        network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found

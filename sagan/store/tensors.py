"""Tensors on disk: safetensors, written whole or not at all, readable by whom the user's umask lets read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from sagan.store.records import atomic


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write named tensors atomically; equal tensors and metadata give equal bytes.

    Raises:
        OSError: no room, or no right to write there.
    """
    content = save({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, metadata)
    with atomic(path) as temporary:
        temporary.write_bytes(content)

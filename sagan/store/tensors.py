"""Tensors on disk: safetensors, written whole or not at all, readable by whom the user's umask lets read."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.torch import save
from torch import Tensor

from sagan.errors import first_line
from sagan.store.reading import warn_once
from sagan.store.records import atomic


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The tensors in a file, as arrays; None where it is not there, or is not whole, which is said once."""
    try:
        return load_file(path)
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, ValueError) as error:
        warn_once(f"{path}: not whole ({first_line(error)}), and left out")
        return None


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write named tensors atomically; equal tensors and metadata give equal bytes.

    Raises:
        OSError: no room, or no right to write there.
    """
    content = save({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, metadata)
    with atomic(path) as temporary:
        temporary.write_bytes(content)

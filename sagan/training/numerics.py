"""How arithmetic is done, as a run's configuration says: it is part of what the run is."""

from __future__ import annotations

import os

import torch


def set_numerics(deterministic: bool = True, precision: str = "float32") -> None:
    """Determinism and TF32 of this process. bfloat16 is the step's own: see `Trainer`.

    TF32 rounds the factors of float32 products to 10 bits, on GPUs alone: never unasked.
    """
    tf32 = precision == "tf32"
    # Without this cuBLAS may choose an algorithm whose sums depend on the stream (its documentation says so).
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    # Or every new tensor is filled with NaN first: a kernel for each, and no byte of a result is read before it is set.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32

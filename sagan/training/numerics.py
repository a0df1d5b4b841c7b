"""How arithmetic is done, as a run's configuration says: it is part of what the run is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

# What measuring uses, and training unless a suite asks for something else.
EXACT = {"deterministic": True, "precision": "float32"}


def set_numerics(training: Mapping[str, Any]) -> None:
    """Determinism and TF32 of this process. bfloat16 is the step's own: see `Trainer`.

    TF32 rounds the factors of float32 products to 10 bits, on GPUs alone: never unasked.
    """
    deterministic, tf32 = training["deterministic"], training["precision"] == "tf32"
    # Without this cuBLAS may choose an algorithm whose sums depend on the stream (its documentation says so).
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32

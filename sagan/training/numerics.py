"""How arithmetic is done, as a run's configuration says: it is part of what the run is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def set_numerics(training: Mapping[str, Any]) -> None:
    """Determinism and TF32 of this process. bfloat16 is the step's own: see `Trainer`.

    TF32 rounds the factors of float32 products to 10 bits, on GPUs alone.
    """
    deterministic, tf32 = training["deterministic"], training["precision"] == "tf32"
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32

"""What MLflow loads a generator with: this file lies in each model, beside the weights and the networks' code."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from sagan.nn.files import load_generator


class _Model:
    def __init__(self, folder: str) -> None:
        self._generator = load_generator(Path(folder), trust=True)

    @torch.no_grad()
    def predict(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Maps `z` float32 [N, z_dim] ~ N(0, 1), and with classes `label` int64 [N], to images uint8 [N, R, R, C]."""
        tensors = [torch.as_tensor(np.asarray(inputs["z"], np.float32))]
        if "label" in inputs:
            tensors.append(torch.as_tensor(np.asarray(inputs["label"], np.int64)))
        images = self._generator(*tensors).add(1.0).mul(127.5).round().clamp(0, 255)
        return images.to(torch.uint8).permute(0, 2, 3, 1).numpy()


_load_pyfunc = _Model  # the name that MLflow calls

"""The code of the MLflow models: MLflow keeps this file beside the weights, and runs it instead of a pickle.

A model's folder holds this, the weights (safetensors) and the networks' modules, so that it can be served where
this project is not installed.
"""

from __future__ import annotations

import mlflow
import numpy as np
from mlflow.pyfunc import PythonModel, PythonModelContext


class GeneratorModel(PythonModel):
    """z, and labels where the generator knows classes, to images."""

    def load_context(self, context: PythonModelContext) -> None:
        # Here and not above: MLflow runs this file once as it is sent, and torch takes seconds to import.
        from sagan.nn.files import load_generator

        self._generator = load_generator(context.artifacts["generator"], trust=True)

    # No types here: MLflow would take them for the signature, which is sent with the model.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Images uint8 [N, R, R, C].

        Args:
            model_input: `z` float32 [N, z_dim] ~ N(0, 1); with classes also `label` int64 [N].
        """
        import torch

        inputs = [torch.as_tensor(np.asarray(model_input["z"], np.float32))]
        if "label" in model_input:
            inputs.append(torch.as_tensor(np.asarray(model_input["label"], np.int64)))
        with torch.no_grad():
            images = self._generator(*inputs)
        return images.add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()


mlflow.models.set_model(GeneratorModel())

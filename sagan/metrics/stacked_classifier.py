"""The feature space of stacked digits: one classifier of single digits reads each channel by itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sagan.data.stacked import PLACES
from sagan.training.classifier import Classifier

MODES = 1000
_DIGITS = 10


class StackedClassifier(nn.Module):
    """Stacks uint8 [B, 3, R, R] -> features [B, 384], the three channels' side by side, and logits [B, 3, 10]."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.digit = Classifier(1, _DIGITS)
        self.digit.load_state_dict(weights)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = self.digit(images.flatten(0, 1).unsqueeze(1))
        return features.unflatten(0, (-1, 3)).flatten(1), logits.unflatten(0, (-1, 3))


def modes_of(logits: Tensor) -> Tensor:
    """The mode int64 [B] of each stack, 0 to 999, from logits [B, 3, 10]: the number that its likeliest digits make."""
    return logits.argmax(2) @ torch.as_tensor(PLACES)

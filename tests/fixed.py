"""Trainers of variants that match moments, with a small fixed network in the place of a trained one."""

from __future__ import annotations

import torch

from sagan.training import classifier
from sagan.training.matching import MomentMatching
from sagan.training.step import Trainer


def with_fixed_network(trainer: Trainer, network: str | None, side: int) -> Trainer:
    """The trainer, given its classifier of three classes of noise where it asks for one; two steps train it."""
    if network is not None:
        steps, classifier._STEPS = classifier._STEPS, 2
        images = torch.randint(0, 256, (9, 1, side, side), generator=torch.Generator().manual_seed(0)).byte().numpy()
        classes = (torch.arange(9) % 3).numpy()
        trainer.made_of = MomentMatching.given(trainer.made_of, network, images, classes, None, trainer.device)
        classifier._STEPS = steps
    return trainer

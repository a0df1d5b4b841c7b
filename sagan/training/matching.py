"""What a generator can match without a target for each image: statistics of features over a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from sagan.training.processes import mean_over_processes

if TYPE_CHECKING:
    from sagan.training.ingredients import Made


def feature_matching(made: Made) -> Tensor:
    """|| E f(x) - E f(G(z)) ||^2 of what the discriminator's head sees (Salimans et al. 2016, section 3.1).

    E is the mean over the whole batch; of discriminators at several scales the distances are added up.
    """
    real, fake, total = made.real, made.fake, made.fake.new_zeros(())
    for position, discriminator in enumerate(getattr(made.discriminator, "scales", [made.discriminator])):
        if position:
            real, fake = F.avg_pool2d(real, 2), F.avg_pool2d(fake, 2)
        with torch.no_grad():
            wanted = _mean(discriminator.stages(real))
        total = total + (wanted - _mean(discriminator.stages(fake))).square().sum()
    return total


def _mean(features: Tensor) -> Tensor:
    return mean_over_processes(features.mean(0))

"""The schedule of progressive growing (Karras et al. 2018, section 2), in images seen; docs/variants.md draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from sagan.errors import UserError
from sagan.nn.progressive import GROUP, Growing, MinibatchDeviation, averaged
from sagan.nn.resampling import upsampled
from sagan.training.graphs import GraphedStep

if TYPE_CHECKING:
    from sagan.training.step import Trainer


def phase_at(images: int, total: int, sides: int) -> tuple[int, float]:
    """The phase behind so many images of a run's total: its number, and how far a fade has come, in [0, 1].

    Phases are 2 * sides equal parts. Even ones rest, at side number phase / 2; odd ones fade in side number
    (phase + 1) / 2. The last takes two parts.

    >>> [phase_at(images, 80, 4) for images in (0, 10, 15, 20, 60, 79)]
    [(0, 1.0), (1, 0.0), (1, 0.5), (2, 1.0), (6, 1.0), (6, 1.0)]
    """
    phase, rest = divmod(2 * sides * images, total)
    phase = min(phase, 2 * (sides - 1))
    return phase, rest / total if phase % 2 else 1.0


def grow(trainer: Trainer, images_seen: int) -> None:
    """Bring the three networks to where they are after so many images; Adam begins each phase anew.

    Raises:
        UserError: own code built a network, or a part of the batch is no whole number of minibatch deviation's groups.
    """
    networks = (trainer.generator, trainer.discriminator, trainer.ema.network)
    if not all(isinstance(network, Growing) for network in networks):
        raise UserError("backbone = 'progressive': own networks do not grow; name another backbone for the other one")
    total, sides = trainer.steps * trainer.batch_size, len(trainer.generator.sides)
    phase, alpha = phase_at(images_seen, total, sides)
    if phase != phase_at(images_seen - trainer.batch_size, total, sides)[0]:
        _check_groups(trainer)
        for optimizer in (trainer.optimizer_g, trainer.optimizer_d):
            for slots in optimizer.state.values():
                for value in slots.values():
                    value.zero_()
        if isinstance(trainer._carry_out, GraphedStep):
            trainer._carry_out.restart()
    for network in networks:
        network.grow((phase + 1) // 2, alpha)


def _check_groups(trainer: Trainer) -> None:
    """Real images and fakes pass through the discriminator side by side: no group may hold some of both."""
    together = trainer.pieces * trainer.processes.count
    deviates = any(isinstance(module, MinibatchDeviation) for module in trainer.discriminator.modules())
    if deviates and trainer.batch_size % (GROUP * together):
        raise UserError(
            f"training.batch_size = {trainer.batch_size}: minibatch_deviation looks at groups of {GROUP}, and "
            f"training.accumulate x processes make {together} parts of a batch; say a multiple of {GROUP * together}"
        )


def blend(trainer: Trainer, real: Tensor, images_seen: int) -> Tensor:
    """Real images [B, C, R, R] at the networks' side S: [B, C, S, S], in a fade blended with their 2x2 means."""
    network = trainer.discriminator
    images = averaged(real, network.side)
    return network.blended(upsampled(averaged(images, network.side // 2)), images) if network.fades else images

"""A run's arithmetic from its first weights to its last: all that its bytes depend on.

`sagan.training.loop` carries it out: it logs, keeps checkpoints and stops, and no byte depends on that.
"""

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from sagan.nn.reparametrised import folded_state
from sagan.params.run import RunConfig
from sagan.training.batches import Noise, RealBatches
from sagan.training.devices import set_numerics
from sagan.training.processes import ALONE, Processes
from sagan.training.step import Trainer

_STANDING_BATCH_SIZE = 128


class Session:
    """A run with `done` steps behind it, on images uint8 [N, C, R, R]; all else is as `Trainer` takes it."""

    def __init__(
        self,
        config: RunConfig,
        images: np.ndarray,
        device: torch.device,
        labels: np.ndarray | None = None,
        processes: Processes = ALONE,
        graphs: bool = True,
        title: str = "training",
        own: ModuleType | None = None,
    ) -> None:
        self.config = config
        training, seed = self.config.training, self.config.seed
        torch.set_num_threads(training.threads)
        set_numerics(training.deterministic, training.precision)
        self.trainer = Trainer(self.config, device, labels, processes, graphs, title, own)
        self.real = RealBatches(images, training.batch_size, seed, training.horizontal_flip, device, labels)
        self.noise = Noise(training.batch_size, self.trainer.generator.z_dim, seed, "z", device)
        self.done = 0
        # The first step whose losses are not finite, kept on the device: looking costs nothing there.
        self.bad_step = torch.full((), -1, device=device)

    def steps(self) -> Iterator[dict[str, Tensor]]:
        """Carry out what is left of the budget; after each step its scalars, which stay on the device."""
        while self.done < self.config.training.steps:
            step = self.done + 1
            scalars = self.trainer.step(step, self.real, self.noise)
            finite = torch.isfinite(scalars["loss_d"] + scalars["loss_g"])
            self.bad_step = torch.where(finite | (self.bad_step >= 0), self.bad_step, step)
            self.done = step
            yield scalars

    @property
    def at_snapshot(self) -> bool:
        """Whether the generator is to be kept as it is now."""
        return self.done in self.config.training.snapshots

    def generator_state(self) -> dict[str, Tensor]:
        """The averaged generator as it is measured, in plain weights."""
        trainer = self.trainer
        purpose = "standing statistics"
        noise = Noise(_STANDING_BATCH_SIZE, trainer.generator.z_dim, self.config.seed, purpose, trainer.device)
        return trainer.ema.measured_state(noise)

    def discriminator_state(self) -> dict[str, Tensor]:
        """The discriminator in plain weights."""
        return folded_state(self.trainer.discriminator)

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, beside `done`."""
        return self.trainer.state()

    def load_state(self, tensors: dict[str, Tensor], done: int) -> None:
        """Go on behind `done` steps with what `state` gave there."""
        self.trainer.load_state(tensors)
        self.done = done

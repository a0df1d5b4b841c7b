"""What a run tells of itself while it is trained: a line a logged step, the time it took, what its networks show."""

import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sagan.nn.attention import gammas
from sagan.nn.spectral import sigmas
from sagan.store.records import finite_or_none
from sagan.training.seeds import derived_seed
from sagan.training.step import Trainer

Seconds = dict[str, float]
# Images of each side whose scores are compared.
_SCORED = 500
_SCORED_AT_ONCE = 100


class RunLog:
    """Appends to `log.jsonl`: one JSON object a logged step, written before the next step begins."""

    def __init__(self, path: Path, size: int) -> None:
        """Go on after the first `size` bytes: what a killed process wrote past its checkpoint is cut off."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.truncate(path, size)
        self._file = path.open("a", encoding="utf-8")

    def add(self, step: int, images: int, seconds: Seconds, scalars: dict[str, Tensor]) -> None:
        """Write the scalars of a step; waits for the device, once for all of them."""
        counters = {"step": step, "images": images, "seconds": round(seconds["wall"], 3)}
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        counters |= {"step_seconds": round(seconds["step"], 3), "load": round(load, 2), "time": round(time.time(), 3)}
        values = torch.stack(list(scalars.values())).tolist()
        entry = counters | dict(zip(scalars, map(finite_or_none, values), strict=True))
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def size(self) -> int:
        """Bytes written, once a failure of power would not take them."""
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        self._file.close()


class StepClock:
    """Seconds of a run's turns, over all of its sessions; what passes between turns is not the run's.

    "wall" is all of its turns. "step" is what its steps alone took: on a CPU the processor's time, which other work on
    the machine and a pause of the process hardly change; on a GPU the wall's, up to where the device was waited for.
    "steady" is that of "steady_steps" steps, all but the first ones of each session: those load libraries and record
    graphs.
    """

    def __init__(self, device: torch.device, seconds: Seconds) -> None:
        self._clock = time.perf_counter if device.type == "cuda" else time.process_time
        self._seconds = {"wall": 0.0, "step": 0.0, "steady": 0.0, "steady_steps": 0} | seconds
        self._began = self._started = None
        self._counted: tuple[int, float] | None = None  # steps and seconds where the device was last waited for

    def begin(self) -> None:
        """A turn begins, with a step."""
        self._began, self._started = time.perf_counter(), self._clock()

    def stop(self) -> None:
        """What comes next in this turn is no step."""
        self._seconds["step"] += self._clock() - self._started

    def waited(self, done: int) -> None:
        """By now the device has done what was asked of it, `done` steps in all; called behind `stop`."""
        if self._counted is not None:
            self._seconds["steady_steps"] += done - self._counted[0]
            self._seconds["steady"] += self._seconds["step"] - self._counted[1]
        self._counted = done, self._seconds["step"]

    def end(self) -> None:
        """The turn is over."""
        self._seconds, self._began = self.read(), None

    def read(self) -> Seconds:
        under_way = 0.0 if self._began is None else time.perf_counter() - self._began
        return self._seconds | {"wall": self._seconds["wall"] + under_way}


def diagnostics(trainer: Trainer) -> dict[str, Tensor]:
    """gamma of each attention layer and sigma of each normalised one: scalars on the device."""
    scalars = {}
    for role, network in (("generator", trainer.generator), ("discriminator", trainer.discriminator)):
        scalars |= {f"gamma.{role}.{side}": gamma for side, gamma in gammas(network).items()}
        scalars |= {f"sigma.{role}.{layer}": sigma for layer, sigma in sigmas(network).items()}
    return scalars


@torch.no_grad()
def mean_score(trainer: Trainer, images: np.ndarray) -> Tensor:
    """The discriminator's mean logit over some of the images, uint8 [N, C, R, R]: a scalar on the device.

    The images are the same at every call. Batch norm uses its running statistics, and classes are not told.
    """
    rows = np.random.default_rng(derived_seed(0, "scored images", 0)).permutation(len(images))[:_SCORED]
    trainer.discriminator.eval()
    scores = []
    for part in np.array_split(np.sort(rows), -(-len(rows) // _SCORED_AT_ONCE)):
        batch = torch.from_numpy(np.array(images[part])).to(trainer.device).float().div_(127.5).sub_(1.0)
        scores.append(trainer.discriminator(batch.contiguous(memory_format=trainer.layout), None).float().flatten())
    trainer.discriminator.train()
    return torch.cat(scores).mean()

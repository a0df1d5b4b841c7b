"""What a step of each variant of a suite costs on an idle machine: writes reports/<suite>/costs.csv.

    python -m benchmarks.costs mnist-cpu [--rounds 6] [--steps 20]

All variants take turns, a round of steps each, on noise of the dataset's shape, so that a drift of the machine touches
them alike. "Per second" is counted with these seconds where the file is there: runs that were trained beside other
work give no costs. Jobs' own memory settings (`workflow/Snakefile`) are set here too.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from sagan.params.loading import load_params
from sagan.plan import Run, make_plan
from sagan.store.paths import Paths
from sagan.training.batches import Noise, RealBatches
from sagan.training.devices import describe, device_for, set_numerics
from sagan.training.step import Trainer

SETTINGS = ":".join(
    f"glibc.malloc.{setting}" for setting in ("hugetlb=1", "mmap_threshold=8589934592", "trim_threshold=8589934592")
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=20, help="of a round")
    arguments = parser.parse_args()
    if os.environ.get("GLIBC_TUNABLES") != SETTINGS:
        again = [sys.executable, "-m", "benchmarks.costs", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "GLIBC_TUNABLES": SETTINGS})
    plan = make_plan(load_params(), Paths(), [arguments.suite])
    runs = list({run.variant: run for run in reversed(plan.runs.values())}.values())  # the first of each variant
    with device_for(runs[0].execution, runs[0].threads) as device:
        table = pd.DataFrame(rounds({run.variant: Loop(run, device) for run in reversed(runs)}, arguments))
    file = Path("reports") / arguments.suite / "costs.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(file, index=False, lineterminator="\n")
    print(table.groupby("variant")["step_seconds"].agg(["median", "min", "max"]))
    print(f"{file}: `python -m sagan report --suite {arguments.suite}` counts with it")


def rounds(loops: dict[str, Loop], arguments: argparse.Namespace) -> list[dict[str, str | float]]:
    """Rows of costs.csv; `seed` is the number of the round, `run` the key of the run whose recipe it is."""
    for loop in loops.values():
        loop.seconds_a_step(4)  # warm-up
    rows = []
    for number in range(arguments.rounds):
        rows += [
            {
                "variant": variant,
                "seed": number,
                "step_seconds": round(loop.seconds_a_step(arguments.steps), 6),
                "device": describe(loop.device),
                "threads": loop.threads,
                "run": loop.run,
            }
            for variant, loop in loops.items()
        ]
        print(f"round {number + 1} of {arguments.rounds}", flush=True)
    return rows


class Loop:
    """One run's networks, ready to step."""

    def __init__(self, run: Run, device: torch.device) -> None:
        config, self.device, self.threads, self.position = run.typed, device, run.threads, 0
        self.run = run.key
        set_numerics(config.training.deterministic, config.training.precision)
        torch.set_num_threads(self.threads)
        image, classes = config.image, config.image.classes
        shape = (2000, image.channels, image.resolution, image.resolution)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        labels = None if classes is None else np.arange(len(images)) % len(classes)
        batch, flip = config.training.batch_size, config.training.horizontal_flip
        self.trainer = Trainer(config, self.device, labels)
        self.real = RealBatches(images, batch, 0, flip, self.device, labels)
        self.noise = Noise(batch, self.trainer.generator.z_dim, 0, "z", self.device)

    def seconds_a_step(self, steps: int) -> float:
        self._wait()
        began = time.perf_counter()
        for _ in range(steps):
            self.position += 1
            self.trainer.step(self.position, self.real, self.noise)
        self._wait()
        return (time.perf_counter() - began) / steps

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


if __name__ == "__main__":
    main()

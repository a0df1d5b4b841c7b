"""What a run costs beyond its bare steps: logging, divergence checks, checkpoints, the snapshots before the last.

    python -m benchmarks.loop --variant sagan --width 16 --batch-size 32 --steps 200

Each round makes a whole run as `python -m sagan train` does, in a temporary folder, and then the same number of
steps of a trainer by themselves; the figure is the median of the rounds' ratios. Logging is every 10 steps and a
checkpoint every 200 unless told otherwise, as in the `quick` suite.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.settings import add_options, configuration, noise_images
from sagan.params.suites import Execution
from sagan.plan import Run
from sagan.store.paths import Paths
from sagan.training.batches import Noise, RealBatches
from sagan.training.devices import describe, device_for
from sagan.training.loop import Data, train
from sagan.training.step import Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", default="sagan", help="of params.yaml")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--log-every", type=int, default=10)
    parser.add_argument("--checkpoint-every", type=int, default=200)
    add_options(parser, batch_size=32)
    arguments = parser.parse_args()
    run, images = made_up_run(arguments)
    with device_for(run.execution, run.threads) as device:
        seconds_of_steps(run, images, device)  # warm-up: allocators, algorithm choice
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        for index in range(arguments.rounds):
            with contextlib.redirect_stderr(io.StringIO()):
                record = train(run, Data(images), Paths(Path(folder) / str(index)))
            with device_for(run.execution, run.threads) as device:
                rounds.append((record.seconds, seconds_of_steps(run, images, device)))
    ratios = [loop / steps for loop, steps in rounds]
    print(f"{describe(device)}, {arguments.threads} threads, {arguments.variant}, {arguments.steps} steps")
    print(f"bare step   {statistics.median(b for _, b in rounds) / arguments.steps * 1e3:.2f} ms (median of rounds)")
    print(f"run's step  {statistics.median(a for a, _ in rounds) / arguments.steps * 1e3:.2f} ms")
    print(f"ratio       {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


def made_up_run(arguments: argparse.Namespace) -> tuple[Run, np.ndarray]:
    """A run on noise, and the noise."""
    execution = Execution(log_every=arguments.log_every, checkpoint_every=arguments.checkpoint_every)
    config, images = configuration(arguments.variant, arguments.steps, arguments), noise_images(arguments)
    key = f"{arguments.variant}-s0-0000000000"
    return Run(key, arguments.variant, 0, "noise", "", "", config.model_dump(), execution.model_dump()), images


def seconds_of_steps(run: Run, images: np.ndarray, device: torch.device) -> float:
    """The run's steps and nothing else."""
    training = run.config["training"]
    trainer = Trainer(run.typed, device)
    real = RealBatches(images, training["batch_size"], 0, training["horizontal_flip"], device)
    noise = Noise(training["batch_size"], trainer.generator.z_dim, 0, "z", device)
    began = time.perf_counter()
    for step in range(1, training["steps"] + 1):
        scalars = trainer.step(step, real, noise)
    float(scalars["loss_g"])  # waits for the device
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

"""The same networks trained by torch-mimicry and by this package, turn about in one process.

    pip install --no-deps --target DIR torch-mimicry==0.1.16
    python -m benchmarks.peers --mimicry DIR --network sngan-32 --batch-size 64 --threads 2

A round is one step of each, theirs and ours, and the figure is the median of the rounds' ratios, so that a drift of
the machine's speed touches both alike. A step is `n_dis` updates of the discriminator and one of the generator with
Adam, hinge loss and spectral norm in the discriminator. Theirs is mimicry's own `train_step`, as its trainer calls
it, fed with images that lie on the device already; ours is the whole of what a run does between two log lines: the
drawing of real images and noise, the step, the average of the generator. Flags of the process, such as deterministic
algorithms and TF32, are ours and hold for both.
"""

import argparse
import json
import statistics
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sagan.params.loading import load_params
from sagan.params.run import RunConfig, resolved_variant
from sagan.params.suites import EmaSettings, Training
from sagan.training.batches import Noise, RealBatches
from sagan.training.devices import describe, set_numerics
from sagan.training.step import Trainer

MIMICRY = "0.1.16"
# Name -> (mimicry's module, the classes' suffix, our variant, resolution). The variant's widths are mimicry's.
NETWORKS = {
    "sngan-32": ("sngan.sngan_32", "32", "sngan-resnet-32", 32),
    "sngan-64": ("sngan.sngan_64", "64", "sngan-resnet", 64),
    "sngan-128": ("sngan.sngan_128", "128", "sngan-resnet", 128),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mimicry", type=Path, required=True, help=f"folder with torch-mimicry {MIMICRY}")
    parser.add_argument("--network", choices=NETWORKS, default="sngan-32")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=1, help="of each in a round")
    parser.add_argument("--n-dis", type=int, default=5)
    parser.add_argument(
        "--precision", default="float32", choices=("float32", "tf32", "bfloat16"), help="bfloat16: ours alone"
    )
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    theirs, their_parameters = mimicry_step(arguments, device)
    ours, our_parameters = our_step(arguments, device)
    for step in (theirs, ours):  # warm-up: allocators, algorithm choice
        milliseconds(step, 6 if device.type == "cuda" else 2, device)
    rounds = [
        (milliseconds(theirs, arguments.steps, device), milliseconds(ours, arguments.steps, device))
        for _ in range(arguments.rounds)
    ]
    ratios = [a / b for a, b in rounds]
    figures = {
        "network": arguments.network,
        "device": describe(device),
        "torch": torch.__version__,
        "threads": arguments.threads,
        "batch_size": arguments.batch_size,
        "n_dis": arguments.n_dis,
        "precision": arguments.precision,
        "parameters_mimicry": their_parameters,
        "parameters_ours": our_parameters,
        "ms_a_step_mimicry": round(statistics.median(a for a, _ in rounds), 2),
        "ms_a_step_ours": round(statistics.median(b for _, b in rounds), 2),
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
    }
    print("\n".join(f"{name:20} {value}" for name, value in figures.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def milliseconds(step: Callable[[], None], count: int, device: torch.device) -> float:
    """Of one step, as the mean of `count`."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(count):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / count * 1e3


def import_mimicry(folder: Path, module: str) -> types.ModuleType:
    """A module of mimicry's networks. What else it imports, and today's torch or this environment lacks, is stubbed."""
    for name in ("torch_mimicry.metrics", "torch_mimicry.datasets", "torch.utils.tensorboard", "skimage"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torch.utils.tensorboard"].SummaryWriter = sys.modules["skimage"].io = object
    sys.path.insert(0, str(folder))
    package = __import__("torch_mimicry")
    if package.__version__ != MIMICRY:
        sys.exit(f"{folder}: torch-mimicry {package.__version__}, and {MIMICRY} is what figures here are of")
    return __import__(f"torch_mimicry.nets.{module}", fromlist=["_"])


def mimicry_step(arguments: argparse.Namespace, device: torch.device) -> tuple[Callable[[], None], int]:
    """One step of mimicry's, as its trainer makes it, and the number of its parameters."""
    module, suffix, _, resolution = NETWORKS[arguments.network]
    nets = import_mimicry(arguments.mimicry, module)
    from torch_mimicry.training.metric_log import MetricLog

    generator = getattr(nets, f"SNGANGenerator{suffix}")().to(device)
    discriminator = getattr(nets, f"SNGANDiscriminator{suffix}")().to(device)
    optimizer_g = torch.optim.Adam(generator.parameters(), 2e-4, (0.0, 0.9))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), 2e-4, (0.0, 0.9))
    real = torch.rand(arguments.batch_size, 3, resolution, resolution, device=device) * 2 - 1
    batch = (real, torch.zeros(arguments.batch_size, dtype=torch.long, device=device))

    def step() -> None:
        log = MetricLog()
        shared: dict[str, Any] = {"real_batch": batch, "log_data": log, "device": device}
        for index in range(arguments.n_dis):
            discriminator.train_step(netG=generator, optD=optimizer_d, **shared)
            if index == arguments.n_dis - 1:
                generator.train_step(netD=discriminator, optG=optimizer_g, **shared)

    return step, parameter_count(generator, discriminator)


def our_step(arguments: argparse.Namespace, device: torch.device) -> tuple[Callable[[], None], int]:
    """One step of ours on the same networks, and the number of its parameters."""
    _, _, name, resolution = NETWORKS[arguments.network]
    variant = resolved_variant(load_params().variants[name], resolution).model_dump()
    batch_size, ema = arguments.batch_size, EmaSettings(decay=0.999)
    training = Training(steps=10**6, batch_size=batch_size, ema=ema, snapshots=1, precision=arguments.precision)
    set_numerics(training.deterministic, training.precision)
    config = RunConfig(
        variant={**variant, "n_dis": arguments.n_dis},
        training={**training.model_dump(), "snapshots": training.snapshot_steps()},
        seed=0,
        image={"channels": 3, "resolution": resolution},
    )
    trainer = Trainer(config, device)
    shape = (2000, 3, resolution, resolution)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    real = RealBatches(images, arguments.batch_size, 0, False, device)
    noise = Noise(arguments.batch_size, trainer.generator.z_dim, 0, "z", device)
    position = 0

    def step() -> None:
        nonlocal position
        position += 1
        trainer.step(position, real, noise)

    return step, parameter_count(trainer.generator, trainer.discriminator)


def parameter_count(*networks: torch.nn.Module) -> int:
    return sum(parameter.numel() for network in networks for parameter in network.parameters())


if __name__ == "__main__":
    main()

"""What the benchmarks of training share: their options, and configurations on noise."""

import argparse

import numpy as np

from sagan.params.inheritance import merge
from sagan.params.loading import load_params
from sagan.params.run import RunConfig, resolved_variant
from sagan.params.suites import EmaSettings, Training

NUMERICS = ("threads", "precision", "memory_format", "deterministic", "compile")


def add_options(parser: argparse.ArgumentParser, batch_size: int) -> None:
    """The options that `configuration` reads."""
    parser.add_argument("--resolution", type=int, default=28, choices=(28, 32, 64, 128))
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--width", type=int, help="of both networks; default: the variant's own")
    parser.add_argument("--batch-size", type=int, default=batch_size)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="float32", choices=("float32", "tf32", "bfloat16"))
    parser.add_argument("--memory-format", default="channels_last", choices=("channels_last", "contiguous"))
    parser.add_argument("--deterministic", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--compile", action="store_true", help="both networks")


def configuration(variant: str, steps: int, options: argparse.Namespace) -> RunConfig:
    """A run's complete configuration for a variant of params.yaml."""
    resolved = resolved_variant(load_params().variants[variant], options.resolution).model_dump()
    if options.width:
        network = {"width": options.width}
        resolved = merge(resolved, {"generator": network, "discriminator": network})
    numerics = {name: getattr(options, name) for name in NUMERICS}
    training = Training(
        steps=steps, batch_size=options.batch_size, ema=EmaSettings(decay=0.99), snapshots=4, **numerics
    )
    classes = [str(digit) for digit in range(10)] if resolved["condition"] else None
    return RunConfig(
        variant=resolved,
        training={**training.model_dump(), "snapshots": training.snapshot_steps()},
        seed=0,
        image={"channels": options.channels, "resolution": options.resolution, "classes": classes},
    )


def noise_labels(config: RunConfig) -> np.ndarray | None:
    """Classes of `noise_images` in turn, int64 [2000], where the variant is told of them."""
    classes = config.image.classes
    return None if classes is None else np.arange(2000) % len(classes)


def noise_images(options: argparse.Namespace) -> np.ndarray:
    """2,000 images of noise, uint8 [N, C, R, R]."""
    shape = (2000, options.channels, options.resolution, options.resolution)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

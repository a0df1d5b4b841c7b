"""The first 20 losses of a few variants, as they were written down: no change of the code's form may move them.

    PYTHONPATH=. python tests/training/test_losses.py      writes them anew, after a change that is meant to move them

Processors and libraries sum in other orders, hence the tolerance; on one machine the figures agree to every digit.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sagan.params.inheritance import merge
from sagan.params.loading import load_params
from sagan.params.run import RunConfig, resolved_variant
from tests.training.conftest import trainer_of

FILE = Path(__file__).parent / "losses.json"
VARIANTS = ("dcgan", "sngan-resnet-32", "sagan", "sagan-resnet", "wgan-gp", "biggan-small", "sagan-conditional")
STEPS = 20
TOLERANCE = 2e-4


def first_losses(name: str) -> list[list[float]]:
    """[loss_d, loss_g] of each step, at a tenth of the variant's rate: rounding grows more slowly then."""
    torch.set_num_threads(1)
    network = {"width": 8}
    variant = resolved_variant(load_params().variants[name], 32).model_dump()
    optimizer = {"lr_g": variant["optimizer"]["lr_g"] / 10}
    labels = np.arange(40) % 4 if variant["condition"] else None
    config = {
        "variant": merge(variant, {"generator": network, "discriminator": network, "optimizer": optimizer}),
        "training": {"steps": STEPS, "batch_size": 8, "ema": {"decay": 0.9}, "snapshots": [0, STEPS]},
        "seed": 0,
        "image": {"channels": 3, "resolution": 32, "classes": None if labels is None else list("abcd")},
    }
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)
    trainer, real, noise = trainer_of(RunConfig.model_validate(config), images, labels, flip=True)
    found = (trainer.step(step, real, noise) for step in range(1, STEPS + 1))
    return [[round(float(scalars[loss]), 6) for loss in ("loss_d", "loss_g")] for scalars in found]


@pytest.mark.parametrize("name", VARIANTS)
def test_the_first_losses_are_those_written_down(name):
    np.testing.assert_allclose(first_losses(name), json.loads(FILE.read_text())[name], rtol=TOLERANCE, atol=TOLERANCE)


if __name__ == "__main__":
    FILE.write_text(json.dumps({name: first_losses(name) for name in VARIANTS}) + "\n")

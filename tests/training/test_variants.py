"""Every variant of params.yaml trains: a few steps at tiny widths on noise, through the real trainer."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sagan.loading import load_params
from sagan.params.suites import Ema, Training
from sagan.shapes import BASE_SIDE, feature_sides, resolve_side
from sagan.training.batches import Noise, RealBatches
from sagan.training.step import Trainer

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
NAMES = [name for name in PARAMS.variants if not name.startswith("sagan-grid-")]
STEPS, BATCH, WIDTH = 20, 4, 4
CPU = torch.device("cpu")
TRAINING = Training(steps=STEPS, batch_size=BATCH, ema=Ema(decay=0.9, start=2), snapshots=1)


def tiny(variant) -> dict:
    """A run's configuration at the smallest resolution that the variant can do and that has its attention."""
    resolution = next(side for side in BASE_SIDE[variant.backbone] if fits(variant, side))
    resolved = variant.model_dump(exclude={"description"})
    for role in ("generator", "discriminator"):
        resolved[role]["width"] = WIDTH
        resolved[role]["attention_at"] = [resolve_side(place, resolution) for place in resolved[role]["attention_at"]]
    return {
        "variant": resolved,
        "training": TRAINING.model_dump(),
        "seed": 0,
        "image": {"channels": 1, "resolution": resolution}
        | ({"classes": ["a", "b", "c"]} if variant.condition else {}),
    }


def fits(variant, resolution: int) -> bool:
    def placed(role):
        sides = [resolve_side(place, resolution) for place in getattr(variant, role).attention_at]
        return all(s in feature_sides(variant.backbone, role, resolution) and s % 2 == 0 for s in sides)

    smallest = resolution // 2 ** (variant.discriminator.scales - 1)
    return placed("generator") and placed("discriminator") and smallest in BASE_SIDE[variant.backbone]


@pytest.mark.parametrize("name", NAMES)
def test_it_trains(name):
    torch.set_num_threads(1)
    config = tiny(PARAMS.variants[name])
    side = config["image"]["resolution"]
    images = np.random.default_rng(0).integers(0, 256, (12, 1, side, side), dtype=np.uint8)
    labels = np.arange(12) % 3 if PARAMS.variants[name].condition else None
    trainer = Trainer(config, CPU, labels)
    real = RealBatches(images, BATCH, 0, False, CPU, labels)
    noise = Noise(BATCH, config["variant"]["generator"]["z_dim"], 0, "z", CPU)
    before = {name: value.clone() for name, value in trainer.state().items()}
    for step in range(1, STEPS + 1):
        scalars = trainer.step(step, real, noise)
    assert all(torch.isfinite(value) for value in (scalars | trainer.diagnostics()).values())
    assert trainer.weights_finite()
    weights = [
        f"{role}.{n}" for role in ("generator", "discriminator") for n, _ in getattr(trainer, role).named_parameters()
    ]
    after = trainer.state()
    # While every margin of the hinge loss is active, the last bias has no gradient.
    still = [n for n in weights if torch.equal(before[n], after[n]) and not n.endswith("head.linear.bias")]
    assert not still
    assert torch.isfinite(trainer.ema.network.eval()(noise[0])).all()

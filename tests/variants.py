"""Every variant of params.yaml, as a run that is short, narrow and of small images."""

import torch

from sagan.code.fingerprint import PACKAGE
from sagan.params.loading import load_params
from sagan.params.run import Image, RunConfig, RunTraining, resolved_variant
from sagan.shapes import BASE_SIDE
from sagan.training.engine import Session

CPU = torch.device("cpu")
PARAMS = load_params(PACKAGE.parent / "params.yaml")
# As they are written: a grid's combinations use no other code.
VARIANTS = {n: v for n, v in PARAMS.variants.items() if not any(n in cells for cells in PARAMS.grids.values())}


def config_of(
    name: str, steps: int = 2, seed: int = 0, side: int | None = None, width: int = 8, **variant: object
) -> RunConfig:
    """Of the smallest images that the variant can make, where no side is said."""
    found = PARAMS.variants[name]
    sides = [side for side in BASE_SIDE[found.backbone] if found.discriminator.scales == 1 or side == 64]
    side = side or min(sides)
    recipe = resolved_variant(found, side).model_dump()
    for role in ("generator", "discriminator"):
        recipe[role] |= {"width": width}
    classes = None if found.condition is None else ["a", "b", "c"]
    return RunConfig.model_validate(
        {
            "variant": recipe | variant,
            "training": RunTraining(
                steps=steps, batch_size=4, ema={"decay": 0.9, "start": 1}, snapshots=[0, steps], horizontal_flip=True
            ),
            "seed": seed,
            "image": Image(channels=1, resolution=side, classes=classes),
        }
    )


def pictures(config: RunConfig):
    """Ten images of noise, and their labels where there are classes."""
    side = config.image.resolution
    images = torch.randint(0, 256, (10, 1, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return images.numpy(), (torch.arange(10) % 3).numpy() if config.image.classes else None


def session(config: RunConfig) -> Session:
    images, labels = pictures(config)
    return Session(config, images, CPU, labels)


def weights(config: RunConfig) -> dict[str, torch.Tensor]:
    """What a run ends with."""
    under_way = session(config)
    for _ in under_way.steps():
        pass
    return under_way.generator_state() | {f"d.{k}": v for k, v in under_way.discriminator_state().items()}

"""Configurations for tests of networks."""

import pytest
import torch

from sagan.params.run import completed

torch.set_num_threads(1)


def network_config(
    backbone: str = "dcgan", resolution: int = 28, channels: int = 1, classes: int = 0, init: str = "xavier", **switches
) -> dict:
    """What `build_generator` and `build_discriminator` need; `switches` go to both networks."""
    both = {"width": 8, "spectral_norm": True, "attention_at": [], **switches}
    image = {"channels": channels, "resolution": resolution}
    if classes:
        image["classes"] = [str(index) for index in range(classes)]
    sparse = {
        "variant": {
            "backbone": backbone,
            "generator": {"z_dim": 16, "norm": "batch", **both},
            "discriminator": {"norm": "none", **both},
            "init": init,
        },
        "image": image,
    }
    return completed(sparse)


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def config():
    return network_config

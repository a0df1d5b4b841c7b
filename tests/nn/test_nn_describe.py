"""`describe`: totals are the networks' own, multiply-adds are those that torch counts."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sagan.nn import BACKBONES, build_discriminator, build_generator
from sagan.nn.describe import describe

CASES = [(backbone, {}) for backbone in BACKBONES] + [("dcgan", {"attention": "residual", "attention_at": [16]})]


@pytest.mark.parametrize(("backbone", "switches"), CASES)
@pytest.mark.parametrize("classes", [0, 3])
def test_parameters_and_multiply_adds_add_up(config, backbone, switches, classes):
    settings = config(backbone, resolution=64, width=8, classes=classes, **switches)
    described = describe(settings)
    inputs = {"generator": torch.zeros(1, 16), "discriminator": torch.zeros(1, 1, 64, 64)}
    labels = torch.zeros(1, dtype=torch.long) if classes else None
    for role, build in (("generator", build_generator), ("discriminator", build_discriminator)):
        network = build(settings).eval()
        parameters, layers = described[role]
        assert parameters == sum(layer.parameters for layer in layers) == sum(p.numel() for p in network.parameters())
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(inputs[role], labels)
        # torch counts two operations for each multiply-add.
        assert 2 * sum(layer.multiply_adds for layer in layers) == counter.get_total_flops()


def test_attention_counts_its_two_products(config):
    """N queries, M pooled keys: N*M*C/8 for the energies and N*M*C/2 for the values, with C = 32 at side 16."""
    layers = describe(config(resolution=32, width=32, attention_at=[16]))["generator"][1]
    (attention,) = [layer for layer in layers if layer.kind == "attention (official)"]
    assert attention.multiply_adds == 256 * 64 * 4 + 256 * 64 * 16
    assert (attention.shape, attention.parameters, attention.spectral_norm) == ((32, 16, 16), 1, False)


def test_where_spectral_norm_sits(config):
    settings = config()
    settings["variant"]["generator"]["spectral_norm"] = False
    described = describe(settings)
    assert not any(layer.spectral_norm for layer in described["generator"][1])
    assert all(layer.spectral_norm for layer in described["discriminator"][1])

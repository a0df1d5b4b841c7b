"""DCGAN's shapes, and its parameters counted by hand."""

import itertools

import pytest

from sagan.nn import build_discriminator, build_generator
from tests.nn.conftest import count

# (first side, channels at each side from it on) for width 64, after Radford et al. 2015, figure 1
CHANNELS = {
    28: (7, [128, 64]),
    32: (4, [256, 128, 64]),
    64: (4, [512, 256, 128, 64]),
    128: (4, [512, 512, 256, 128, 64]),
}


@pytest.mark.parametrize("resolution", CHANNELS)
def test_parameter_counts_are_those_worked_out_by_hand(config, resolution):
    side, channels = CHANNELS[resolution]
    pairs = list(itertools.pairwise(channels))
    settings = config(resolution=resolution, channels=3, width=64, spectral_norm=False)
    # A linear layer, 4x4 transposed convolutions without bias, two batch norm vectors each; the last has a bias.
    generator = 16 * channels[0] * side**2 + 2 * sum(channels) + sum(16 * a * b for a, b in pairs) + 16 * 64 * 3 + 3
    # 4x4 convolutions with bias, and a linear layer to one logit.
    discriminator = 16 * 3 * 64 + 64 + sum(16 * a * b + a for a, b in pairs) + channels[0] * side**2 + 1
    assert count(build_generator(settings)) == generator
    assert count(build_discriminator(settings)) == discriminator


def test_the_published_network_has_its_published_size(config):
    settings = config(resolution=64, channels=3, width=64, spectral_norm=False)
    settings["variant"]["generator"]["z_dim"] = 100
    # PyTorch's DCGAN example counts 3,576,704 without a bias in the last layer.
    assert count(build_generator(settings)) == 3_576_704 + 3


def test_batch_norm_spares_the_discriminators_first_layer(config):
    settings = config(spectral_norm=False)
    settings["variant"]["discriminator"]["norm"] = "batch"
    names = [name for name, _ in build_discriminator(settings).stages.named_children()]
    assert "norm14" not in names and "norm7" in names

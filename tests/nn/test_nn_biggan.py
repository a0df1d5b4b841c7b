"""BigGAN and BigGAN-deep: published sizes, and what makes their generators different."""

import pytest
import torch

from sagan.nn import BACKBONES, build_discriminator, build_generator
from sagan.nn.parts import make_parts
from sagan.nn.spectral import normalised_layers, sigmas
from sagan.params.run import completed
from tests.nn.conftest import count


def published(backbone, z_dim, width):
    """The ImageNet networks of 128 pixels, without memory behind them."""
    sparse = {
        "variant": {
            "generator": {"norm": "batch", "attention_at": [64]},
            "discriminator": {"norm": "none", "attention_at": [64]},
        },
        "image": {"classes": range(1000)},
    }
    config = completed(sparse)
    make = BACKBONES[backbone]
    with torch.device("meta"):
        generator = make.generator(backbone, 128, 3, z_dim, width, make_parts("generator", config))
        return generator, make.discriminator(backbone, 128, 3, width, make_parts("discriminator", config))


def test_biggan_has_its_published_size():
    """158.3 million parameters in all (Brock et al. 2019, table 1); the figures are those of Google's compare_gan."""
    generator, discriminator = published("biggan", 120, 96)
    assert (count(generator), count(discriminator)) == (70_433_988, 87_982_370)
    assert (count(generator) + count(discriminator)) / 1e6 == pytest.approx(158.3, abs=0.2)


def test_each_chunk_of_z_reaches_its_own_block_only(config):
    """Changing the last chunk leaves what earlier blocks give."""
    network = build_generator(config("biggan", resolution=32, width=4)).eval()
    assert network.chunks == [4, 4, 4, 4]
    seen = []
    for stage in network.stages:
        stage["up"].register_forward_hook(lambda _, __, out: seen.append(out))
    z = torch.randn(1, 16)
    changed = torch.cat([z[:, :12], z[:, 12:] + 1], 1)
    network(z)
    network(changed)
    assert torch.equal(seen[0], seen[3]) and torch.equal(seen[1], seen[4])
    assert not torch.equal(seen[2], seen[5])


def test_what_is_left_of_z_goes_to_the_linear_layer(config):
    settings = config("biggan", resolution=64, width=4)
    settings["variant"]["generator"]["z_dim"] = 18
    assert build_generator(settings).chunks == [6, 3, 3, 3, 3]


def test_the_class_embedding_is_shared_and_not_normalised(config):
    network = build_generator(config("biggan", resolution=32, width=4, classes=3))
    assert "embedding" not in sigmas(network)
    assert network.embedding.weight.shape == (3, 128)


def test_orthogonal_initialisation(config):
    network = build_discriminator(config("biggan", resolution=32, width=8, init="orthogonal"))
    for name, _, weight in normalised_layers(network):
        matrix = weight.detach().flatten(1)
        small = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.t()
        torch.testing.assert_close(small @ small.t(), torch.eye(len(small)), atol=1e-5, rtol=0, msg=name)


INITIALISATIONS = {
    "normal": lambda fan_in, fan_out: 0.02,
    "xavier": lambda fan_in, fan_out: (2 / (fan_in + fan_out)) ** 0.5,
}


@pytest.mark.parametrize("scheme", [*INITIALISATIONS, "xavier-residual"])
def test_initialisations_have_their_spread(config, scheme):
    network = build_discriminator(config("sngan-resnet", resolution=28, width=32, init=scheme, spectral_norm=False))
    for name, gain in (("conv1", 2**0.5), ("shortcut", 1.0)):
        weight = getattr(network.stages.block1_7, name).weight
        fans = weight.shape[1] * weight[0, 0].numel(), weight.shape[0] * weight[0, 0].numel()
        expected = INITIALISATIONS.get(scheme, INITIALISATIONS["xavier"])(*fans)
        if scheme == "xavier-residual":
            expected *= gain
        assert weight.std().item() == pytest.approx(expected, rel=0.1)
        assert scheme == "normal" or weight.abs().max() <= expected * 3**0.5 + 1e-6
        assert getattr(network.stages.block1_7, name).bias.abs().max() == 0

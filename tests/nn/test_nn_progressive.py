"""Progressive growing's networks and ingredients, each against its formula written out in numpy."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from sagan.metrics.attention import attention_statistics
from sagan.nn import build_discriminator, build_generator
from sagan.nn.progressive import MinibatchDeviation, PixelNorm
from sagan.nn.reparametrised import Scaled, folded_state, plain

ALPHAS = [0.0, 0.5, 1.0]


@pytest.fixture
def networks(config):
    """Both networks of 32 pixels: 4, 8, 16, 32."""

    def made(**switches):
        settings = config(
            "progressive", resolution=32, init="he", **{"spectral_norm": False, "norm": "none", **switches}
        )
        return build_generator(settings), build_discriminator(settings)

    return made


def twice(images):
    return images.repeat_interleave(2, 2).repeat_interleave(2, 3)


def halved(images):
    return sum(images[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4


def test_pixel_norm_is_its_formula():
    x = torch.randn(2, 5, 3, 3)
    a = x.numpy()
    expected = a / np.sqrt((a**2).mean(axis=1, keepdims=True) + 1e-8)
    np.testing.assert_allclose(PixelNorm()(x), expected, rtol=1e-5)
    assert torch.equal(PixelNorm()(torch.zeros(1, 3)), torch.zeros(1, 3))


@pytest.mark.parametrize(("batch", "size"), [(8, 4), (6, 2), (3, 1)])
def test_minibatch_deviation_is_its_formula(batch, size):
    x = torch.randn(batch, 5, 4, 4)
    found = MinibatchDeviation()(x).numpy()
    assert found.shape == (batch, 6, 4, 4)
    np.testing.assert_array_equal(found[:, :5], x)
    for start in range(0, batch, size):
        group = x[start : start + size].numpy()
        expected = np.sqrt(group.var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(found[start : start + size, 5], expected, rtol=1e-5)


def test_pixel_norm_follows_every_activation_and_meets_z(networks):
    generator, discriminator = networks(pixel_norm=True, minibatch_deviation=True)
    layers = [type(layer) for block in generator.blocks.values() for layer in block]
    assert layers[:2] == [PixelNorm, nn.Linear] and layers.count(PixelNorm) == 1 + layers.count(nn.LeakyReLU) == 9
    assert all(layers[i + 1] is PixelNorm for i, layer in enumerate(layers) if layer is nn.LeakyReLU)
    assert [type(layer) for layer in discriminator.blocks["4"]].count(MinibatchDeviation) == 1
    assert not any(isinstance(layer, PixelNorm | MinibatchDeviation) for layer in nn.ModuleList(networks()).modules())


def test_equalised_rate_scales_unit_weights_and_their_gradients(networks):
    for network in networks(width=32, equalised_rate=True):
        seen = 0
        for name, layer in network.named_modules():
            if not isinstance(layer, nn.Linear | nn.Conv2d):
                continue
            raw, effective = layer.parametrizations.weight.original, layer.weight
            gain = 1.0 if name.startswith(("to_image", "head")) else math.sqrt(2)
            gain = math.sqrt(2) / 4 if name == "blocks.4.linear" and hasattr(network, "z_dim") else gain
            inputs = getattr(layer, "in_features", None) or layer.in_channels * math.prod(layer.kernel_size)
            scale = gain / math.sqrt(inputs)
            torch.testing.assert_close(effective, scale * raw)
            if raw.numel() > 5000:
                assert (raw.std().item(), raw.mean().item()) == (pytest.approx(1, rel=0.05), pytest.approx(0, abs=0.05))
                seen += 1
            # d/draw of any function of the effective weight is scale times d/deffective.
            effective.retain_grad()
            effective.pow(2).sum().backward()
            torch.testing.assert_close(raw.grad, scale * 2 * effective.detach())
            assert not any(layer.bias.tolist())
        assert seen > 5


def test_of_transposed_convolutions_an_output_meets_a_quarter_of_the_taps(config):
    """Any backbone may have it: 4x4 taps at stride 2 are 2x2 for each output."""
    layer = build_generator(config(resolution=32, equalised_rate=True, spectral_norm=False)).stages.up8
    assert isinstance(layer.parametrizations.weight[0], Scaled)
    assert layer.parametrizations.weight[0].scale == pytest.approx(math.sqrt(2 / (4 * layer.in_channels)))


def test_equalised_weights_are_saved_as_plain_ones(config):
    settings = config("progressive", resolution=32, init="he", spectral_norm=False, equalised_rate=True)
    network, z = build_generator(settings).eval(), torch.randn(2, 16)
    loaded = build_generator(plain(settings, "generator")).eval()
    loaded.load_state_dict(folded_state(network))
    torch.testing.assert_close(loaded(z), network(z))
    # What the layers compute with is what the scheme alone gives.
    torch.manual_seed(3)
    equalised = build_generator(settings)
    torch.manual_seed(3)
    alone = build_generator(plain(settings, "generator"))
    torch.testing.assert_close(folded_state(equalised)["blocks.8.conv1.weight"], alone.blocks["8"].conv1.weight.data)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_generators_fade_is_its_formula(networks, alpha):
    generator, z = networks()[0], 20 * torch.randn(2, 16)
    generator.grow(2, alpha)
    h8 = generator.blocks["8"](generator.blocks["4"](z))
    old, new = generator.to_image["8"](h8), generator.to_image["16"](generator.blocks["16"](h8))
    assert old.shape == (2, 1, 8, 8) and new.shape == (2, 1, 16, 16)
    expected = (1 - alpha) * twice(old) + alpha * new
    torch.testing.assert_close(generator(z), expected)
    assert expected.abs().max() > 1
    torch.testing.assert_close(generator.eval()(z), twice(expected).clamp(-1, 1))
    # The phase is in the weights.
    loaded = networks()[0].eval()
    loaded.load_state_dict(generator.state_dict())
    assert torch.equal(loaded(z), generator(z))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_discriminators_fade_is_its_formula(networks, alpha):
    discriminator, images = networks()[1], torch.randn(2, 1, 16, 16)
    discriminator.grow(2, alpha)
    new = discriminator.blocks["16"](discriminator.from_image["16"](images))
    old = discriminator.from_image["8"](halved(images))
    assert old.shape == new.shape == (2, 32, 8, 8)
    h = discriminator.blocks["4"](discriminator.blocks["8"]((1 - alpha) * old + alpha * new))
    torch.testing.assert_close(discriminator(images), discriminator.head(h, None))
    torch.testing.assert_close(discriminator(twice(images)), discriminator(images))


def test_a_block_is_its_convolutions(networks):
    """Up: nearest neighbours, 3x3, 3x3; down: 3x3, 3x3, means."""

    def conv(x, layer):
        return nn.functional.leaky_relu(nn.functional.conv2d(x, layer.weight, layer.bias, padding=1), 0.2)

    generator, discriminator = networks()
    up, x = generator.blocks["16"], torch.randn(2, 32, 8, 8)
    torch.testing.assert_close(up(x), conv(conv(twice(x), up.conv1), up.conv2), atol=1e-5, rtol=1e-4)
    down, x = discriminator.blocks["16"], torch.randn(2, 16, 16, 16)
    torch.testing.assert_close(down(x), halved(conv(conv(x, down.conv1), down.conv2)), atol=1e-5, rtol=1e-4)


def test_attention_joins_with_its_side_and_is_found_before(networks):
    generator, discriminator = networks(attention_at=[16])
    for network in (generator, discriminator):
        nn.init.ones_(network.blocks["16"].attention16.gamma)
        inputs = torch.randn(4, 16) if network is generator else torch.randn(4, 1, 32, 32)
        for level, joins in ((1, False), (2, True), (3, True)):
            network.grow(level, 1.0)
            network.zero_grad()
            network(inputs).sum().backward()
            assert (network.blocks["16"].attention16.query.weight.grad is not None) == joins
    # A snapshot of an early phase is measured like others.
    generator.eval().grow(1, 0.5)
    assert set(attention_statistics(generator, torch.randn(4, 16))) == {16}

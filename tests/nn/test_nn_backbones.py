"""The backbones held to their papers' tables: parameters counted by hand, and passes written out with functions."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from sagan.nn import BACKBONES, build_discriminator, build_generator
from sagan.nn.attention import SelfAttention, attention_layers
from sagan.nn.spectral import sigmas
from sagan.shapes import BASE_SIDE, feature_sides
from tests.nn.conftest import count

Z = 16


def conv(size, before, after):
    return size * size * before * after + after


def up_block(before, after):
    """Two batch norms, 3x3, 3x3, and a 1x1 shortcut."""
    return 2 * before + 2 * after + conv(3, before, after) + conv(3, after, after) + conv(1, before, after)


def down_block(before, after, hidden, shortcut=True):
    return conv(3, before, hidden) + conv(3, hidden, after) + (conv(1, before, after) if shortcut else 0)


# (first side, channels at each side from it on) for width 64, after Radford et al. 2015, figure 1
DCGAN = {
    28: (7, [128, 64]),
    32: (4, [256, 128, 64]),
    64: (4, [512, 256, 128, 64]),
    128: (4, [512, 512, 256, 128, 64]),
}


@pytest.mark.parametrize("resolution", DCGAN)
def test_dcgans_parameter_counts_are_those_worked_out_by_hand(config, resolution):
    side, channels = DCGAN[resolution]
    pairs = list(itertools.pairwise(channels))
    settings = config(resolution=resolution, channels=3, width=64, spectral_norm=False)
    # A linear layer, 4x4 transposed convolutions without bias, two batch norm vectors each; the last has a bias.
    generator = Z * channels[0] * side**2 + 2 * sum(channels) + sum(16 * a * b for a, b in pairs) + 16 * 64 * 3 + 3
    # 4x4 convolutions with bias, and a linear layer to one logit.
    discriminator = conv(4, 3, 64) + sum(conv(4, b, a) for a, b in pairs) + channels[0] * side**2 + 1
    assert count(build_generator(settings)) == generator
    assert count(build_discriminator(settings)) == discriminator


def test_dcgan_has_its_published_size(config):
    settings = config(resolution=64, channels=3, width=64, spectral_norm=False)
    settings["variant"]["generator"]["z_dim"] = 100
    # PyTorch's DCGAN example counts 3,576,704 without a bias in the last layer.
    assert count(build_generator(settings)) == 3_576_704 + 3


def test_batch_norm_spares_dcgans_first_layer_of_the_discriminator(config):
    settings = config(spectral_norm=False)
    settings["variant"]["discriminator"]["norm"] = "batch"
    names = [name for name, _ in build_discriminator(settings).stages.named_children()]
    assert "norm14" not in names and "norm7" in names


def test_the_standard_cnn_is_table_3(config):
    settings = config("sngan", resolution=32, channels=3, width=64, spectral_norm=False)
    ups = 16 * (512 * 256 + 256 * 128 + 128 * 64)  # 4x4, stride 2, batch norm instead of biases
    norms = 2 * (512 + 256 + 128 + 64)
    assert count(build_generator(settings)) == Z * 4 * 4 * 512 + ups + norms + conv(3, 64, 3)
    table = [(3, 3, 64), (4, 64, 64), (3, 64, 128), (4, 128, 128), (3, 128, 256), (4, 256, 256), (3, 256, 512)]
    assert count(build_discriminator(settings)) == sum(conv(*row) for row in table) + 4 * 4 * 512 + 1


@pytest.mark.parametrize("backbone", ["sngan-resnet", "sagan-resnet"])
def test_residual_networks_of_32_pixels_are_table_4(config, backbone):
    generator = config(backbone, resolution=32, channels=3, width=24, spectral_norm=False)
    expected = Z * 16 * 24 + 16 * 24 + 3 * up_block(24, 24) + 2 * 24 + conv(3, 24, 3)
    assert count(build_generator(generator)) == expected
    # Down, down, and two blocks whose shortcut is the identity.
    expected = down_block(3, 24, 24) + down_block(24, 24, 24) + 2 * down_block(24, 24, 24, shortcut=False) + 24 + 1
    assert count(build_discriminator(generator)) == expected


def test_residual_networks_of_128_pixels_are_table_6(config):
    settings = config("sngan-resnet", resolution=128, channels=3, width=2, spectral_norm=False)
    ups = [(32, 32), (32, 16), (16, 8), (8, 4), (4, 2)]
    expected = Z * 16 * 32 + 16 * 32 + sum(up_block(*pair) for pair in ups) + 2 * 2 + conv(3, 2, 3)
    assert count(build_generator(settings)) == expected
    downs = [(2, 4), (4, 8), (8, 16), (16, 32)]
    last = down_block(32, 32, 32, shortcut=False)
    narrow = down_block(3, 2, 2) + sum(down_block(a, b, hidden=a) for a, b in downs) + last + 32 + 1
    wide = down_block(3, 2, 2) + sum(down_block(a, b, hidden=b) for a, b in downs) + last + 32 + 1
    assert count(build_discriminator(settings)) == narrow
    settings["variant"]["backbone"] = "sagan-resnet"
    assert count(build_discriminator(settings)) == wide


def test_the_64_pixel_discriminator_ends_at_2x2(config):
    """The network behind the published CelebA FID of 5.71: 64, 128, 256, 512 and 1024 channels, all halving."""
    settings = config("sngan-resnet", resolution=64, channels=3, width=2, spectral_norm=False)
    blocks = [(3, 2, 2), (2, 4, 2), (4, 8, 4), (8, 16, 8), (16, 32, 16)]
    assert count(build_discriminator(settings)) == sum(down_block(a, b, h) for a, b, h in blocks) + 32 + 1
    assert feature_sides("sngan-resnet", "discriminator", 64) == [2, 4, 8, 16, 32]


def test_the_face_network_is_the_reference_to_the_letter(config):
    settings = config("faces", resolution=64, channels=3, width=64, attention_at=[16], spectral_norm=False)
    settings["variant"]["generator"]["z_dim"] = 128
    generator, discriminator = build_generator(settings), build_discriminator(settings)
    attention = 2 * 128 * 16 + 2 * 128 * 64 + 1
    dense, ups = 128 * 8 * 8 * 256, 16 * (256 * 128 + 128 * 64) + 16 * 64 * 3 + 3
    assert count(generator) == dense + ups + 2 * (256 + 128 + 64) + attention
    convs = conv(4, 3, 64) + conv(4, 64, 128) + conv(4, 128, 256)
    assert count(discriminator) == convs + 8 * 8 * 256 + 1 + attention
    shapes = {}
    for network in (generator, discriminator):
        for name, layer in network.stages.named_children():
            layer.register_forward_hook(lambda _, __, out, name=name: shapes.update({name: tuple(out.shape[1:])}))
    discriminator(generator(torch.randn(2, 128)))
    sides = [(256, 8, 8), (128, 16, 16), (64, 32, 32)]
    assert [shapes[name] for name in ("norm8", "up16", "up32")] == sides and shapes["image"] == (3, 64, 64)
    assert [shapes[name] for name in ("down8", "down16", "down32")] == sides and shapes["flatten"] == (256 * 8 * 8,)
    assert discriminator.stages.relu32.negative_slope == 0.2


def batch_norm(x, state, name):
    return F.batch_norm(x, None, None, state[f"{name}.weight"], state[f"{name}.bias"], training=True)


def conv2d(x, state, name, padding):
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding)


def test_a_residual_generator_written_out(config):
    network = build_generator(config("sngan-resnet", resolution=28, spectral_norm=False))
    state = network.state_dict()
    z = torch.randn(3, Z)
    h = F.linear(z, state["stem.weight"], state["stem.bias"]).reshape(3, 8, 7, 7)
    for side in (14, 28):
        block = f"stages.block{side}"
        shortcut = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
        r = batch_norm(h, state, f"{block}.enter.norm").clamp(min=0)
        r = conv2d(r.repeat_interleave(2, 2).repeat_interleave(2, 3), state, f"{block}.conv1", 1)
        r = conv2d(batch_norm(r, state, f"{block}.middle.norm").clamp(min=0), state, f"{block}.conv2", 1)
        h = r + conv2d(shortcut, state, f"{block}.shortcut", 0)
    expected = conv2d(batch_norm(h, state, "stages.norm").clamp(min=0), state, "stages.image", 1).tanh()
    torch.testing.assert_close(network(z), expected, atol=1e-5, rtol=1e-4)


SIZES = [(backbone, resolution) for backbone in BACKBONES for resolution in BASE_SIDE[backbone]]


@pytest.mark.parametrize(("backbone", "resolution"), SIZES)
def test_every_backbone_at_every_resolution_with_attention_wherever_it_may_be(config, backbone, resolution):
    settings = config(backbone, resolution=resolution, width=2)
    for role in ("generator", "discriminator"):
        sides = [side for side in feature_sides(backbone, role, resolution) if side % 2 == 0 and side <= 32]
        settings["variant"][role]["attention_at"] = sides
    generator, discriminator = build_generator(settings), build_discriminator(settings)
    images = generator(torch.randn(2, Z))
    logits = discriminator(images)
    grows = backbone == "progressive"  # its output is linear in training, and layers of former sides are at rest
    assert images.shape == (2, 1, resolution, resolution) and (grows or images.abs().max() <= 1)
    assert logits.shape == (2,)
    for role, network in (("generator", generator), ("discriminator", discriminator)):
        assert sorted(attention_layers(network)) == settings["variant"][role]["attention_at"]
        assert sigmas(network)
    # Every weight is reached by the pass, and attention starts with gamma 0: only what lies behind it is not.
    logits.sum().backward()
    idle = {n for m in (generator, discriminator) for n, p in m.named_parameters() if p.grad is None}
    ends = {n for n in idle if n.startswith(("to_image.", "from_image.")) and f".{resolution}." not in n}
    assert idle == (ends if grows else set())


@pytest.mark.parametrize("form", ["unpooled", "average-pooled", "full-value", "residual"])
def test_forms_can_be_chosen_for_each_network(config, form):
    settings = config(attention_at=[14])
    settings["variant"]["discriminator"]["attention"] = form
    assert attention_layers(build_generator(settings))[14].form == "official"
    layers = attention_layers(build_discriminator(settings))
    assert not layers if form == "residual" else layers[14].form == form


def test_logits_of_several_scales_are_those_of_each_on_images_halved_by_means(config):
    settings = config(resolution=128, width=4, attention_at=[16], scales=3)
    network = build_discriminator(settings).eval()
    images = torch.randn(2, 1, 128, 128)
    small = images.reshape(2, 1, 64, 2, 64, 2).mean((3, 5))
    smaller = small.reshape(2, 1, 32, 2, 32, 2).mean((3, 5))
    expected = torch.stack([d(x) for d, x in zip(network.scales, (images, small, smaller), strict=True)], 1)
    assert expected.shape == (2, 3)
    torch.testing.assert_close(network(images), expected, atol=1e-5, rtol=1e-4)
    assert sum(isinstance(module, SelfAttention) for module in network.modules()) == 1
    assert any(name.startswith("scales.2.") for name in sigmas(network))

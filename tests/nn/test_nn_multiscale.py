"""The multi-scale discriminator: one network a scale, each on images halved by means."""

import torch

from sagan.nn import build_discriminator
from sagan.nn.attention import SelfAttention
from sagan.nn.spectral import sigmas


def test_logits_are_those_of_each_scale(config):
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


def test_one_scale_is_the_plain_network(config):
    plain = build_discriminator(config(resolution=64))
    assert list(build_discriminator(config(resolution=64, scales=1)).state_dict()) == list(plain.state_dict())

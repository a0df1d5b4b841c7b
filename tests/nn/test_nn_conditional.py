"""Class-conditional parts against their formulas."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sagan.nn import BACKBONES, build_discriminator, build_generator
from sagan.nn.parts import ClassBatchNorm, ClassShares, Head, VectorBatchNorm
from sagan.nn.spectral import sigmas, spectral_norm

LABELS = torch.tensor([2, 0, 2, 1])


def test_class_batch_norm_is_batch_norm_with_gains_of_the_class():
    layer, x = ClassBatchNorm(5, 3, 1e-5), torch.randn(4, 5, 6, 6)
    torch.testing.assert_close(layer(x, LABELS), nn.BatchNorm2d(5)(x))
    layer.gain.data.normal_()
    layer.bias.data.normal_()
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, unbiased=False)
    normal = (x - mean) / (variance + 1e-5).sqrt()
    for row, label in enumerate(LABELS.tolist()):
        expected = layer.gain[label][:, None, None] * normal[row] + layer.bias[label][:, None, None]
        torch.testing.assert_close(layer(x, LABELS)[row], expected, atol=1e-5, rtol=1e-4)


def test_vector_batch_norm_has_gains_around_one():
    layer, x, vector = VectorBatchNorm(5, 7, nn.Identity(), 1e-5), torch.randn(4, 5, 6, 6), torch.randn(4, 7)
    normal = F.batch_norm(x, None, None, training=True)
    gain, bias = 1 + vector @ layer.gain.weight.t(), vector @ layer.bias.weight.t()
    torch.testing.assert_close(layer(x, vector), gain[..., None, None] * normal + bias[..., None, None])


def test_the_head_is_the_projection_discriminator():
    """f(x, y) = y^T V phi(x) + psi(phi(x)) (Miyato & Koyama 2018, eq. 3)."""
    head, features = Head(6, 3, spectral_norm), torch.randn(4, 6)
    psi = features @ head.linear.weight[0] + head.linear.bias
    V = head.embedding.weight
    expected = torch.stack([V[label] @ phi for label, phi in zip(LABELS, features, strict=True)]) + psi
    torch.testing.assert_close(head(features, LABELS), expected)
    torch.testing.assert_close(head(features, None), psi)
    assert set(sigmas(head)) == {"linear", "embedding"}


def test_classes_that_were_not_given_follow_the_training_sets_shares():
    shares = ClassShares(4)
    shares.set([0] * 10 + [1] * 60 + [3] * 30)
    for count in (100, 250, 1000):
        counts = torch.bincount(shares(count), minlength=4) / count
        torch.testing.assert_close(counts, torch.tensor([0.1, 0.6, 0.0, 0.3]), atol=0.02, rtol=0)
    assert torch.equal(shares(1000)[:17], shares(17))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_class_matters_to_both_networks_of_every_backbone(config, backbone):
    settings = config(backbone, resolution=64 if backbone == "faces" else 28, classes=3, width=4)
    generator, discriminator = build_generator(settings).eval(), build_discriminator(settings).eval()
    for network in (generator, discriminator):
        for parameter in network.parameters():
            parameter.data.add_(0.05 * torch.randn_like(parameter))
    z = torch.randn(1, 16).expand(3, -1)
    images = generator(z, torch.arange(3))
    assert not torch.equal(images[0], images[1])
    torch.testing.assert_close(generator(z[:2], torch.tensor([1, 1]))[0], images[1], atol=1e-5, rtol=1e-4)
    logits = discriminator(images[:1].expand(3, -1, -1, -1), torch.arange(3))
    assert len(set(logits.tolist())) == 3
    torch.testing.assert_close(generator(z), generator(z, generator.shares(3)))

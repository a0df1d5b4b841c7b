"""Attention against the formula of Zhang et al. 2018, written out with loops and einsum."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sagan.nn import build_generator
from sagan.nn.attention import ResidualControl, SelfAttention, attention_layers, gammas
from sagan.nn.spectral import spectral_norm


def written_out(layer: SelfAttention, x, form):
    """(x + gamma * o, beta); s_ij = f(x_i).g(x_j), unscaled; keys and values pooled as the form has it."""
    B, _, H, W = x.shape

    def conv(name, y):
        return torch.einsum("oc,bchw->bohw", getattr(layer, name).weight[:, :, 0, 0], y)

    def rows(y):
        return y.reshape(B, y.shape[1], -1)

    def pooled(y):
        quads = torch.stack([y[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)])
        return {"official": quads.amax(0), "average-pooled": quads.mean(0)}.get(form, y)

    energy = torch.einsum("bcn,bcm->bnm", rows(conv("query", x)), rows(pooled(conv("key", x))))
    beta = energy.exp() / energy.exp().sum(2, keepdim=True)
    o = torch.einsum("bnm,bcm->bcn", beta, rows(pooled(conv("value", x)))).reshape(B, -1, H, W)
    return x + layer.gamma * (o if form == "full-value" else conv("output", o)), beta


FORMS = ["official", "unpooled", "average-pooled", "full-value"]


@pytest.fixture(params=[(form, channels) for form in FORMS for channels in (8, 64)], ids=str)
def layer(request):
    """Of few channels, which a CPU multiplies out, and of many, which go through the fused kernel."""
    form, channels = request.param
    layer = SelfAttention(channels, spectral_norm, form).double()
    layer.gamma.data.fill_(0.7)
    return layer


def test_fused_attention_equals_the_formula_in_values_and_gradients(layer):
    channels = layer.query.in_channels
    x = torch.randn(2, channels, 6, 6, dtype=torch.double, requires_grad=True)
    direction = torch.randn(2, channels, 6, 6, dtype=torch.double)
    wrt = [x, *layer.parameters()]
    fused, (by_hand, beta) = layer(x), written_out(layer, x, layer.form)
    torch.testing.assert_close(fused, by_hand)
    for ours, theirs in zip(
        torch.autograd.grad((fused * direction).sum(), wrt),
        torch.autograd.grad((by_hand * direction).sum(), wrt),
        strict=True,
    ):
        assert ours.abs().sum() > 0
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(layer.attention_map(x), beta)


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_the_fused_kernel_takes_every_memory_format(memory_format):
    """It falls back in silence where the numbers of a value do not lie side by side; told to, it would refuse."""
    layer = SelfAttention(64, nn.Identity())
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        layer(torch.randn(2, 64, 8, 8).contiguous(memory_format=memory_format))


def test_it_starts_as_the_identity():
    layer = SelfAttention(16, nn.Identity())
    x = torch.randn(2, 16, 4, 4)
    assert torch.equal(layer(x), x)


def test_channels_and_parameters_are_the_official_ones():
    layer = SelfAttention(64, nn.Identity())
    assert [p.shape[:2] for p in (layer.query.weight, layer.key.weight, layer.value.weight, layer.output.weight)] == [
        (8, 64),
        (8, 64),
        (32, 64),
        (64, 32),
    ]
    assert sum(p.numel() for p in layer.parameters()) == 2 * 64 * 8 + 2 * 64 * 32 + 1  # no bias, one gamma


def test_a_map_is_a_distribution_over_keys(layer):
    maps = layer.attention_map(torch.randn(3, layer.query.in_channels, 8, 8, dtype=torch.double))
    assert maps.shape == (3, 64, 16 if layer.form in ("official", "average-pooled") else 64)
    torch.testing.assert_close(maps.sum(-1), torch.ones(3, 64, dtype=torch.double))


def test_the_full_value_form_is_that_of_common_ports():
    layer = SelfAttention(64, nn.Identity(), "full-value")
    assert sum(p.numel() for p in layer.parameters()) == 2 * 64 * 8 + 64 * 64 + 1


@pytest.mark.parametrize("channels", [64, 128, 256])
def test_the_residual_control_has_as_many_parameters_as_attention(channels):
    def count(layer):
        return sum(p.numel() for p in layer.parameters())

    control = ResidualControl(channels, nn.Identity())
    assert count(control) == pytest.approx(count(SelfAttention(channels, nn.Identity())), rel=0.13)
    x = torch.randn(2, channels, 4, 4)
    hidden = F.conv2d(x.clamp(min=0), control.conv1.weight, padding=1)
    torch.testing.assert_close(control(x), x + F.conv2d(hidden.clamp(min=0), control.conv2.weight, padding=1))


def test_layers_are_found_by_the_side_of_their_feature_map(config):
    network = build_generator(config(resolution=64, attention_at=[16, 32]))
    assert list(attention_layers(network)) == [16, 32]
    assert gammas(network) == {16: 0, 32: 0}

"""Attention against the formula of Zhang et al. 2018, written out with loops and einsum."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sagan.nn import build_generator
from sagan.nn.attention import ResidualControl, SelfAttention, attention_layers, gammas
from sagan.nn.spectral import spectral_norm
from tests.nn.conftest import count


def written_out(layer: SelfAttention, x, form):
    """(x + gamma * o, beta); s_ij = f(x_i).g(x_j), unscaled; keys and values pooled as the form has it."""
    B, _, H, W = x.shape

    def conv(name, y):
        found = torch.einsum("oc,bchw->bohw", getattr(layer, name).weight[:, :, 0, 0], y)
        bias = getattr(layer, name).bias
        return found if bias is None else found + bias[:, None, None]

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


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("channels", [8, 64])
@pytest.mark.parametrize("form", FORMS)
def test_fused_attention_equals_the_formula_in_values_and_gradients(form, channels, bias):
    """Of few channels, which a CPU multiplies out, and of many, which go through the fused kernel."""
    layer = SelfAttention(channels, spectral_norm, form, bias).double()
    for name, parameter in layer.named_parameters():
        if name == "gamma" or name.endswith("bias"):  # which start at 0, where they would show nothing
            parameter.data.uniform_(0.5, 0.9)
    x = torch.randn(2, channels, 6, 6, dtype=torch.double, requires_grad=True)
    direction = torch.randn(2, channels, 6, 6, dtype=torch.double)
    wrt = {"x": x, **dict(layer.named_parameters())}
    fused, (by_hand, beta) = layer(x), written_out(layer, x, layer.form)
    torch.testing.assert_close(fused, by_hand)
    both = (torch.autograd.grad((found * direction).sum(), list(wrt.values())) for found in (fused, by_hand))
    for name, ours, theirs in zip(wrt, *both, strict=True):
        # What is added to all keys alike moves no softmax.
        assert ours.abs().sum() > 0 or name == "key.bias"
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(layer.attention_map(x), beta)


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_the_fused_kernel_takes_every_memory_format(memory_format):
    """It falls back in silence where the numbers of a value do not lie side by side; told to, it would refuse."""
    layer = SelfAttention(64, nn.Identity())
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        layer(torch.randn(2, 64, 8, 8).contiguous(memory_format=memory_format))


def test_channels_and_parameters_are_the_official_ones():
    layer = SelfAttention(64, nn.Identity())
    shapes = [conv.weight.shape[:2] for conv in (layer.query, layer.key, layer.value, layer.output)]
    assert shapes == [(8, 64), (8, 64), (32, 64), (64, 32)]
    assert count(layer) == 2 * 64 * 8 + 2 * 64 * 32 + 1  # no bias, one gamma


@pytest.mark.parametrize("channels", [64, 128, 256])
def test_the_residual_control_has_as_many_parameters_as_attention(channels):
    control = ResidualControl(channels, nn.Identity())
    assert count(control) == pytest.approx(count(SelfAttention(channels, nn.Identity())), rel=0.13)
    x = torch.randn(2, channels, 4, 4)
    hidden = F.conv2d(x.clamp(min=0), control.conv1.weight, padding=1)
    torch.testing.assert_close(control(x), x + F.conv2d(hidden.clamp(min=0), control.conv2.weight, padding=1))


def test_layers_are_found_by_the_side_of_their_feature_map(config):
    network = build_generator(config(resolution=64, attention_at=[16, 32]))
    assert list(attention_layers(network)) == [16, 32]
    assert gammas(network) == {16: 0, 32: 0}, "they start as the identity"

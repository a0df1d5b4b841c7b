"""Attention against the formula of Zhang et al. 2018, written out with loops and einsum."""

import pytest
import torch

from sagan.nn import build_generator
from sagan.nn.attention import SelfAttention, attention_layers, gammas


def written_out(layer: SelfAttention, x):
    """(x + gamma * o, beta) with max-pooled keys and values; s_ij = f(x_i).g(x_j), unscaled."""
    weight = {name: getattr(layer, name).weight[:, :, 0, 0] for name in ("query", "key", "value", "output")}
    B, C, H, W = x.shape
    f = torch.einsum("oc,bchw->bohw", weight["query"], x).reshape(B, -1, H * W)

    def pooled(name):
        y = torch.einsum("oc,bchw->bohw", weight[name], x)
        quads = [y[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
        return torch.stack(quads).amax(0).reshape(B, -1, H * W // 4)

    g, h = pooled("key"), pooled("value")
    energy = torch.einsum("bcn,bcm->bnm", f, g)
    beta = energy.exp() / energy.exp().sum(2, keepdim=True)
    o = torch.einsum("bnm,bcm->bcn", beta, h)
    return x + layer.gamma * torch.einsum("oc,bcn->bon", weight["output"], o).reshape(B, C, H, W), beta


@pytest.fixture
def layer():
    layer = SelfAttention(16, spectral_norm=True).double()
    layer.gamma.data.fill_(0.7)
    return layer


def test_fused_attention_equals_the_formula_in_values_and_gradients(layer):
    x = torch.randn(2, 16, 6, 6, dtype=torch.double, requires_grad=True)
    direction = torch.randn(2, 16, 6, 6, dtype=torch.double)
    wrt = [x, *layer.parameters()]
    fused, (by_hand, beta) = layer(x), written_out(layer, x)
    torch.testing.assert_close(fused, by_hand)
    for ours, theirs in zip(
        torch.autograd.grad((fused * direction).sum(), wrt),
        torch.autograd.grad((by_hand * direction).sum(), wrt),
        strict=True,
    ):
        assert ours.abs().sum() > 0
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(layer.attention_map(x), beta)


def test_it_starts_as_the_identity():
    layer = SelfAttention(16, spectral_norm=False)
    x = torch.randn(2, 16, 4, 4)
    assert torch.equal(layer(x), x)


def test_channels_and_parameters_are_the_official_ones():
    layer = SelfAttention(64, spectral_norm=False)
    assert [p.shape[:2] for p in (layer.query.weight, layer.key.weight, layer.value.weight, layer.output.weight)] == [
        (8, 64),
        (8, 64),
        (32, 64),
        (64, 32),
    ]
    assert sum(p.numel() for p in layer.parameters()) == 2 * 64 * 8 + 2 * 64 * 32 + 1  # no bias, one gamma


def test_a_map_is_a_distribution_over_pooled_keys(layer):
    maps = layer.attention_map(torch.randn(3, 16, 8, 8, dtype=torch.double))
    assert maps.shape == (3, 64, 16)
    torch.testing.assert_close(maps.sum(-1), torch.ones(3, 64, dtype=torch.double))


def test_layers_are_found_by_the_side_of_their_feature_map(config):
    network = build_generator(config(resolution=64, attention_at=[16, 32]))
    assert list(attention_layers(network)) == [16, 32]
    assert gammas(network) == {16: 0, 32: 0}

"""The ports' variants against the ports: the layer written out from its published description, and the settings."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from sagan.nn import build_discriminator, build_generator
from sagan.nn.attention import attention_layers
from sagan.params.loading import load_params
from sagan.params.run import Image, networks_of
from sagan.plan import resolved_variant

PARAMS = load_params()
# What the ports say: side of images, attention (in G, in D), spectral norm (G, D), learning rates (G, D).
UNPOOLED = {
    "sagan-faces": (64, ([16], [16]), (False, True), (1e-4, 1e-4)),
    "sagan-pytorch-port": (64, ([16, 32], [4, 8]), (True, True), (1e-4, 4e-4)),
    "sagan-mnist-port": (28, ([14], [14]), (True, True), (1e-4, 4e-4)),
}
POOLED = {"sagan-tf2-port": np.max, "sagan-tf2-port-average": np.mean}


def networks(name, resolution):
    torch.manual_seed(0)
    image = Image(channels=3 if resolution == 64 else 1, resolution=resolution)
    config = networks_of(resolved_variant(PARAMS.variants[name], resolution), image)
    return build_generator(config), build_discriminator(config)


def weights(conv):
    """A port's 1x1 convolution: [out, in] and [out], from the layer's own parameters."""
    return conv.weight.detach().double().numpy()[:, :, 0, 0], conv.bias.detach().double().numpy()


def filled(layer):
    """Biases and gamma start at 0, where they would show nothing."""
    torch.manual_seed(1)
    layer = layer.double().eval()
    for conv in (layer.query, layer.key, layer.value, layer.output):
        if getattr(conv, "bias", None) is not None:
            conv.bias.data.normal_()
    layer.gamma.data.fill_(0.6)
    return layer


def softmax(energy):
    powers = np.exp(energy - energy.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def ports_layer(query, key, value, gamma, x):
    """(gamma * V A^T + x, A) of one image [C, N] and (weight, bias) of three 1x1 convolutions; energy is [N, N]."""
    q, k, v = (weight @ x + bias[:, None] for weight, bias in (query, key, value))
    attention = softmax(q.T @ k)
    return gamma * (v @ attention.T) + x, attention


@pytest.mark.parametrize("role", [0, 1], ids=["generator", "discriminator"])
@pytest.mark.parametrize("name", UNPOOLED)
def test_the_layer_is_the_ports_for_copied_weights(name, role):
    resolution, places, _, _ = UNPOOLED[name]
    layers = attention_layers(networks(name, resolution)[role])
    assert sorted(layers) == places[role]
    for side, layer in layers.items():
        filled(layer)
        channels = layer.query.in_channels
        copied = [weights(conv) for conv in (layer.query, layer.key, layer.value)]
        assert [weight.shape for weight, _ in copied] == [(channels // 8, channels)] * 2 + [(channels, channels)]
        assert [n for n, _ in layer.named_parameters()] == [
            *("gamma", "query.weight", "query.bias", "key.weight", "key.bias", "value.weight", "value.bias"),
        ]  # nothing else: no output convolution, and no spectral norm
        x = torch.randn(2, channels, side, side, dtype=torch.double)
        expected = [ports_layer(*copied, 0.6, image.flatten(1).numpy()) for image in x]
        found, maps = layer(x).detach(), layer.attention_map(x).detach()
        np.testing.assert_allclose(found.flatten(2).numpy(), np.stack([y for y, _ in expected]), atol=1e-10)
        np.testing.assert_allclose(maps.numpy(), np.stack([a for _, a in expected]), atol=1e-12)


@pytest.mark.parametrize("name", POOLED)
def test_the_pooled_ports_layer(name):
    """Keys and values reduced 2x2, values of C/2 brought back to C, biases in all four; weights as they are used."""
    layer = filled(attention_layers(networks(name, 28)[0])[14])
    x = torch.randn(1, layer.query.in_channels, 14, 14, dtype=torch.double)

    def conv(module, rows):
        weight, bias = weights(module)
        return np.einsum("oc,chw->ohw", weight, rows) + bias[:, None, None]

    def reduced(rows):
        return POOLED[name](rows.reshape(len(rows), 7, 2, 7, 2), axis=(2, 4)).reshape(len(rows), -1)

    image = x[0].numpy()
    q = conv(layer.query, image).reshape(layer.query.out_channels, -1)
    attention = softmax(q.T @ reduced(conv(layer.key, image)))
    o = (reduced(conv(layer.value, image)) @ attention.T).reshape(-1, 14, 14)
    np.testing.assert_allclose(layer(x)[0].detach().numpy(), image + 0.6 * conv(layer.output, o), atol=1e-10)


@pytest.mark.parametrize("name", UNPOOLED)
def test_the_hyper_parameters_are_the_ports(name):
    _, _, spectral_norm, rates = UNPOOLED[name]
    variant = PARAMS.variants[name]
    assert (variant.generator.spectral_norm, variant.discriminator.spectral_norm) == spectral_norm
    assert variant.optimizer.lr_g == rates[0]
    assert variant.optimizer.lr_g * variant.optimizer.lr_ratio == pytest.approx(rates[1])
    assert (variant.objective, variant.optimizer.betas, variant.n_dis) == ("hinge", [0.0, 0.9], 1)
    assert variant.generator.z_dim == 128 and variant.discriminator.power_iterations == 1


def test_the_face_ports_networks_and_budget():
    generator, discriminator = networks("sagan-faces", 64)
    shapes = {}
    for network, given in ((generator, torch.randn(2, 128)), (discriminator, torch.randn(2, 3, 64, 64))):
        for name, module in network.named_modules():
            module.register_forward_hook(lambda m, i, o, name=name: shapes.update({name: tuple(o.shape[1:])}))
        network.eval()(given)
    assert shapes["unflatten"] == (256, 8, 8) and shapes["stages.up16"] == (128, 16, 16)
    assert shapes["stages.up32"] == (64, 32, 32) and shapes["stages.image"] == (3, 64, 64)
    assert [shapes[f"stages.down{side}"] for side in (32, 16, 8)] == [(64, 32, 32), (128, 16, 16), (256, 8, 8)]
    suite = PARAMS.suites["celeba64-port"]
    assert suite.training.batch_size == 64 and suite.training.steps == 5 * -(-162_770 // 64)
    assert suite.training.ema.decay == 0 and PARAMS.datasets[suite.dataset].kind == "celeba"


def test_the_tf2_ports_power_iterations():
    for name in POOLED:
        variant = PARAMS.variants[name]
        assert variant.generator.power_iterations == variant.discriminator.power_iterations == 5


def test_the_readmes_table_says_which_variant_is_which_port():
    lines = Path("README.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| `") and re.search(r" port\b", line)]
    named = [name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row.split("|")[1])]
    assert set(named) == {*UNPOOLED, *POOLED}
    for row in rows:
        told, source = row.split("|")[2:4]
        for name in re.findall(r"`([a-z0-9-]+)`", row.split("|")[1]):
            g, d = PARAMS.variants[name].generator, PARAMS.variants[name].discriminator
            assert g.attention_bias and d.attention_bias
            assert ("five power iterations" in told) == (g.power_iterations == d.power_iterations == 5)
            places = {
                " and ".join(map(str, network.attention_at)).replace("1/2", "half the side") for network in (g, d)
            }
            assert name in POOLED or all(f"at {place}" in told for place in places)
            assert name in POOLED or str(UNPOOLED[name][0]) in told + source

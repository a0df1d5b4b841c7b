"""The ports' variants against what the ports say of themselves; test_nn_attention.py holds the forms to formulas."""

import re
from pathlib import Path

import pytest
import torch

from sagan.nn import build_discriminator, build_generator
from sagan.nn.attention import attention_layers
from sagan.nn.reparametrised import in_use, raw_weights
from sagan.params.loading import load_params
from sagan.params.run import Image, networks_of, resolved_variant

PARAMS = load_params()
# What the ports say: side of images, attention (in G, in D), spectral norm (G, D), learning rates (G, D).
UNPOOLED = {
    "sagan-faces": (64, ([16], [16]), (False, True), (1e-4, 1e-4)),
    "sagan-pytorch-port": (64, ([16, 32], [4, 8]), (True, True), (1e-4, 4e-4)),
    "sagan-mnist-port": (28, ([14], [14]), (True, True), (1e-4, 4e-4)),
}
POOLED = {"sagan-tf2-port": "official", "sagan-tf2-port-average": "average-pooled"}


def networks(name, resolution):
    torch.manual_seed(0)
    image = Image(channels=3 if resolution == 64 else 1, resolution=resolution)
    config = networks_of(resolved_variant(PARAMS.variants[name], resolution), image)
    return build_generator(config), build_discriminator(config)


@pytest.mark.parametrize("role", [0, 1], ids=["generator", "discriminator"])
@pytest.mark.parametrize("name", UNPOOLED)
def test_the_unpooled_ports_layer(name, role):
    """Of its form alone: no output convolution, and no spectral norm, which would make other parameters."""
    resolution, places, _, _ = UNPOOLED[name]
    layers = attention_layers(networks(name, resolution)[role])
    assert sorted(layers) == places[role]
    for layer in layers.values():
        channels = layer.query.in_channels
        rows = {"query": channels // 8, "key": channels // 8, "value": channels}
        expected = {f"{conv}.weight": (n, channels, 1, 1) for conv, n in rows.items()}
        expected |= {f"{conv}.bias": (n,) for conv, n in rows.items()} | {"gamma": ()}
        assert layer.form == "full-value" and expected == {n: p.shape for n, p in layer.named_parameters()}


@pytest.mark.parametrize("name", POOLED)
def test_the_pooled_ports_layer_and_power_iterations(name):
    """Values of C/2 that are brought back to C, and biases in all four."""
    for network in networks(name, 28):
        layer = attention_layers(network)[14]
        assert layer.form == POOLED[name] and layer.output.in_channels == layer.query.in_channels // 2
        assert all(conv.bias is not None for conv in (layer.query, layer.key, layer.value, layer.output))
    variant = PARAMS.variants[name]
    assert variant.generator.power_iterations == variant.discriminator.power_iterations == 5


@pytest.mark.parametrize("name", UNPOOLED)
def test_the_hyper_parameters_are_the_ports(name):
    _, _, spectral_norm, rates = UNPOOLED[name]
    variant = PARAMS.variants[name]
    assert (variant.generator.spectral_norm, variant.discriminator.spectral_norm) == spectral_norm
    assert variant.optimizer.lr_g == rates[0]
    assert variant.optimizer.lr_g * variant.optimizer.lr_ratio == pytest.approx(rates[1])
    assert (variant.objective, variant.optimizer.betas, variant.n_dis) == ("hinge", [0.0, 0.9], 1)
    assert variant.generator.z_dim == 128 and variant.discriminator.power_iterations == 1


def test_the_face_ports_budget():
    suite = PARAMS.suites["celeba64-port"]
    assert suite.training.batch_size == 64 and suite.training.steps == 5 * -(-162_770 // 64)
    assert suite.training.ema.decay == 0 and PARAMS.datasets[suite.dataset].kind == "celeba"
    assert PARAMS.variants["sagan-faces"].generator.width == PARAMS.variants["sagan-faces"].discriminator.width == 64


def test_the_tf2_ports_constraint_is_off_where_its_spectral_norm_is():
    """A level of a grid may say `spectral_norm: false` alone; the key of such a run has no constraint."""
    without = {"generator": PARAMS.variants["sagan-tf2-port"].generator.model_copy(update={"spectral_norm": False})}
    variant = PARAMS.variants["sagan-tf2-port"].model_copy(update=without)
    config = networks_of(resolved_variant(variant, 64), Image(channels=3, resolution=64))
    found = [in_use(config["variant"][role]) for role in ("generator", "discriminator")]
    assert [len(those) for those in found] == [0, 1]
    assert not list(raw_weights(build_generator(config))) and list(raw_weights(build_discriminator(config)))


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

"""What is said of attention layers over many images is what the maps of all of them at once say."""

import math

import pytest
import torch

from sagan.metrics.attention import attention_statistics, generator_attention, layer_maps
from sagan.nn.files import load_generator


@pytest.fixture
def generator(conditional):
    """With classes: the labels must go with their z."""
    network = load_generator(conditional.paths.run(conditional.run.key) / "generator.safetensors")
    for name, value in network.named_parameters():
        if name.endswith(("query.weight", "key.weight")):
            value.data.mul_(3)  # maps that differ from image to image
    return network


def test_statistics_are_those_of_all_maps_at_once(generator):
    z, labels = torch.randn(10, 8), torch.arange(10) % 3
    [layer] = layer_maps(generator, z, labels)
    entropy = -torch.xlogy(layer.maps, layer.maps).sum(-1).mean()
    assert entropy < 0.97 * math.log(49)
    found = attention_statistics(generator, z, labels)
    assert found == {
        14: {"gamma": layer.gamma, "entropy": pytest.approx(float(entropy)), "entropy_uniform": math.log(49)}
    }
    others = attention_statistics(generator, z, labels.flip(0))[14]["entropy"]
    assert others != pytest.approx(float(entropy), rel=1e-6)


def test_the_grid_is_asked_for_its_own_classes(generator):
    found = generator_attention(generator, 0, torch.device("cpu"))
    assert found["generator.14"] == generator_attention(generator, 0, torch.device("cpu"))["generator.14"]
    generator.shares.set([0, 0, 0])
    assert generator_attention(generator, 0, torch.device("cpu")) != found


def test_what_is_not_finite_is_null(generator):
    for value in generator.parameters():
        value.data.fill_(torch.nan)
    found = attention_statistics(generator, torch.randn(2, 8))[14]
    assert found["gamma"] is None and found["entropy"] is None

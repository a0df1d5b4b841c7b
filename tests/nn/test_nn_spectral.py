"""Spectral norm against the singular value decomposition, as an operator where that is the statement."""

import pytest
import torch
from torch import nn

from sagan.nn import build_discriminator, build_generator
from sagan.nn.reparametrised import folded_state, in_use, plain
from sagan.nn.spectral import advance_power_iteration, iterate, normalised_layers, sigmas, spectral_norm

LAYERS = {
    "conv": (lambda: nn.Conv2d(5, 7, 3), lambda w: w.reshape(7, -1), {}),
    # Output channels are dimension 1 of a transposed convolution's weight; over the input it is read as it lies.
    "transposed conv": (lambda: nn.ConvTranspose2d(5, 7, 4), lambda w: w.permute(1, 0, 2, 3).reshape(7, -1), {}),
    "over the input": (lambda: nn.ConvTranspose2d(5, 7, 4), lambda w: w.reshape(5, -1), {"over_input": True}),
    "linear": (lambda: nn.Linear(6, 9), lambda w: w, {}),
    "embedding": (lambda: nn.Embedding(6, 9), lambda w: w, {}),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_the_estimate_reaches_the_largest_singular_value(kind):
    make, matrix, settings = LAYERS[kind]
    layer = spectral_norm(make(), **settings)
    raw = layer.parametrizations.weight.original.detach()
    true = torch.linalg.svdvals(matrix(raw))[0]
    norm = layer.parametrizations.weight[0]
    iterate([norm], [raw], 300)
    torch.testing.assert_close(norm.sigma(raw).detach(), true)
    torch.testing.assert_close(layer.weight.detach(), raw / true)
    torch.testing.assert_close(torch.linalg.svdvals(matrix(layer.weight.detach()))[0], torch.tensor(1.0))


def test_one_iteration_is_algorithm_1():
    layer = spectral_norm(nn.Linear(6, 9))
    norm, weight = layer.parametrizations.weight[0], layer.parametrizations.weight.original.detach()
    v = weight.t() @ norm.u
    v = v / v.norm()
    u = weight @ v
    u = u / u.norm()
    iterate([norm], [weight])
    torch.testing.assert_close((norm.u, norm.v), (u, v))
    torch.testing.assert_close(norm.sigma(weight).detach(), u @ weight @ v)


def test_the_gradient_treats_u_and_v_as_constants():
    """d(W / sigma)/dW . G = (G - <G, W/sigma> u v^T) / sigma (Miyato et al. 2018, eq. 12)."""
    layer = spectral_norm(nn.Linear(6, 9, bias=False))
    norm, raw = layer.parametrizations.weight[0], layer.parametrizations.weight.original
    G = torch.randn(9, 6)
    (layer.weight * G).sum().backward()
    sigma = norm.sigma(raw).detach()
    expected = (G - (G * raw.detach() / sigma).sum() * torch.outer(norm.u, norm.v)) / sigma
    torch.testing.assert_close(raw.grad, expected)
    assert not any("u" in name.split(".")[-1] for name, _ in layer.named_parameters())


def test_estimates_move_only_when_told_to_and_only_in_train_mode(config):
    network = build_discriminator(config(attention_at=[14]))
    images = torch.randn(2, 1, 28, 28)

    def estimates():
        return torch.cat([torch.cat([norm.u, norm.v]) for _, norm, _ in normalised_layers(network)]).clone()

    before = estimates()
    network.train()(images)
    network.eval()(images)
    advance_power_iteration(network)
    assert torch.equal(estimates(), before)
    advance_power_iteration(network.train())
    assert not torch.equal(estimates(), before)


def test_the_number_of_power_iterations_is_a_switch(config):
    one, five = (build_discriminator(config(power_iterations=times)) for times in (1, 5))
    five.load_state_dict(one.state_dict())
    for _ in range(5):
        advance_power_iteration(one)
    assert sigmas(one) != sigmas(five)
    advance_power_iteration(five)
    assert sigmas(one) == sigmas(five)


def test_a_constraint_divides_the_weight_itself_after_an_update_and_no_pass_does(config):
    network = build_discriminator(config(spectral_norm_constraint=True, power_iterations=50))
    (constraint,) = in_use(config(spectral_norm_constraint=True)["variant"]["discriminator"])
    layers = list(normalised_layers(network))
    for name, _, weight in layers:
        weight.data.mul_(3)
        assert network.get_submodule(name).weight is weight or torch.equal(network.get_submodule(name).weight, weight)
    constraint.advance(network)
    constraint.updated(network)
    for _, norm, weight in layers:
        matrix = weight.detach().transpose(0, norm.dim).flatten(1)
        torch.testing.assert_close(torch.linalg.svdvals(matrix)[0], torch.tensor(1.0), rtol=1e-3, atol=1e-3)


def test_fresh_estimates_are_near_the_truth(config):
    for name, norm, weight in normalised_layers(build_discriminator(config(attention_at=[14]))):
        matrix = weight.detach().transpose(0, norm.dim).flatten(1)
        true = torch.linalg.svdvals(matrix)[0]
        assert 0.9 * true < norm.sigma(weight) <= true * 1.0001, name


@pytest.mark.parametrize("role", ["generator", "discriminator"])
def test_every_layer_is_normalised_where_it_is_on_and_none_where_it_is_off(config, role):
    build = {"generator": build_generator, "discriminator": build_discriminator}[role]

    def weighted(network):
        kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
        return {name for name, module in network.named_modules() if isinstance(module, kinds)}

    on = build(config(attention_at=[14]))
    assert set(sigmas(on)) == weighted(on)
    assert not sigmas(build(config(attention_at=[14], spectral_norm=False)))


def test_folding_leaves_the_outputs(config):
    settings = config(attention_at=[14])
    for role, build, inputs in (
        ("generator", build_generator, torch.randn(3, 16)),
        ("discriminator", build_discriminator, torch.randn(3, 1, 28, 28)),
    ):
        network = build(settings).eval()
        for parameter in network.parameters():
            parameter.data.add_(0.1 * torch.randn_like(parameter))
        unwrapped = build(plain(settings, role)).eval()
        unwrapped.load_state_dict(folded_state(network))
        assert not sigmas(unwrapped)
        assert torch.equal(unwrapped(inputs), network(inputs))

"""One step: who is updated by what, and the average of the generator."""

import copy

import pytest
import torch

from sagan.nn.attention import attention_layers
from sagan.nn.reparametrised import orthogonality
from sagan.nn.spectral import iterate, normalised_layers
from sagan.objectives import PENALTIES
from sagan.training.augment import augmented
from sagan.training.turns import weights_finite
from tests import varied
from tests.training.conftest import prepared

# A rate at which weights stay as they are.
STANDING = {"lr_g": 1e-30, "lr_ratio": 1.0, "betas": [0.0, 0.9]}


def values(network):
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def test_a_step_is_hinge_and_adam_written_out(run, images):
    """With betas (0, 0) Adam's step is lr * sign(gradient): the gradients' signs are checked, network by network."""
    run = varied(run, optimizer={"lr_g": 1e-3, "lr_ratio": 4.0, "betas": [0.0, 0.0]})
    trainer, real, noise = prepared(run, images)
    twin = copy.deepcopy(trainer)
    before = {"g": values(trainer.generator), "d": values(trainer.discriminator)}
    scalars = trainer.step(1, real, noise)

    for network in (twin.generator, twin.discriminator):
        for _, norm, weight in normalised_layers(network):
            iterate([norm], [weight])
    fake = twin.generator(noise[0])
    loss_d = (1 - twin.discriminator(real[0])).clamp(min=0).mean() + (1 + twin.discriminator(fake)).clamp(min=0).mean()
    gradients = torch.autograd.grad(loss_d, twin.discriminator.parameters(), retain_graph=True)
    torch.testing.assert_close(scalars["loss_d"], loss_d.detach())
    for (name, after), gradient in zip(trainer.discriminator.named_parameters(), gradients, strict=True):
        sure = gradient.abs() > 1e-6
        step = (after.detach() - before["d"][name])[sure]
        torch.testing.assert_close(step, -4e-3 * gradient.sign()[sure], atol=1e-4, rtol=0.02)
    # The generator meets the discriminator that has just been updated.
    twin.discriminator.load_state_dict(trainer.discriminator.state_dict())
    loss_g = -twin.discriminator(fake).mean()
    gradients = torch.autograd.grad(loss_g, twin.generator.parameters())
    torch.testing.assert_close(scalars["loss_g"], loss_g.detach())
    for (name, after), gradient in zip(trainer.generator.named_parameters(), gradients, strict=True):
        sure = gradient.abs() > 1e-6
        step = (after.detach() - before["g"][name])[sure]
        torch.testing.assert_close(step, -1e-3 * gradient.sign()[sure], atol=3e-5, rtol=0.02)


def test_n_dis_updates_see_other_images_and_noise(run, images):
    trainer, real, noise = prepared(varied(run, n_dis=3), images)
    seen = {"real": [], "noise": []}

    class Spy:
        def __init__(self, source, name):
            self.source, self.name = source, name

        def __getitem__(self, index):
            seen[self.name].append(index)
            return self.source[index]

    for step in (1, 2):
        trainer.step(step, Spy(real, "real"), Spy(noise, "noise"))
    assert seen == {"real": [0, 1, 2, 3, 4, 5], "noise": [0, 1, 2, 3, 4, 5]}


def test_the_average_is_the_formula_over_normalised_weights(run, images):
    """A copy until `start`, then average <- decay * average + (1 - decay) * weights."""
    trainer, real, noise = prepared(run, images)
    expected, (decay, start) = None, (0.9, 2)
    assert run.config["training"]["ema"] == {"decay": decay, "start": start}
    for step in range(1, 6):
        trainer.step(step, real, noise)
        # What a layer computes with: its weight after spectral norm, as the module itself gives it.
        modules = dict(trainer.generator.named_modules())
        names = [name.rpartition(".") for name, _ in trainer.ema.network.named_parameters()]
        weights = {f"{owner}.{name}": getattr(modules[owner], name).detach() for owner, _, name in names}
        if step <= start:
            expected = {k: v.clone() for k, v in weights.items()}
        else:
            expected = {k: decay * expected[k] + (1 - decay) * v for k, v in weights.items()}
        for name, average in trainer.ema.network.named_parameters():
            torch.testing.assert_close(average.data, expected[name])


def test_the_average_is_measured_with_statistics_of_its_own(run, images):
    trainer, real, noise = prepared(run, images)
    for step in range(1, 4):
        trainer.step(step, real, noise)
    state = trainer.ema.measured_state(noise)
    network = copy.deepcopy(trainer.ema.network).train()
    inputs = []
    network.stages.norm7.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    for index in range(16):
        network(noise[index])
    mean = torch.stack([x.mean((0, 2, 3)) for x in inputs]).mean(0)
    torch.testing.assert_close(state["stages.norm7.running_mean"], mean)
    assert not torch.equal(state["stages.norm7.running_mean"], trainer.ema.network.stages.norm7.running_mean)


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_are_added_to_the_discriminators_loss_even_with_attention(run, images, name):
    """Attention's gamma is set off 0, so that the second derivative goes through the softmax."""

    def gradients(weight):
        trainer, *feed = prepared(varied(run, regularisers={name: weight}, optimizer=STANDING), images)
        for layer in attention_layers(trainer.discriminator).values():
            layer.gamma.data.fill_(0.5)
        scalars = trainer.step(1, *feed)
        return scalars, torch.cat([p.grad.flatten() for p in trainer.discriminator.parameters()])

    plain, without = gradients(0.0)
    once, first = gradients(1.0)
    twice, second = gradients(2.0)
    assert "penalty_d" not in plain
    torch.testing.assert_close(once["loss_d"], plain["loss_d"])
    torch.testing.assert_close(2 * once["penalty_d"], twice["penalty_d"])
    assert (first - without).norm() > 0
    torch.testing.assert_close(second - without, 2 * (first - without), atol=1e-5, rtol=1e-3)


def test_r1_under_augmentation_is_the_gradient_at_the_image_before_it(run, images):
    trainer, *feed = prepared(varied(run, augment=["color", "translation"], regularisers={"r1": 1.0}), images)
    inputs = trainer._inputs(0, 1, *feed)
    real = inputs["real"].clone().requires_grad_(True)
    seen = augmented(real, ["color", "translation"], inputs["augment real"])
    expected = torch.autograd.grad(trainer.discriminator(seen).sum(), real)[0].square().flatten(1).sum(1).mean() / 2
    _, scalars = trainer._discriminator_loss(inputs, torch.zeros_like(real))
    torch.testing.assert_close(scalars["penalty_d"], expected)
    assert expected > 0


def test_adams_epsilon_is_a_switch(run, images):
    """As large as 1 it makes steps of about the rate times the gradient, whatever its size."""
    steps = []
    for eps in (1e-8, 1.0):
        optimizer = {"lr_g": 1e-3, "lr_ratio": 1.0, "betas": [0.0, 0.0], "eps": eps}
        trainer, *feed = prepared(varied(run, optimizer=optimizer), images)
        before = values(trainer.discriminator)
        trainer.step(1, *feed)
        after = values(trainer.discriminator)
        steps.append(max(float((after[name] - before[name]).abs().max()) for name in before))
    assert steps[0] == pytest.approx(1e-3, rel=0.01) and steps[1] < 0.9e-3


def test_orthogonal_regularisation_is_its_formula(run, images):
    network = prepared(varied(run, regularisers={"orthogonal": 0.1}), images)[0].generator
    raw = {name: weight for name, _, weight in normalised_layers(network)}
    expected = 0.0
    for name, weight in raw.items():
        rows = weight.detach().transpose(0, 1) if ".up" in name or name.endswith("image") else weight.detach()
        rows = rows.flatten(1)
        for i, row in enumerate(rows):
            expected += sum(float(row @ other) ** 2 for j, other in enumerate(rows) if i != j)
    assert orthogonality(network).item() == pytest.approx(expected, rel=1e-4)


def test_orthogonal_regularisation_is_added_to_the_generators_loss(run, images):
    def gradients(weight):
        trainer, *feed = prepared(varied(run, regularisers={"orthogonal": weight}, optimizer=STANDING), images)
        trainer.step(1, *feed)
        return trainer.generator, [p.grad for p in trainer.generator.parameters()]

    (network, plain), (_, regularised) = gradients(0.0), gradients(0.1)
    expected = torch.autograd.grad(0.1 * orthogonality(network), list(network.parameters()), materialize_grads=True)
    assert sum(gradient.norm() for gradient in expected) > 0
    for without, with_it, gradient in zip(plain, regularised, expected, strict=True):
        torch.testing.assert_close(with_it, without + gradient, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("role", ["generator", "discriminator"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_weight_that_is_not_finite_is_noticed(run, images, role, value):
    trainer, *_ = prepared(run, images)
    assert weights_finite(trainer)
    list(getattr(trainer, role).parameters())[-1].data.view(-1)[0] = value
    assert not weights_finite(trainer)


def test_linear_decay_ends_one_step_above_zero(run, images):
    optimizer = {"lr_g": 1e-3, "lr_ratio": 2.0, "betas": [0.0, 0.9], "decay": "linear"}
    trainer, real, noise = prepared(varied(run, {"steps": 4, "snapshots": [0, 4]}, optimizer=optimizer), images)
    rates = []
    for step in range(1, 5):
        trainer.step(step, real, noise)
        rates += [optimizer.param_groups[0]["lr"] for optimizer in (trainer.optimizer_g, trainer.optimizer_d)]
    assert rates == pytest.approx([1e-3, 2e-3, 0.75e-3, 1.5e-3, 0.5e-3, 1e-3, 0.25e-3, 0.5e-3])


def test_everything_that_a_step_depends_on_is_its_state_its_seed_and_its_number(run, images):
    """A trainer that starts from a saved state goes on as the first one did, with every regulariser on."""
    run = varied(
        run,
        augment=["color", "translation", "cutout"],
        regularisers={"gradient_penalty": 1.0, "r1": 1.0, "orthogonal": 1e-4},
        optimizer={"lr_g": 1e-3, "lr_ratio": 2.0, "betas": [0.0, 0.9], "decay": "linear"},
    )
    trainer, real, noise = prepared(run, images)
    for step in (1, 2, 3):  # the average is a copy until the second
        trainer.step(step, real, noise)
    torch.manual_seed(1234)
    other, *_ = prepared(run, images)
    other.load_state({name: value.clone() for name, value in trainer.state().items()})
    for step in (4, 5):
        torch.manual_seed(step)
        ours = trainer.step(step, real, noise)
        torch.manual_seed(4321)
        theirs = other.step(step, real, noise)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert all(torch.equal(value, other.state()[name]) for name, value in trainer.state().items())

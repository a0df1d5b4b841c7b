"""Every variant of params.yaml trains: a few steps at tiny widths on noise, through the real trainer."""

import gc

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from sagan.shapes import BASE_SIDE, feature_sides, resolve_side
from sagan.training.log import diagnostics
from sagan.training.turns import weights_finite
from tests.training.conftest import trainer_of
from tests.variants import VARIANTS, config_of, pictures

STEPS = 20


def fits(variant, resolution: int) -> bool:
    """Whether all its attention is at sides that its networks have."""

    def placed(role):
        sides = [resolve_side(place, resolution) for place in getattr(variant, role).attention_at]
        return all(s in feature_sides(variant.backbone, role, resolution) and s % 2 == 0 for s in sides)

    smallest = resolution // 2 ** (variant.discriminator.scales - 1)
    return placed("generator") and placed("discriminator") and smallest in BASE_SIDE[variant.backbone]


def prepared(name):
    """A trainer of the variant, and what its steps take."""
    torch.set_num_threads(1)
    variant = VARIANTS[name]
    config = config_of(name, STEPS, side=next(s for s in BASE_SIDE[variant.backbone] if fits(variant, s)), width=4)
    return trainer_of(config, *pictures(config))


@pytest.mark.parametrize("name", VARIANTS)
def test_it_trains(name):
    trainer, real, noise = prepared(name)
    before = {name: value.clone() for name, value in trainer.state().items()}
    for step in range(1, STEPS + 1):
        scalars = trainer.step(step, real, noise)
    assert all(torch.isfinite(value) for value in (scalars | diagnostics(trainer)).values())
    assert weights_finite(trainer)
    weights = [
        f"{role}.{n}" for role in ("generator", "discriminator") for n, _ in getattr(trainer, role).named_parameters()
    ]
    after = trainer.state()
    # While every margin of the hinge loss is active, the last bias has no gradient.
    still = [n for n in weights if torch.equal(before[n], after[n]) and not n.endswith("head.linear.bias")]
    assert not still
    assert torch.isfinite(trainer.ema.network.eval()(noise[0])).all()


# What has no deterministic form on a GPU and raises there (`torch.use_deterministic_algorithms` lists it).
RAISING = {"_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward", "adaptive_max_pool2d_backward"}
RAISING |= {"adaptive_max_pool3d_backward", "avg_pool3d_backward", "fractional_max_pool2d_backward", "max_unpool2d"}
RAISING |= {"upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward"}
RAISING |= {"upsample_trilinear3d_backward", "reflection_pad1d_backward", "reflection_pad2d_backward"}
RAISING |= {"replication_pad2d_backward", "grid_sampler_2d_backward", "nll_loss_forward", "nll_loss2d_forward"}
RAISING |= {"_ctc_loss_backward", "put_", "histc", "bincount", "median", "kthvalue", "scatter_reduce"}
# What waits for the device, which breaks the recording of a graph off, or draws numbers, which a replay repeats.
UNRECORDED = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "rand", "randn", "randint", "randperm"}
UNRECORDED |= {"normal", "normal_", "uniform_", "bernoulli", "bernoulli_", "native_dropout"}


class Refusing(TorchDispatchMode):
    """Lets no operation of these names be carried out, in backward passes neither."""

    def __init__(self, names):
        super().__init__()
        self.names = names

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        name = function.overloadpacket._qualified_op_name.removeprefix("aten::")
        assert name not in self.names, f"{name} does not work on a GPU here"
        return function(*arguments, **(keywords or {}))


def test_operations_are_refused_by_name():
    images = torch.zeros(1, 1, 4, 4, requires_grad=True)
    with Refusing(RAISING):
        F.interpolate(images, scale_factor=2, mode="nearest").sum().backward()
        with pytest.raises(AssertionError, match="upsample_bilinear2d_backward"):
            F.interpolate(images, scale_factor=2, mode="bilinear").sum().backward()
    with Refusing(UNRECORDED), pytest.raises(AssertionError, match="_local_scalar_dense"):
        images.sum().item()


@pytest.mark.parametrize("name", VARIANTS)
def test_a_gpu_can_do_it_with_deterministic_algorithms_and_in_a_graph(name):
    trainer, real, noise = prepared(name)

    def carried_out(inputs, copies):
        with Refusing(UNRECORDED):
            return trainer._compute(inputs, copies)

    trainer._carry_out = carried_out
    with Refusing(RAISING):
        for step in (1, 2, 3):  # the average is a copy in the first
            trainer.step(step, real, noise)
        trainer.ema.measured_state(noise)
        diagnostics(trainer)
        weights_finite(trainer)


def gradient_nodes(trainer):
    """What adds up each weight's gradient: the same object as long as any graph that it is part of is held."""
    for network in (trainer.generator, trainer.discriminator):
        for parameter in network.parameters():
            with torch.enable_grad():
                yield parameter.requires_grad_(True).view_as(parameter).grad_fn.next_functions[0][0]


@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_of_a_steps_autograd_graph_outlives_it(name):
    """What does belongs to the stream it was made on, and would break the recording of the next step off."""
    trainer, real, noise = prepared(name)
    discriminator_loss = trainer._discriminator_loss

    def marking(*arguments):
        found = discriminator_loss(*arguments)
        for node in gradient_nodes(trainer):
            node.metadata["step"] = 1
        held.append(found[0])
        return found

    trainer._discriminator_loss = marking
    gc.collect()
    gc.disable()
    try:
        held = []
        trainer.step(1, real, noise)
        assert any("step" in node.metadata for node in gradient_nodes(trainer)), "the loss is held, and its graph"
        held.clear()
        assert not any("step" in node.metadata for node in gradient_nodes(trainer))
    finally:
        gc.enable()

"""Progressive growing while it is trained: the schedule, real images, Adam, and runs that are stopped in a fade."""

import dataclasses

import pytest
import torch

from sagan.errors import UserError
from sagan.generators import generator_of
from sagan.training.graphs import GraphedStep
from sagan.training.growth import blend, phase_at
from sagan.training.loop import Data, train
from tests import varied
from tests.training.conftest import interrupted, prepared, weights
from tests.training.test_graphs import recording

# 7, 14 and 28 pixels: six parts of two steps, of which 3 and 4, 7 and 8 fade.
STEPS = 12


def growing(run, **training):
    equalised = {"width": 4, "norm": "none", "equalised_rate": True, "attention_at": [14]}
    return varied(
        run,
        {"steps": STEPS, "snapshots": list(range(0, STEPS + 1, 2)), "ema": {"decay": 0.9, "start": 1}, **training},
        backbone="progressive",
        init="he",
        generator={"z_dim": 8, "pixel_norm": True, **equalised},
        discriminator={"minibatch_deviation": True, **equalised},
        objective="wasserstein",
        regularisers={"gradient_penalty": 10.0},
        optimizer={"lr_g": 1e-3, "betas": [0.0, 0.99]},
    )


@pytest.fixture
def under_way(run, images):
    """A trainer, and what carries out its step of a number."""

    def made(**training):
        trainer, *feed = prepared(growing(run, **training), images)
        return trainer, lambda step: trainer.step(step, *feed)

    return made


def test_the_schedule_is_the_papers():
    """Rest, then for each further side a fade and a rest of the same length, and one part more at the end."""
    written = [("rest", 4), ("fade", 8), ("rest", 8), ("fade", 16), ("rest", 16), ("fade", 32), ("rest", 32)]
    for part, (kind, side) in enumerate([*written, ("rest", 32)]):
        for images in range(600 * part, 600 * (part + 1), 75):
            phase, alpha = phase_at(images, 4800, 4)
            assert (phase, 4 * 2 ** ((phase + 1) // 2)) == (min(part, 6), side)
            assert alpha == (images / 600 - part if kind == "fade" else 1)


def test_networks_and_real_images_follow_the_schedule(under_way):
    trainer, step = under_way()
    seen = []
    for number in range(1, STEPS + 1):
        step(number)
        grown = [float(n.grown) for n in (trainer.generator, trainer.discriminator, trainer.ema.network)]
        assert grown == 3 * grown[:1]
        seen.append((trainer.generator.side, grown[0]))
    assert seen == [(7, 0), (7, 0), (14, 0), (14, 0.5), (14, 1), (14, 1), (28, 1), (28, 1.5), *[(28, 2)] * 4]


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_real_images_are_blended_with_their_means(under_way, alpha):
    trainer, _ = under_way()
    real = torch.randn(4, 1, 28, 28)
    trainer.discriminator.grow(1, alpha)
    at14 = real.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    at7 = real.unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5))
    expected = (1 - alpha) * at7.repeat_interleave(2, 2).repeat_interleave(2, 3) + alpha * at14
    torch.testing.assert_close(blend(trainer, real, 0), expected)


def test_adam_begins_anew_where_a_fade_begins_and_ends(under_way):
    trainer, step = under_way()
    counted = []
    for number in range(1, STEPS + 1):
        step(number)
        for optimizer, weight in (
            (trainer.optimizer_g, trainer.generator.blocks["7"].linear.parametrizations.weight.original),
            (trainer.optimizer_d, trainer.discriminator.head.linear.parametrizations.weight.original),
        ):
            slots = optimizer.state[weight]
            counted.append(int(slots["step"]))
            if counted[-1] == 1:  # the second moment knows of this step's gradient alone
                torch.testing.assert_close(slots["exp_avg_sq"], 0.01 * weight.grad.square())
    assert counted[::2] == counted[1::2] == [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 3, 4]


@pytest.mark.parametrize("at", [3, 4, 8])
def test_stopped_in_a_fade_it_ends_with_the_same_bytes(run, images, paths, tmp_path, monkeypatch, carried_out, at):
    run, other = growing(run), dataclasses.replace(paths, root=tmp_path / "other")
    train(run, Data(images), paths)
    carried_out.clear()
    interrupted(run, images, other, monkeypatch, at)
    train(run, Data(images), other)
    assert carried_out == list(range(1, STEPS + 1))
    assert weights(run, other) == weights(run, paths)


def test_every_snapshot_gives_whole_images_of_its_phase(run, images, paths):
    run = growing(run)
    train(run, Data(images), paths)
    folder = paths.run(run.key)
    z = torch.randn(4, 8)
    sides = {}
    for step in run.config["training"]["snapshots"]:
        found = generator_of(folder / f"snapshots/{step:06d}.safetensors")(z)
        assert found.shape == (4, 1, 28, 28) and found.abs().max() <= 1
        sides[step] = next(side for side in (7, 14, 28) if torch.equal(found, coarse(found, 28 // side)))
    # Before the first step the networks are whole.
    assert sides == {0: 28, 2: 7, 4: 14, 6: 14, 8: 28, 10: 28, 12: 28}


def coarse(images, factor):
    return images[:, :, ::factor, ::factor].repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def test_a_graph_is_recorded_anew_for_each_phase(under_way):
    (plain, step), (graphed, graphed_step) = under_way(steps=30), under_way(steps=30)
    graphed._carry_out = GraphedStep(graphed._compute, graphed.state, "run", recording(graphed))
    recorded = []
    record = graphed._carry_out._record
    graphed._carry_out._record = lambda copies: recorded.append(number) or record(copies)
    for number in range(1, 31):
        step(number), graphed_step(number)
    assert not graphed._carry_out._given_up and recorded == [4, 9, 14, 19, 24]
    assert all(torch.equal(value, graphed.state()[name]) for name, value in plain.state().items())


@pytest.mark.parametrize("training", [{"batch_size": 6}, {"batch_size": 8, "accumulate": 4}])
def test_groups_do_not_mix_real_images_and_fakes(under_way, training):
    _, step = under_way(**training)
    with pytest.raises(UserError, match=r"batch_size = \d: minibatch_deviation .* say a multiple of (4|16)$"):
        step(1)

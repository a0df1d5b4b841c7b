"""Statistics that a generator matches: what they are, whom they move, and that nothing of them is lost on the way."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing, nn

from sagan.training.ingredients import Made
from sagan.training.matching import feature_matching
from tests import varied
from tests.training.conftest import prepared


def made(seed=0, count=6):
    """Images and a discriminator at two scales whose features are linear in them; fakes are other images."""
    random = torch.Generator().manual_seed(seed)
    real, fake = (torch.randn(count, 1, 4, 4, generator=random) for _ in range(2))
    scales = []
    for pixels in (16, 4):
        scales.append(nn.Module())
        scales[-1].stages = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 3, bias=False))
        scales[-1].stages[1].weight.data = torch.randn(3, pixels, generator=random)
    return Made(nn.Identity(), SimpleNamespace(scales=scales), fake, real)


def test_feature_matching_is_the_distance_of_means_at_each_scale():
    given, expected = made(), 0.0
    x, y = given.real.double().numpy(), given.fake.double().numpy()
    for scale in given.discriminator.scales:
        weight = scale.stages[1].weight.detach().double().numpy()
        means = [images.reshape(6, -1).mean(0) @ weight.T for images in (x, y)]
        expected += ((means[0] - means[1]) ** 2).sum()
        half = x.shape[2] // 2
        x, y = (images.reshape(6, 1, half, 2, half, 2).mean((3, 5)) for images in (x, y))
    assert feature_matching(given).item() == pytest.approx(expected, rel=1e-5)
    alone = dataclasses.replace(given, discriminator=given.discriminator.scales[0])
    assert 0 < feature_matching(alone).item() < expected


def test_it_moves_the_generator_and_nothing_else(run, images):
    """Of one step: the discriminator is what it is without, and the generator another."""
    found = []
    for weight in (0.0, 10.0):
        trainer, *feed = prepared(varied(run, regularisers={"feature_matching": weight}), images)
        scalars = trainer.step(1, *feed)
        found.append([scalars["loss_g"], *(list(n.parameters()) for n in (trainer.discriminator, trainer.generator))])
    (loss, critic, generator), (matched_loss, matched_critic, matched_generator) = found
    assert matched_loss > loss
    assert all(torch.equal(one, other) for one, other in zip(critic, matched_critic, strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(generator, matched_generator, strict=True))


def _gradients_of_a_part(rank, count, folder):
    if count > 1:
        dist.init_process_group("gloo", f"file://{folder / 'meeting'}", rank=rank, world_size=count)
    torch.set_num_threads(1)
    given, scale = made(), torch.ones((), requires_grad=True)
    real, fake = given.real.chunk(count)[rank], scale * given.fake.chunk(count)[rank]
    found = torch.autograd.grad(feature_matching(dataclasses.replace(given, real=real, fake=fake)), scale)
    torch.save(torch.stack(found), folder / f"{rank} of {count}.pt")
    if count > 1:
        dist.destroy_process_group()


def test_processes_match_statistics_of_the_whole_batch(tmp_path):
    """The mean of their gradients is the gradient of one process that has all images."""
    _gradients_of_a_part(0, 1, tmp_path)
    multiprocessing.spawn(_gradients_of_a_part, (2, tmp_path), 2)
    alone, *parts = (torch.load(tmp_path / name) for name in ("0 of 1.pt", "0 of 2.pt", "1 of 2.pt"))
    torch.testing.assert_close(torch.stack(parts).mean(0), alone, rtol=1e-5, atol=1e-4)

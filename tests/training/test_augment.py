"""Differentiable augmentation: what each kind may do, by properties of what comes out."""

import pytest
import torch

from sagan.training.augment import AUGMENTATIONS, numbers_needed
from sagan.training.augment import augmented as augmented_by


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def augmented(images, kinds, generator):
    return augmented_by(images, kinds, torch.rand(len(images), numbers_needed(kinds), generator=generator))


@pytest.fixture
def images():
    return torch.rand(64, 3, 16, 16, generator=random(1)) * 2 - 1


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_it_is_a_function_of_its_random_numbers_and_lets_gradients_through(images, kind):
    images.requires_grad_(True)
    first, second, other = (augmented(images, [kind], random(seed)) for seed in (0, 0, 1))
    assert first.shape == images.shape
    assert torch.equal(first, second) and not torch.equal(first, other)
    gradient = torch.autograd.grad(first.square().sum(), images)[0]
    assert gradient.flatten(1).norm(dim=1).min() > 0


def test_color_is_affine_in_each_image(images):
    """Channels' differences are scaled alike at every pixel by U(0, 2) * U(0.5, 1.5)."""
    out = augmented(images, ["color"], random())
    ratio = (out[:, 0] - out[:, 1]) / (images[:, 0] - images[:, 1])
    factor = ratio.flatten(1).median(1).values
    torch.testing.assert_close(ratio, factor[:, None, None].expand_as(ratio), atol=1e-2, rtol=1e-2)
    assert factor.min() >= 0 and factor.max() <= 3 and factor.std() > 0.3
    # Brightness moves an image's mean, contrast and saturation leave it.
    moved = out.mean((1, 2, 3)) - images.mean((1, 2, 3))
    assert moved.abs().max() <= 0.5 and moved.std() > 0.2


def test_translation_shifts_by_up_to_an_eighth_and_fills_with_zeros(images):
    out = augmented(images, ["translation"], random())
    seen = set()
    for before, after in zip(images, out, strict=True):
        padded = torch.nn.functional.pad(before, [2] * 4)
        shifts = [(i, j) for i in range(5) for j in range(5) if torch.equal(padded[:, i : i + 16, j : j + 16], after)]
        assert len(shifts) == 1
        seen.add(shifts[0])
    assert {i for i, _ in seen} == {j for _, j in seen} == {0, 1, 2, 3, 4}


def test_sizes_and_centres_are_those_of_the_published_code():
    """At 28 pixels shifts of up to int(3.5 + 0.5) = 4; 29 centres, the last behind the last pixel."""
    images, last = torch.ones(1, 1, 28, 28), torch.full((1,), 1 - 1e-6)
    shifted = AUGMENTATIONS["translation"][0](images, last, last)
    assert shifted.sum() == 24**2 and shifted[0, 0, :24, :24].all()
    for number, centre in ((torch.zeros(1), 0), (last, 28)):
        cleared = AUGMENTATIONS["cutout"][0](images, number, torch.full((1,), 0.5))[0, 0].eq(0).any(1)
        assert cleared.tolist() == [centre - 7 <= row < centre + 7 for row in range(28)]


def test_cutout_clears_one_square_of_half_the_side(images):
    out = augmented(images, ["cutout"], random())
    cleared = (out == 0).all(1)
    assert torch.equal(out, images * ~cleared[:, None])
    for mask in cleared:
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert 4 <= len(rows) <= 8 and 4 <= len(columns) <= 8
    assert cleared.sum((1, 2)).max() == 64

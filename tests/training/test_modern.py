"""The modern baseline's grid: {relativistic, non-saturating} x {R1, R1 + R2}, each cell another training."""

import math

import pytest
import torch

from sagan.objectives import Judged
from sagan.params.loading import load_params
from sagan.training.ingredients import ingredients_of
from tests.variants import config_of

CELLS = {
    "modern-grid-relativistic-r1-r2": ("relativistic", 2.0, 2.0),
    "modern-grid-relativistic-r1": ("relativistic", 2.0, 0.0),
    "modern-grid-non-saturating-r1-r2": ("non-saturating", 2.0, 2.0),
    "modern-grid-non-saturating-r1": ("non-saturating", 2.0, 0.0),
}


def test_the_grid_has_four_cells_that_differ_in_nothing_else():
    params = load_params()
    assert set(params.grids["modern-grid"]) == set(CELLS)
    rest = []
    for name, (objective, r1, r2) in CELLS.items():
        variant = params.variants[name]
        assert (variant.objective, variant.regularisers.r1, variant.regularisers.r2) == (objective, r1, r2)
        rest.append(variant.model_dump(exclude={"objective", "regularisers", "description"}))
    assert all(other == rest[0] for other in rest)
    assert rest[0]["discriminator"]["norm"] == "none" and rest[0]["optimizer"]["betas"] == [0.0, 0.9]


@pytest.mark.parametrize("name", CELLS)
def test_the_discriminators_loss_is_the_papers(name):
    """D(x) = a.x, so that |grad D|^2 is |a|^2 everywhere: loss + gamma/2 (R1 + R2), written out."""
    torch.manual_seed(0)
    real, fake, a = torch.randn(3, 1, 2, 2), torch.randn(3, 1, 2, 2), torch.randn(1, 2, 2)
    real.requires_grad_(True), fake.requires_grad_(True)

    def critic(images):
        return (images * a).flatten(1).sum(1)

    x, y = (critic(images).tolist() for images in (real, fake))
    if CELLS[name][0] == "relativistic":
        expected = sum(math.log1p(math.exp(-(r - f))) for r, f in zip(x, y, strict=True)) / 3
    else:
        expected = sum(math.log1p(math.exp(-r)) + math.log1p(math.exp(f)) for r, f in zip(x, y, strict=True)) / 3
    expected += sum(CELLS[name][1:]) / 2 * float(a.square().sum())
    used = ingredients_of(config_of(name), None)
    judged = Judged(critic, real, fake, real, fake, critic(real), critic(fake))
    found = used.objective.discriminator(judged.logits_real, judged.logits_fake)
    found = found + sum(weight * penalty.function(judged) for weight, penalty in used.penalties)
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)

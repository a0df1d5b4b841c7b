"""Figures that could not mean anything are none, and say why."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from sagan.metrics import formulas
from sagan.metrics.features import Sampled
from sagan.metrics.measures import FUNCTIONS, MEASURED, measures
from sagan.metrics.real_side import RealSide

NAMES = [name for name in FUNCTIONS if name not in ("modes", "mode_kl")]


def normal(count, dim=8, seed=0, mean=0.0):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)) + mean


def real_of(features):
    few = len(features) <= formulas.DENSITY_NEIGHBOURHOOD
    return RealSide(
        record={"real_count": len(features)},
        statistics=formulas.statistics(features),
        features=features,
        train=features,
        train_rows=torch.arange(len(features)),
        held_out={},
        radii=features.new_zeros(0, 2) if few else formulas.radii(features),
    )


def made(features):
    return Sampled({"features": features, "logits": features})


def test_equal_features_everywhere_have_no_figure():
    found = measures(NAMES, made(torch.ones(40, 8)), real_of(torch.ones(50, 8)))
    assert {(entry.value, entry.status) for entry in found.values()} == {
        (None, "the feature space tells no two real images apart")
    }


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_images_on_either_side_have_no_neighbourhood(count):
    for generated, real, which in ((40, count, "real"), (count, 40, "generated")):
        real_side = real_of(normal(max(real, 2), seed=1)[:real] if real > 1 else torch.tensor([[1.0] * 8, [2.0] * 8]))
        found = measures(NAMES, made(normal(generated)), real_side)
        for name in ("precision", "recall", "density", "coverage"):
            assert found[name].value is None and f"too few {which} images" in found[name].status, name
        assert all(entry.value is None or np.isfinite(entry.value) for entry in found.values())


def test_the_inception_score_of_five_images_is_none():
    found = measures(["is"], made(normal(5)), real_of(normal(40, seed=1)))["is"]
    assert found.value is None and found.status == "too few images: 5, and each of 10 parts needs one"
    assert measures(["is"], made(normal(10)), real_of(normal(40, seed=1)))["is"].status == MEASURED


@pytest.mark.parametrize("offset", [0.0, 30.0, 1000.0])
def test_kid_is_torch_fidelitys_in_float64_wherever_the_features_lie(offset):
    generated, real = normal(1500, 32, mean=offset), 1.1 * normal(1200, 32, seed=1) + offset + 0.1
    settings = {"kid_subsets": 50, "kid_subset_size": 1000, "rng_seed": 2020, "verbose": False}
    theirs = kid_features_to_metric(generated.double(), real.double(), **settings)
    ours = formulas.kid(generated, real)
    assert ours[0] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-5)
    assert ours[1] == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-4)


def test_neighbourhoods_far_from_the_origin_are_those_near_it():
    generated, real = normal(300), normal(350, seed=1, mean=0.3)
    near, far = (
        formulas.neighbourhoods(generated + shift, real + shift, formulas.radii(real + shift)) for shift in (0, 4096.0)
    )
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(far, name) == pytest.approx(getattr(near, name), abs=0.01), name
    assert formulas.recall(generated, real) == near.recall

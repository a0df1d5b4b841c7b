"""Figures that could not mean anything are none, and say why."""

import numpy as np
import pytest
import torch

from sagan.metrics import formulas
from sagan.metrics.features import Sampled
from sagan.metrics.measures import FUNCTIONS, MEASURED, measures
from sagan.metrics.real_side import RealSide
from tests.metrics.test_metrics_formulas import gaussian

NAMES = [name for name in FUNCTIONS if name not in ("modes", "mode_kl")]


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
        real_side = real_of(gaussian(max(real, 2), seed=1)[:real] if real > 1 else torch.tensor([[1.0] * 8, [2.0] * 8]))
        found = measures(NAMES, made(gaussian(generated)), real_side)
        for name in ("precision", "recall", "density", "coverage"):
            assert found[name].value is None and f"too few {which} images" in found[name].status, name
        assert all(entry.value is None or np.isfinite(entry.value) for entry in found.values())


def test_the_inception_score_of_five_images_is_none():
    found = measures(["is"], made(gaussian(5)), real_of(gaussian(40, seed=1)))["is"]
    assert found.value is None and found.status == "too few images: 5, and each of 10 parts needs one"
    assert measures(["is"], made(gaussian(10)), real_of(gaussian(40, seed=1)))["is"].status == MEASURED

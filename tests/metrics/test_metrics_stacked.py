"""Modes of stacked digits: the classifier reads each channel by itself, and the figures are those of loops."""

import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sagan.metrics.features import Sampled
from sagan.metrics.measures import MEASURED, measures
from sagan.metrics.networks import modes_of
from sagan.metrics.table import applicable
from tests.metrics.conftest import PARAMS, World

DATASET = "stacks: {kind: stacked-mnist, stacks: 1200, held_out: 450}"
# The small suite on stacks of digits.
STACKS = (
    PARAMS.replace("strokes: {kind: mnist, resolution: 28, source: nowhere}", DATASET)
    .replace("dataset: strokes", "dataset: stacks")
    .replace("extractor: classifier", "extractor: stacked-digits")
    .replace("samples: 600, curve_samples: 300", "samples: 500, curve_samples: 400")
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"), STACKS).make()


@pytest.fixture
def extractor(world):
    return world.extractor()


def test_each_channel_is_read_by_itself(world, extractor):
    images = torch.from_numpy(world.dataset.split("test")[0][:6].copy())
    found = extractor(images)
    assert found["features"].shape == (6, 384) and found["digits"].shape == (6, 3, 10)
    swapped = extractor(images[:, [2, 1, 0]])
    torch.testing.assert_close(swapped["digits"], found["digits"].flip(1))
    torch.testing.assert_close(swapped["features"], found["features"].unflatten(1, (3, 128)).flip(1).flatten(1))
    changed = images.clone()
    changed[:, 1] = 0
    others = extractor(changed)["digits"] - found["digits"]
    assert others[:, 1].abs().sum() > 0 and others[:, [0, 2]].abs().max() < 1e-5


def test_held_out_stacks_are_found_by_their_digits(world, extractor):
    images, labels = world.dataset.split("test")
    modes = modes_of(extractor(torch.from_numpy(images.copy()))["digits"])
    digits = [(modes // place % 10, torch.from_numpy(labels.copy()) // place % 10) for place in (100, 10, 1)]
    right = np.mean([float((found == asked).float().mean()) for found, asked in digits])
    assert right > 0.99 and world.reference_record["accuracy"] is None
    assert float((modes == torch.from_numpy(labels.copy())).float().mean()) > 0.5


def made(modes):
    """Images whose digits make these modes, as an extractor would see them."""
    digits = torch.tensor([[m // 100, m // 10 % 10, m % 10] for m in modes])
    features = torch.randn(len(modes), 4, generator=torch.Generator().manual_seed(0))
    return Sampled({"features": features, "digits": torch.nn.functional.one_hot(digits, 10).float()})


def real_of(counts):
    return SimpleNamespace(record={"class_counts": counts}, features=torch.eye(4))


def test_modes_and_their_divergence_against_loops():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(1000, 3.0))
    counts = (shares * 1e6).astype(int) + 1
    drawn = rng.choice(np.arange(0, 1000, 7), 3000).tolist()
    found = measures(["modes", "mode_kl"], made(drawn), real_of(counts.tolist()))
    seen, total = Counter(drawn), int(counts.sum())
    kl = sum(n / 3000 * math.log((n / 3000) / (int(counts[mode]) / total)) for mode, n in seen.items())
    assert (found["modes"].value, found["modes"].status) == (len(seen), MEASURED)
    assert found["mode_kl"].value == pytest.approx(kl, rel=1e-9)
    assert found["mode_kl"].facts == {"modes": 1000, "floor": 999 / 6000}


def test_perfect_images_reach_the_floor_and_no_less():
    rng, counts = np.random.default_rng(1), [128] * 1000
    found = [measures(["mode_kl"], made(rng.integers(0, 1000, 26_000)), real_of(counts))["mode_kl"] for _ in range(3)]
    floor = found[0].facts["floor"]
    assert floor == pytest.approx(0.0192, abs=1e-4)
    assert np.mean([each.value for each in found]) == pytest.approx(floor, rel=0.1)


def test_one_image_over_and_over_is_one_mode_and_the_largest_divergence():
    found = measures(["modes", "mode_kl"], made([417] * 500), real_of([128] * 1000))
    assert found["modes"].value == 1 and found["mode_kl"].value == pytest.approx(math.log(1000))


def test_a_mode_without_a_real_image_withholds_the_divergence_alone():
    found = measures(["modes", "mode_kl"], made([1, 2, 3]), real_of([0, 0] + [1] * 998))
    assert found["modes"].value == 3
    assert found["mode_kl"].value is None and "2 modes have no real image" in found["mode_kl"].status


def test_only_what_applies_is_measured(world):
    names = applicable("stacked-digits")
    assert set(world.record["metrics"]) == set(names)
    assert set(world.reference_record["other_split"]["metrics"]) == set(names)
    modes = world.record["metrics"]["modes"]
    assert modes["name"] == "modes500_train.stacked-digits" and modes["protocol"]["modes"] == 1000
    assert 1 <= modes["value"] <= 500
    counts = np.bincount(world.dataset.split("train")[1], minlength=1000)
    assert world.reference_record["class_counts"] == counts.tolist()
    assert world.record["metrics"]["fid"]["protocol"]["feature_dim"] == 384
    real_modes = world.reference_record["other_split"]["metrics"]["modes"]["value"]
    assert 250 < real_modes <= 450 and real_modes > modes["value"]

"""Metric values against other implementations, formulas and known answers."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from sagan.metrics import formulas
from sagan.metrics.features import Sampled, to_uint8
from sagan.metrics.measures import FUNCTIONS, MEASURED, RealSide, measures


def gaussian(count, dim=8, seed=0, mean=0.0):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)) + mean


def neighbours(generated, real):
    return formulas.neighbourhoods(generated, real, formulas.radii(real))


def fid_of(generated, real):
    return formulas.fid(formulas.statistics(generated), formulas.statistics(real))


def test_fid_of_two_gaussians_by_formula():
    """Equal directions, standard deviations s and t: |mu|^2 + D (s - t)^2, as the paper's formula has it."""
    dim, eye = 6, np.eye(6)
    real = {"mu": np.zeros(dim), "sigma": 4.0 * eye}
    moved = {"mu": np.full(dim, 0.5), "sigma": 9.0 * eye}
    assert formulas.fid(moved, real) == pytest.approx(dim * 0.25 + dim * 1.0)


def test_a_set_against_itself():
    features = gaussian(400)
    assert fid_of(features, features) == pytest.approx(0, abs=1e-9)
    assert formulas.kid(features, features)[0] < 0  # unbiased: an image is not paired with itself
    found = neighbours(features, features)
    assert (found.precision, found.recall, found.coverage) == (1.0, 1.0, 1.0)
    assert found.density == pytest.approx(1.0, abs=0.2)
    assert formulas.nearest(features, features)[0].max() == 0


def test_more_noise_is_farther(measured):
    """The same images under growing noise, through extractor and metric: FID and KID grow, coverage falls."""
    images = measured.dataset.split("test")[0]
    clean = measured.features(images)["features"]
    noise = np.random.default_rng(0).normal(size=images.shape)
    fids, kids, coverages = [], [], []
    for level in (5, 20, 60, 120):
        noisy = (images + level * noise).clip(0, 255).astype(np.uint8)
        features = measured.features(noisy)["features"]
        fids.append(fid_of(features, clean))
        kids.append(formulas.kid(features, clean)[0])
        coverages.append(neighbours(features, clean).coverage)
    assert fids == sorted(fids) and kids == sorted(kids) and coverages == sorted(coverages, reverse=True)
    assert fids[-1] > 5 * fids[0]


@pytest.mark.parametrize("offset", [0.0, 30.0, 1000.0])
def test_kid_is_torch_fidelitys_in_float64_wherever_the_features_lie(offset):
    generated, real = gaussian(1500, 32, mean=offset), 1.1 * gaussian(1200, 32, seed=1) + offset + 0.1
    settings = {"kid_subsets": 50, "kid_subset_size": 1000, "rng_seed": 2020, "verbose": False}
    theirs = kid_features_to_metric(generated.double(), real.double(), **settings)
    ours = formulas.kid(generated, real)
    assert ours[0] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-5)
    assert ours[1] == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-4)


def test_neighbourhoods_far_from_the_origin_are_those_near_it():
    generated, real = gaussian(300), gaussian(350, seed=1, mean=0.3)
    near, far = (neighbours(generated + shift, real + shift) for shift in (0, 4096.0))
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(far, name) == pytest.approx(getattr(near, name), abs=0.01), name
    assert formulas.recall(generated, real) == near.recall


def naive(generated, real, k):
    """Everything from one table of distances, by loops."""
    distance = lambda a, b: float((a.double() - b.double()).norm())  # noqa: E731
    radius = [sorted(distance(x, y) for y in real)[k] for x in real]
    radius_generated = [sorted(distance(x, y) for y in generated)[k] for x in generated]
    inside = [[distance(g, r) < radius[j] for j, r in enumerate(real)] for g in generated]
    return {
        "precision": np.mean([any(row) for row in inside]),
        "recall": np.mean([any(distance(r, g) < radius_generated[i] for i, g in enumerate(generated)) for r in real]),
        "density": sum(map(sum, inside)) / (k * len(generated)),
        "coverage": np.mean([any(row[j] for row in inside) for j in range(len(real))]),
    }


def test_neighbourhood_metrics_are_those_of_a_naive_implementation(monkeypatch):
    monkeypatch.setattr(formulas, "_BATCH", 7)  # several batches, the last one short
    generated, real = gaussian(40, dim=3, seed=1, mean=0.5), gaussian(50, dim=3, seed=2)
    found, expected = neighbours(generated, real), naive(generated, real, formulas.NEIGHBOURHOOD)
    assert (found.precision, found.recall) == pytest.approx((expected["precision"], expected["recall"]))
    assert formulas.recall(generated, real) == pytest.approx(expected["recall"])
    expected = naive(generated, real, formulas.DENSITY_NEIGHBOURHOOD)
    assert (found.density, found.coverage) == pytest.approx((expected["density"], expected["coverage"]))


def test_dropped_modes_lower_coverage_and_recall_but_not_precision():
    real = torch.cat([gaussian(200, seed=1, mean=-20), gaussian(200, seed=2, mean=20)])
    generated = gaussian(400, seed=3, mean=20)
    found = neighbours(generated, real)
    assert found.precision > 0.8 and found.density > 0.8
    assert found.recall < 0.6 and found.coverage < 0.6


def test_nearest_finds_the_same_rows_as_a_full_sort(monkeypatch):
    monkeypatch.setattr(formulas, "_BATCH", 9)
    queries, bank = gaussian(30, seed=1), gaussian(80, seed=2)
    distances, rows = formulas.nearest(queries, bank, 4)
    full = (queries[:, None] - bank[None]).norm(dim=2).sort(dim=1)
    assert torch.equal(rows, full.indices[:, :4])
    assert torch.allclose(distances, full.values[:, :4])


def test_near_copies_come_in_the_order_of_their_distance():
    """Far from the origin a matrix product cannot tell them apart."""
    bank = 1000 + torch.tensor([[0.3], [0.2], [0.0], [0.1]]) * torch.ones(1, 8)
    bank = torch.cat([bank, gaussian(40)])
    distances, rows = formulas.nearest(bank[[2] * 30], bank, 4)
    assert rows.tolist() == [[2, 3, 1, 0]] * 30
    assert distances[0, 0] == 0 and distances[0, 1] == pytest.approx(0.1 * 8**0.5, rel=1e-2)


def test_extrapolated_fid_is_nearer_to_the_truth_than_fid():
    """Both sides are N(0, 1), the truth is 0, and FID of N samples is too large by a term in 1/N."""
    dim = 32
    real = {"mu": np.zeros(dim), "sigma": np.eye(dim)}
    features = gaussian(2000, dim=dim, seed=4)
    sizes = formulas.extrapolation_sizes(2000, dim)
    plain = formulas.fid(formulas.statistics(features), real)
    extrapolated = formulas.fid_infinity(features, real, sizes)
    assert len(sizes) == formulas.EXTRAPOLATION_POINTS and sizes[-1] == 2000
    assert plain > 0.1 and abs(extrapolated) < plain / 3


@pytest.mark.parametrize(("count", "dim", "smallest"), [(4000, 128, 800), (10_000, 2048, 4096), (8191, 2048, None)])
def test_too_few_images_are_not_extrapolated(count, dim, smallest):
    sizes = formulas.extrapolation_sizes(count, dim)
    assert (sizes[0] if sizes else None) == smallest


def test_images_become_the_bytes_that_a_picture_would_hold():
    exact = torch.arange(256) / 127.5 - 1
    assert torch.equal(to_uint8(exact), torch.arange(256, dtype=torch.uint8))
    assert to_uint8(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]
    # Rounded, not cut off: 0.6 of a step above 100 is 101.
    assert to_uint8(torch.tensor([100.6 / 127.5 - 1, 100.4 / 127.5 - 1])).tolist() == [101, 100]


# --- figures that could not mean anything are none, and say why ---------------------------------------

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

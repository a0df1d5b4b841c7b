"""Collapse is read off the curve: when it began, why, and not where a training merely begins low."""

import pytest
import torch

from sagan.metrics.features import Deviation, deviation_of_images
from sagan.metrics.figures import collapse
from tests.metrics.conftest import change_tensors, make_constant, make_nan

SAME, FEW = "almost no variance", "recall near 0"
# Diversity and recall at steps 0, 100, ...; when collapse began, and why.
CURVES = {
    "low at first": ([(0.2, 0.0), (0.7, 0.0003), (0.9, 0.4)], None, None),
    "lower for once": ([(0.6, 0.0), (0.4, 0.0), (0.8, 0.04)], None, None),
    "poor to the end; nothing fell": ([(0.6, 0.0), (0.6, 0.0)], None, None),
    "the same images to the end": ([(0.2, 0.0), (0.8, 0.3), (0.03, 0.0), (0.0, 0.0)], 200, SAME),
    "the same images throughout": ([(0.02, 0.0), (0.02, 0.0)], 0, SAME),
    # They differ from each other, so that only recall tells.
    "a few images over and over": ([(0.2, 0.0), (0.9, 0.4), (0.9, 0.0003), (0.95, 0.0)], 200, FEW),
    "recovered": ([(0.2, 0.0), (0.9, 0.4), (0.01, 0.0), (0.8, 0.2)], None, None),
    "recovered, then not": ([(0.9, 0.4), (0.01, 0.0), (0.8, 0.2), (0.01, 0.0)], 300, SAME),
    "unknown": ([(0.9, 0.4), (None, None)], None, None),
    "no curve": ([], None, None),
}


@pytest.mark.parametrize(("points", "began", "why"), CURVES.values(), ids=CURVES)
def test_it_began_where_the_curve_fell_for_good(points, began, why):
    found = collapse([{"step": 100 * i, "diversity": d, "recall": r} for i, (d, r) in enumerate(points)])
    assert (found["began"], found["why"]) == (began, why)


def test_deviation_is_that_of_each_pixel_over_images(measured):
    images = measured.dataset.split("train")[0]
    expected = images.astype(float).std(axis=0).mean()
    assert deviation_of_images(images) == pytest.approx(expected, rel=1e-9)
    assert measured.reference_record["pixel_deviation"] == pytest.approx(expected, rel=1e-9)
    same = Deviation()
    same.add(torch.full((70, 1, 4, 4), 9, dtype=torch.uint8))
    assert same.value() == 0


@pytest.mark.parametrize(("from_snapshot", "step"), [(0, 0), (1, 3), (2, 6)])
def test_a_generator_that_becomes_constant_has_collapsed_from_that_step(unmeasured, from_snapshot, step):
    snapshots = sorted((unmeasured.run_folder / "snapshots").iterdir())
    for path in snapshots[from_snapshot:]:
        change_tensors(path, make_constant)
    record = unmeasured.evaluate()
    assert (record["collapse"]["began"], record["collapse"]["why"]) == (step, "almost no variance")
    assert record["curve"][-1]["diversity"] == 0 and record["curve"][-1]["recall"] == 0
    assert [point["diversity"] > 0 for point in record["curve"]].count(True) == from_snapshot


def test_snapshots_that_are_not_finite_have_neither(unmeasured):
    for name in ("000003", "000006"):
        change_tensors(unmeasured.run_folder / "snapshots" / f"{name}.safetensors", make_nan)
    record = unmeasured.evaluate()
    for name in ("recall", "diversity"):
        assert [point[name] is None for point in record["curve"]] == [False, True, True]
    assert record["collapse"]["began"] is None

"""Collapse is read off the curve: when it began, why, and not where a training merely begins low."""

import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch_fidelity.metric_prc import prc_features_to_metric

from sagan.metrics import formulas
from sagan.metrics.collapse import collapse
from sagan.metrics.evaluate import evaluate
from sagan.metrics.features import Deviation, deviation_of_images


def curve(*points):
    return [{"step": 100 * i, "diversity": d, "recall": r} for i, (d, r) in enumerate(points)]


def began(*points):
    found = collapse(curve(*points))
    return found["began"], found["why"]


def test_a_training_that_begins_low_has_not_collapsed():
    assert began((0.2, 0.0), (0.7, 0.0003), (0.9, 0.4)) == (None, None)
    assert began((0.6, 0.0), (0.4, 0.0), (0.8, 0.04)) == (None, None)
    assert began((0.6, 0.0), (0.6, 0.0)) == (None, None)  # poor to the end; nothing fell


def test_it_began_where_the_images_became_the_same_to_the_end():
    assert began((0.2, 0.0), (0.8, 0.3), (0.03, 0.0), (0.0, 0.0)) == (200, "almost no variance")
    assert began((0.02, 0.0), (0.02, 0.0)) == (0, "almost no variance")


def test_a_few_images_over_and_over_are_a_collapse_too():
    """They differ from each other, so that only recall tells."""
    assert began((0.2, 0.0), (0.9, 0.4), (0.9, 0.0003), (0.95, 0.0)) == (200, "recall near 0")


def test_what_recovers_has_not_collapsed():
    assert began((0.2, 0.0), (0.9, 0.4), (0.01, 0.0), (0.8, 0.2)) == (None, None)
    assert began((0.9, 0.4), (0.01, 0.0), (0.8, 0.2), (0.01, 0.0)) == (300, "almost no variance")


def test_unknown_values_say_nothing():
    assert began((0.9, 0.4), (None, None)) == (None, None)
    assert collapse([])["began"] is None


def test_the_thresholds_stand_in_the_record(measured):
    assert measured.record["collapse"] == {
        "began": None,
        "why": None,
        "diversity_below": 0.1,
        "recall_below": 0.01,
        "recall_once": 0.1,
    }


def test_deviation_is_that_of_each_pixel_over_images(measured):
    images = measured.dataset.split("train")[0]
    expected = images.astype(float).std(axis=0).mean()
    assert deviation_of_images(images) == pytest.approx(expected, rel=1e-9)
    assert measured.reference_record["pixel_deviation"] == pytest.approx(expected, rel=1e-9)
    same = Deviation()
    same.add(torch.full((70, 1, 4, 4), 9, dtype=torch.uint8))
    assert same.value() == 0


def test_recall_of_the_curve_is_torch_fidelitys(monkeypatch):
    monkeypatch.setattr(formulas, "_BATCH", 7)
    generator = torch.Generator().manual_seed(0)
    generated, real = (torch.randn(n, 4, generator=generator) * s for n, s in ((60, 0.6), (80, 1.0)))
    found = formulas.recall(generated, real)
    assert (
        found == pytest.approx(prc_features_to_metric(generated, real, prc_neighborhood=3, verbose=False)["recall"])
        and 0.1 < found < 0.9
    )


def make_constant(path):
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    state = load_file(path)
    for name, value in state.items():
        if "weight" in name:
            value.zero_()
    save_file(state, path, metadata)


def test_points_of_the_curve_tell_of_diversity_and_recall(measured):
    for point in measured.record["curve"]:
        assert 0 < point["diversity"] < 2 and 0 <= point["recall"] <= 1


@pytest.mark.parametrize(("from_snapshot", "step"), [(0, 0), (1, 3), (2, 6)])
def test_a_generator_that_becomes_constant_has_collapsed_from_that_step(unmeasured, from_snapshot, step):
    snapshots = sorted((unmeasured.paths.run(unmeasured.run.key) / "snapshots").iterdir())
    for path in snapshots[from_snapshot:]:
        make_constant(path)
    record = evaluate(unmeasured.evaluation, unmeasured.paths).content()
    assert (record["collapse"]["began"], record["collapse"]["why"]) == (step, "almost no variance")
    assert record["curve"][-1]["diversity"] == 0 and record["curve"][-1]["recall"] == 0
    assert [point["diversity"] > 0 for point in record["curve"]].count(True) == from_snapshot


def test_snapshots_that_are_not_finite_have_neither(unmeasured):
    path = unmeasured.paths.run(unmeasured.run.key) / "snapshots" / "000003.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    state = {n: torch.full_like(v, np.nan) if v.is_floating_point() else v for n, v in load_file(path).items()}
    save_file(state, path, metadata)
    shutil.copy(path, path.with_name("000006.safetensors"))
    record = evaluate(unmeasured.evaluation, unmeasured.paths).content()
    assert [point["recall"] is None for point in record["curve"]] == [False, True, True]
    assert [point["diversity"] is None for point in record["curve"]] == [False, True, True]
    assert record["collapse"]["began"] is None

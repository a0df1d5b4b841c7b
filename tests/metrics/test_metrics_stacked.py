"""Modes of stacked digits: the classifier reads each channel by itself, and the figures are those of loops."""

import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sagan.data import load, prepare
from sagan.errors import UserError
from sagan.metrics.evaluate import evaluate
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import Sampled
from sagan.metrics.measures import MEASURED, measures
from sagan.metrics.reference import make_reference
from sagan.metrics.stacked_classifier import modes_of
from sagan.metrics.table import applicable
from sagan.params.datasets import StackedMnist
from sagan.params.loading import load_params
from sagan.plan import make_plan
from sagan.store.paths import Paths
from sagan.training.loop import train

PARAMS = """
repro: [small]
datasets:
  stacks: {kind: stacked-mnist, stacks: 1200, held_out: 450}
  digits: {kind: mnist5k}
variants:
  sagan:
    backbone: dcgan
    generator: {z_dim: 8, width: 8, norm: batch}
    discriminator: {width: 8, norm: none, spectral_norm: true}
    init: xavier
    objective: hinge
    optimizer: {lr_g: 1.0e-3, lr_ratio: 2, betas: [0.0, 0.9]}
suites:
  small:
    dataset: stacks
    variants: [sagan]
    baseline: sagan
    seeds: 1
    training: {steps: 4, batch_size: 8, ema: {decay: 0.5, start: 1}, snapshots: 2}
    evaluation: {extractor: stacked-digits, split: train, samples: 500, curve_samples: 400}
    execution: {device: cpu}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A suite on stacks, trained and measured; what the record says."""
    root = tmp_path_factory.mktemp("world")
    paths = Paths(root)
    paths.params.write_text(PARAMS)
    params = load_params(paths.params)
    prepare("stacks", params.datasets["stacks"], paths.prepared("stacks", 28))
    plan = make_plan(params, paths)
    [run], [reference], [evaluation] = (list(s.values()) for s in (plan.runs, plan.references, plan.evaluations))
    data = load(paths.prepared("stacks", 28))
    train(run, data.split("train")[0], paths)
    real = make_reference(reference, data, paths).content()
    record = evaluate(evaluation, paths).content()
    return SimpleNamespace(paths=paths, data=data, reference=reference, evaluation=evaluation, real=real, record=record)


@pytest.fixture
def extractor(world):
    return Extractor("stacked-digits", world.paths.reference(world.reference.key), world.paths, torch.device("cpu"))


def test_each_channel_is_read_by_itself(world, extractor):
    images = torch.from_numpy(world.data.split("test")[0][:6].copy())
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
    images, labels = world.data.split("test")
    modes = modes_of(extractor(torch.from_numpy(images.copy()))["digits"])
    digits = [(modes // place % 10, torch.from_numpy(labels.copy()) // place % 10) for place in (100, 10, 1)]
    right = np.mean([float((found == asked).float().mean()) for found, asked in digits])
    assert right > 0.99 and world.real["accuracy"] is None
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
    assert {"modes", "mode_kl"} <= set(names) and "is" not in names
    assert not {"modes", "mode_kl"} & set(applicable("classifier")) and "is" in applicable("inception")
    assert set(world.record["metrics"]) == set(names)
    assert set(world.real["other_split"]["metrics"]) == set(names)
    modes = world.record["metrics"]["modes"]
    assert modes["name"] == "modes500_train.stacked-digits" and modes["protocol"]["modes"] == 1000
    assert 1 <= modes["value"] <= 500
    assert world.real["class_counts"] == np.bincount(world.data.split("train")[1], minlength=1000).tolist()
    assert world.record["metrics"]["fid"]["protocol"]["feature_dim"] == 384
    real_modes = world.real["other_split"]["metrics"]["modes"]["value"]
    assert 250 < real_modes <= 450 and real_modes > modes["value"]


@pytest.mark.parametrize(
    ("dataset", "extractor", "message"),
    [
        ("stacks", "classifier", "'classifier' does not fit dataset 'stacks'; use 'stacked-digits' or 'inception'"),
        ("stacks", "digits", "'digits' does not fit dataset 'stacks'; use 'stacked-digits' or 'inception'"),
        ("digits", "stacked-digits", "'stacked-digits' does not fit dataset 'digits'; use 'digits' or"),
    ],
)
def test_the_wrong_classifier_is_refused_when_the_file_is_read(tmp_path, dataset, extractor, message):
    text = PARAMS.replace("dataset: stacks", f"dataset: {dataset}")
    (tmp_path / "params.yaml").write_text(text.replace("extractor: stacked-digits", f"extractor: {extractor}"))
    with pytest.raises(UserError, match=rf"suites\.small\.evaluation\.extractor: {message}") as caught:
        load_params(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)


def test_the_stacked_suite_has_the_published_protocols_counts():
    params = load_params()
    suite = params.suites["stacked"]
    assert params.datasets[suite.dataset] == StackedMnist(kind="stacked-mnist") and suite.evaluation.samples == 26_000
    assert params.datasets[suite.dataset].stacks == 128_000 and suite.training.batch_size == 64
    assert {f"{name}-stacked" for name in ("dcgan", "sngan", "sagan", "modern")} == set(suite.variants)

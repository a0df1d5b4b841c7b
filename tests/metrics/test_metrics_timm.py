"""Networks of timm as feature spaces: their own weights, resizing and normalising; what is wrong is one line."""

import hashlib
from unittest.mock import Mock

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config

from sagan.errors import UserError
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import features_of_images
from sagan.metrics.fetching import fetch_weights
from sagan.metrics.reference import make_reference
from sagan.params.loading import load_params
from sagan.plan import make_plan
from sagan.store.paths import Paths
from sagan.store.weights import extractor_digest, weights_lines
from tests.metrics.conftest import PARAMS

NAME = "test_vit.r160_in1k"
SPACE = f"timm:{NAME}"
CPU = torch.device("cpu")


@pytest.fixture
def published(tmp_path):
    """A network with random weights, and paths where they lie as published: with its head of 1,000 classes."""
    torch.manual_seed(0)
    network, paths = timm.create_model("test_vit", num_classes=1000).eval(), Paths(tmp_path)
    file = paths.weights_file(SPACE, tmp_path)
    file.parent.mkdir(parents=True)
    save_file(network.state_dict(), file)
    return network, paths


def test_features_are_those_of_its_own_pipeline_over_pictures(published):
    network, paths = published
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), dtype=np.uint8).repeat(8, 2).repeat(8, 3)
    found = features_of_images(Extractor(SPACE, paths.root, paths, CPU), images, CPU)
    assert set(found) == {"features"} and found["features"].shape == (5, 64)
    transform = create_transform(**resolve_data_config(timm.get_pretrained_cfg(NAME).to_dict()))
    pictures = torch.stack([transform(Image.fromarray(image.transpose(1, 2, 0))) for image in images])
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(pictures), pre_logits=True)
    assert pictures.shape[-1] == 160  # resized as the configuration says
    # PIL rounds what it resizes to bytes.
    assert torch.allclose(found["features"], expected, atol=0.02) and expected.std() > 0.1


def test_a_suite_measures_in_it(measured, published, tmp_path):
    _, paths = published
    text = PARAMS.replace("extractor: classifier", f"extractor: {SPACE}, also: [digits]")
    paths.params.write_text(text)
    (tmp_path / "data" / "prepared").symlink_to(measured.paths.prepared("strokes", 28).parent)
    plan = make_plan(load_params(paths.params), paths)
    assert all(":" not in key for key in (*plan.references, *plan.evaluations))
    reference = next(spec for spec in plan.references.values() if spec.extractor == SPACE)
    record = make_reference(reference, measured.dataset, paths)
    assert record.feature_dim == 64 and record.floor.fid > 0
    assert record.weights_digest == hashlib.sha256(paths.weights_file(SPACE, tmp_path).read_bytes()).hexdigest()


def test_what_is_wrong_is_one_line(published, tmp_path, monkeypatch):
    _, paths = published
    other = "timm:resnet10t"
    with pytest.raises(UserError, match=r"resnet10t\.safetensors: the weights .* fetch them with .*weights timm:resne"):
        extractor_digest(other, paths)
    file = paths.weights_file(other, tmp_path)
    file.write_bytes(paths.weights_file(SPACE, tmp_path).read_bytes())
    wrong = {other: "not the weights of 'resnet10t'", "timm:resnett": "timm has no such network, did you mean"}
    paths.weights_file("timm:resnett", tmp_path).write_bytes(file.read_bytes())
    for space, message in wrong.items():
        with pytest.raises(UserError, match=message) as raised:
            Extractor(space, tmp_path, paths, CPU)
        assert "\n" not in str(raised.value)
    file.write_bytes(b"spoilt")
    with pytest.raises(UserError, match="not the weights of 'resnet10t'"):
        Extractor(other, tmp_path, paths, CPU)
    with pytest.raises(UserError, match="timm has no such network"):
        fetch_weights("timm:resnett.a1_in1k", paths)
    assert any(line.startswith(SPACE) and "unknown origin" in line for line in weights_lines(paths))


def test_it_is_fetched_from_its_hub_with_a_record(published, tmp_path, monkeypatch):
    _, paths = published
    file = paths.weights_file(SPACE, tmp_path)
    assert fetch_weights(SPACE, paths).endswith("there already, of unknown origin")  # brought by hand, and stays
    hub = tmp_path / "hub.safetensors"
    file.rename(hub)
    asked = []
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *place: asked.append(place) or str(hub))
    assert "fetched from" in fetch_weights(SPACE, paths)
    assert asked == [(f"timm/{NAME}", "model.safetensors")] and file.read_bytes() == hub.read_bytes()
    assert "there already" in fetch_weights(SPACE, paths)
    file.write_bytes(b"damaged")
    unreachable = Mock(side_effect=OSError("Name or service not known\nsecond line"))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(UserError, match=r"cannot be fetched \(Name or service not known\).* copy it to") as raised:
        fetch_weights(SPACE, paths)
    assert "\n" not in str(raised.value) and file.read_bytes() == b"damaged"

"""CLIP's feature space: made-up weights in the form that the published file has, and no download behind one's back."""

import hashlib

import numpy as np
import pytest
import torch
from torch import nn
from torch_fidelity.feature_extractor_clip import CLIPVisual

from sagan.errors import UserError
from sagan.metrics import formulas
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import features_of_images
from sagan.store.weights import PUBLISHED, Published, extractor_digest, weights_lines

CLIP = "clip-vit-b-32"
CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::FutureWarning")


class Whole(nn.Module):
    """What the published TorchScript holds, as far as it is read: the image's network and the text's projection."""

    def __init__(self, features, resolution, layers, width, patch):
        super().__init__()
        self.visual = CLIPVisual(features, resolution, layers, width, patch).visual
        self.text_projection = nn.Parameter(torch.zeros(features, features))
        self.logit_scale = nn.Parameter(torch.zeros(()))

    def forward(self, images):
        return self.visual(images) @ self.text_projection * self.logit_scale


def write_weights(paths, features=16, resolution=64, layers=2, width=64, patch=32):
    torch.manual_seed(0)
    whole = Whole(features, resolution, layers, width, patch).eval()
    path = paths.weights_file(CLIP, paths.root)
    path.parent.mkdir(parents=True)
    torch.jit.trace(whole, torch.zeros(1, 3, resolution, resolution)).save(path)
    return path


def test_figures_are_those_of_torch_fidelity(paths, fid_of_torch_fidelity):
    path = write_weights(paths)
    rng = np.random.default_rng(0)
    generated, real = (rng.integers(0, top, (60, 3, 32, 32), dtype=np.uint8) for top in (200, 256))
    theirs = fid_of_torch_fidelity(CLIP, path, "clip", generated, real)
    extractor = Extractor(CLIP, paths.root, paths, CPU)
    ours = [features_of_images(extractor, images, CPU) for images in (generated, real)]
    assert [set(found) for found in ours] == [{"features"}] * 2 and ours[0]["features"].shape == (60, 16)
    fid = formulas.fid(*(formulas.statistics(found["features"]) for found in ours))
    assert fid == pytest.approx(theirs, rel=1e-4) and fid > 0


def test_grey_images_are_grey_colour_images(paths):
    write_weights(paths)
    extractor = Extractor(CLIP, paths.root, paths, CPU)
    grey = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    assert torch.equal(extractor(grey)["features"], extractor(grey.expand(-1, 3, -1, -1))["features"])


@pytest.mark.exhaustive
def test_the_real_architecture_gives_512_features(paths):
    write_weights(paths, features=512, resolution=224, layers=12, width=768, patch=32)
    extractor = Extractor(CLIP, paths.root, paths, CPU)
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 64, 64), dtype=np.uint8)
    features = features_of_images(extractor, images, CPU)["features"]
    assert features.shape == (3, 512) and features.isfinite().all() and features.std(0).min() > 0


def test_weights_that_are_not_there_are_one_line_with_the_way_to_get_them(paths):
    with pytest.raises(UserError, match=r"clip-vit-b-32\.pth: the weights .*sagan weights clip-vit-b-32") as raised:
        extractor_digest(CLIP, paths)
    assert "\n" not in str(raised.value)
    assert any(line.startswith(CLIP) and "not there" in line for line in weights_lines(paths))


def test_the_list_tells_whether_the_file_is_the_published_one(paths, monkeypatch):
    path = write_weights(paths)
    assert any(line.startswith(CLIP) and "of unknown origin" in line for line in weights_lines(paths))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert extractor_digest(CLIP, paths) == digest
    monkeypatch.setitem(PUBLISHED, CLIP, Published("https://somewhere", digest))
    assert any("as published" in line and "but IS" in line for line in weights_lines(paths))


@pytest.mark.parametrize("content", [b"<html>not found</html>", None])
def test_another_file_in_its_place_is_one_line(paths, content):
    path = paths.weights_file(CLIP, paths.root)
    path.parent.mkdir(parents=True)
    if content is None:
        torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(path)
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"not the file of .* as it is published") as raised:
        Extractor(CLIP, paths.root, paths, CPU)
    assert "\n" not in str(raised.value)


def test_the_paths_of_the_spaces_differ(paths):
    files = {paths.weights_file(kind, paths.root) for kind in ("classifier", *PUBLISHED)}
    assert len(files) == 1 + len(PUBLISHED)

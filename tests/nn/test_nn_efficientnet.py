"""EfficientNet-Lite0 is the published network."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from sagan.nn.efficientnet import Lite0, load_lite0
from sagan.store.paths import Paths

ROOT = Path(__file__).parents[2]
FETCHED = Paths(ROOT).weights_file("efficientnet-lite0", ROOT)
MILITARY_UNIFORM = 652  # of ImageNet's classes


def test_it_has_the_published_size_and_takes_grey_and_small_images():
    network = Lite0().eval()
    # 4.7 million in all, as published, with the layer of classes that is left out.
    assert sum(parameter.numel() for parameter in network.parameters()) + 1281 * 1000 == 4_652_008
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 1280)


@pytest.mark.skipif(not FETCHED.exists(), reason="`python -m sagan weights efficientnet-lite0` fetches the weights")
def test_it_knows_what_grace_hopper_wears():
    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB").crop((0, 0, 512, 512)).resize((224, 224), Image.Resampling.BICUBIC))
    images = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    weights = torch.load(FETCHED, weights_only=True)
    with torch.no_grad():
        features = load_lite0(FETCHED).eval()(images)
    assert int((features @ weights["_fc.weight"].T + weights["_fc.bias"]).argmax()) == MILITARY_UNIFORM

"""What the explorer's page is made of, how large it gets, and what it leaves out."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sagan.metrics.attention import layer_maps
from sagan.metrics.pictures import EXPLORABLE_IMAGES, save_explorable
from sagan.params.variants import GeneratorSwitches
from sagan.report.charts import typical_run
from sagan.report.explorer import render_explorer
from tests.report.conftest import found
from tests.report.explorable import SEED, Attending, add_large_layer, random_images, render

FORMS = [form for form in get_args(GeneratorSwitches.model_fields["attention"].annotation) if form != "residual"]


@pytest.mark.parametrize("form", FORMS)
def test_stored_factors_give_the_networks_own_maps(tmp_path, form):
    torch.manual_seed(0)
    network, images = Attending(14, form), random_images(EXPLORABLE_IMAGES + 3)
    save_explorable(network, "generator", images / 127.5 - 1, images, tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.name == "generator-14.safetensors"
    tensors = load_file(file)
    assert torch.equal(tensors["images"], images[:EXPLORABLE_IMAGES])
    maps = layer_maps(network, images / 127.5 - 1)[0].maps[:EXPLORABLE_IMAGES]
    again = (tensors["queries"].float() @ tensors["keys"].float().transpose(1, 2)).softmax(2)
    assert again.shape == maps.shape
    assert maps.max() > 3 * maps.mean()
    torch.testing.assert_close(again, maps, atol=1e-4, rtol=0.02)


def test_no_file_without_attention(tmp_path):
    save_explorable(nn.Conv2d(1, 1, 1), "generator", torch.zeros(1, 1, 2, 2), random_images(1), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_page_is_one_small_file_and_the_same_every_time(explorable):
    page = render(explorable)
    assert page == explorable.paths.pages("few") / "explorer.html"
    first = page.read_bytes()
    assert len(first) < 5_000_000
    assert render(explorable).read_bytes() == first
    text = first.decode()
    assert "Left out" not in text
    assert not [word for word in ("http://", "https://", "@import", "<link") if word in text]


def test_nothing_is_written_where_nothing_attends(explorable, make_library, tmp_path):
    bare = make_library(tmp_path / "bare", ["few"], pictures=False)
    assert render(bare) is None
    assert not bare.paths.report("few").exists()
    page = render(explorable)
    for file in explorable.paths.root.rglob("attention/*.safetensors"):
        file.unlink()
    assert render(explorable) is None
    assert not page.exists()


@pytest.mark.parametrize(
    ("dim", "said"), [(128, "all but 6 of 8 pictures of each run."), (640, "all but 1 of 8 pictures")]
)
def test_page_stays_small_and_says_what_it_leaves_out(explorable, dim, said):
    add_large_layer(explorable, "few", "sagan", SEED, dim)
    page = render(explorable)
    assert 1_500_000 < page.stat().st_size < 5_000_000
    assert said in page.read_text()


def test_the_baseline_is_left_out_last(make_library, tmp_path):
    library = make_library(tmp_path, ["made-up"], pictures=False)
    analysis = found(library, "made-up")
    for variant in ("sn-d-only", "sagan", "ttur-1"):
        add_large_layer(library, "made-up", variant, typical_run(analysis, variant)["seed"], 640)
    design = analysis.design.model_copy(update={"baseline": "ttur-1"})
    report = analysis.report.model_copy(update={"design": design})
    page = render_explorer(replace(analysis, report=report), library.paths)
    assert page.stat().st_size < 5_000_000
    assert ", variant sagan, variant sn-d-only." in page.read_text()

"""A generator in users' hands: loading, drawing, truncation, classes, export."""

import importlib.util
import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from sagan import load_generator
from sagan.errors import UserError
from sagan.generators import generator_of
from sagan.generators.exporting import export_generator
from sagan.generators.sampling import Draw, attention_pictures, samples, truncated, walk, write_samples
from sagan.nn import build_generator
from sagan.nn.reparametrised import folded_state
from sagan.params.run import completed
from sagan.store.paths import Paths
from tests import sagan

torch.set_num_threads(1)


def saved(folder, backbone="dcgan", classes=0, **switches):
    """A file as versions left it that wrote only what is on: spectral norm folded in, the configuration inside."""
    torch.manual_seed(0)
    network = {"width": 8, "spectral_norm": True, "attention_at": [14], "norm": "batch", **switches}
    on = {name: value for name, value in network.items() if value != "none"}
    image = {"channels": 1, "resolution": 28}
    if classes:
        image["classes"] = [f"kind {index}" for index in range(classes)]
    config = {
        "variant": {"backbone": backbone, "generator": {"z_dim": 16, **on}, "init": "xavier"},
        "image": image,
    }
    generator = build_generator(completed(config)).eval()
    for parameter in generator.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    path = folder / "generator.safetensors"
    save_file({k: v.contiguous() for k, v in folded_state(generator).items()}, path, {"config": json.dumps(config)})
    return path, generator


@pytest.fixture
def path(tmp_path):
    return saved(tmp_path)[0]


def test_a_loaded_generator_is_the_one_that_was_saved(tmp_path):
    path, generator = saved(tmp_path, norm="none")
    loaded = load_generator(path)
    switches = loaded.config["variant"]["generator"]
    assert (switches["attention"], switches["norm"], switches["spectral_norm_eps"]) == ("official", "none", 1e-12)
    z = torch.randn(3, loaded.z_dim)
    torch.testing.assert_close(loaded(z), generator(z))
    assert not loaded.training and loaded.config["variant"]["backbone"] == "dcgan"
    assert not any("parametrizations" in name for name in loaded.state_dict())


def test_a_generator_is_found_by_its_runs_key(tmp_path):
    paths, key = Paths(tmp_path), "r1-0.5-s0-0123456789"
    paths.run(key).mkdir(parents=True)
    with pytest.raises(UserError, match=r"its generator\.safetensors is not there"):
        load_generator(key, paths)
    path, generator = saved(paths.run(key))
    z = torch.randn(2, generator.z_dim)
    for source in (key, f"{key}.0123456789", path, path.parent):
        torch.testing.assert_close(load_generator(source, paths)(z), generator(z))
    with pytest.raises(UserError, match=f"^{key[:-1]}0: no such .* did you mean '{key}'"):
        load_generator(f"{key[:-1]}0", paths)


def test_grid_and_single_images_hold_the_same_pixels(path, tmp_path):
    draw = Draw(count=6, columns=3, seed=4)
    (grid,) = write_samples(path, tmp_path / "grid.png", "grid", draw)
    files = write_samples(path, tmp_path / "single", "images", draw)
    assert [file.name for file in files] == [f"{index:05d}.png" for index in range(6)]
    with pytest.raises(UserError, match=r"single: holds 1 other images, such as 00005\.png; name a new folder"):
        write_samples(path, tmp_path / "single", "images", Draw(count=5))
    sheet = np.asarray(Image.open(grid))
    assert sheet.shape == (2 * 30 + 2, 3 * 30 + 2)
    for index, file in enumerate(files):
        row, column = divmod(index, 3)
        cell = sheet[2 + 30 * row : 30 + 30 * row, 2 + 30 * column : 30 + 30 * column]
        assert np.array_equal(cell, np.asarray(Image.open(file)))


def test_a_name_of_another_kind_of_picture_is_refused_and_a_dot_in_a_folder_is_kept(path, tmp_path):
    with pytest.raises(UserError, match=r"x\.jpg: samples are written as PNG; end the name in \.png"):
        write_samples(path, tmp_path / "x.jpg", "grid", Draw(count=1))
    (image,) = write_samples(path, tmp_path / "v1.0", "images", Draw(count=1))
    assert image == tmp_path / "v1.0" / "00000.png" and image.read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "x.jpg").exists()


def test_an_interpolation_walks_from_one_sample_to_another(path):
    generator = load_generator(path)
    walked = samples(generator, "interpolation", Draw(count=8, columns=8))
    ends = samples(generator, "grid", Draw(count=2))
    assert (walked[0].int() - ends[0].int()).abs().max() <= 1 and (walked[-1].int() - ends[1].int()).abs().max() <= 1
    start, end = torch.randn(2, 512)
    lengths = walk(start, end, 9).norm(dim=1)
    assert lengths.min() > 0.9 * min(start.norm(), end.norm())


def test_truncation_is_the_cut_normal_distribution():
    z = torch.randn(200_000)
    cut = truncated(z, 0.5)
    assert cut.abs().max() <= 0.5
    # The variance of N(0, 1) cut off at +-0.5 is 1 - 2 * 0.5 * phi(0.5) / (Phi(0.5) - Phi(-0.5)).
    assert cut.var().item() == pytest.approx(1 - 0.3520653 / 0.3829249, rel=0.02)
    assert (cut[z.argsort()].diff() >= 0).all()
    torch.testing.assert_close(truncated(z, 9.0), z, atol=1e-3, rtol=1e-3)


def test_rows_take_classes_in_turn_and_one_class_can_be_asked_for(tmp_path):
    path, _ = saved(tmp_path, classes=3)
    loaded = load_generator(path)
    z_of = Draw(count=6, columns=2)
    rows = samples(loaded, "grid", z_of)
    for index, name in enumerate(loaded.config["image"]["classes"]):
        one = samples(loaded, "grid", Draw(count=6, columns=2, of_class=name))
        assert torch.equal(rows[2 * index : 2 * index + 2], one[2 * index : 2 * index + 2])
    with pytest.raises(UserError, match="kind 0, kind 1, kind 2"):
        samples(loaded, "grid", Draw(of_class="kind 7"))


@pytest.mark.parametrize(
    ("form", "name", "message"),
    [("heap", "generator.safetensors", "no such form"), ("grid", "none.safetensors", "no such file, folder or run")],
)
def test_mistakes_are_said_in_one_line(tmp_path, form, name, message):
    saved(tmp_path)
    with pytest.raises(UserError, match=message):
        write_samples(tmp_path / name, tmp_path / "out.png", form, Draw())
    with pytest.raises(UserError, match=r"\.onnx or \.pt2"):
        export_generator(tmp_path / "generator.safetensors", tmp_path / "generator.pkl")


EXPORTED = [("dcgan", 0), ("dcgan", 3), ("sngan-resnet", 0), ("biggan", 3), ("progressive", 0)]


@pytest.mark.parametrize("ending", [".pt2", ".onnx"])
@pytest.mark.parametrize(("backbone", "classes"), EXPORTED)
def test_an_export_gives_the_same_images_at_any_batch(tmp_path, backbone, classes, ending):
    path, generator = saved(tmp_path, backbone, classes)
    out, near = tmp_path / f"generator{ending}", {".pt2": 1e-5, ".onnx": 1e-4}[ending]
    z, labels = torch.randn(5, 16), torch.arange(5) % 3
    inputs = {"z": z} | ({"labels": labels} if classes else {})
    if ending == ".pt2":
        assert export_generator(path, out) < near
        images = torch.export.load(out).module()(*inputs.values())
    else:
        onnxruntime = pytest.importorskip("onnxruntime", reason="the optional packages of `onnx`")
        assert export_generator(path, out) < near
        feed = {name: value.numpy() for name, value in inputs.items()}
        images = torch.from_numpy(onnxruntime.InferenceSession(out).run(None, feed)[0])
    torch.testing.assert_close(images, generator(*inputs.values()), atol=near, rtol=10 * near)


@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is not None, reason="the packages are there")
def test_without_the_packages_onnx_says_how_to_get_them(path, tmp_path):
    with pytest.raises(UserError, match=r"pip install '.\[onnx\]'"):
        export_generator(path, tmp_path / "generator.onnx")


@pytest.mark.parametrize("ending", [".pt2", ".onnx"])
def test_exporting_says_where_and_how_near_and_no_more(path, tmp_path, ending):
    if ending == ".onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    out = tmp_path / f"exported{ending}"
    done = sagan("export", path, out)
    assert done.stdout.startswith(f"{out}: differs by at most ") and done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_many_single_images_are_named_by_their_folder(path, tmp_path):
    done = sagan("sample", path, "--as", "images", "--count", 9, "--out", tmp_path / "x")
    assert done.stdout == f"{tmp_path / 'x'}: 9 images\n" and len(list((tmp_path / "x").glob("*.png"))) == 9


def test_attention_pictures_show_each_layer_and_say_where_there_is_none(path, tmp_path):
    (picture,) = attention_pictures(path, tmp_path / "maps", count=2, seed=0)
    assert picture.name == "generator-14.png"
    # Two rows of an image and four query points, each four times 28 pixels, with gaps of two around them.
    assert Image.open(picture).size == (5 * 112 + 6 * 2, 2 * 112 + 3 * 2)
    plain, _ = saved(tmp_path, attention_at=[])
    with pytest.raises(UserError, match="no attention layer"):
        attention_pictures(plain, tmp_path / "maps", count=2, seed=0)


@pytest.mark.parametrize(
    "content",
    [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\n", pickle.dumps({"a": 1}), b"\xff" * 99],
)
def test_another_file_in_a_generators_place_is_one_line(tmp_path, content):
    (tmp_path / "generator.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="not a generator of this project") as refused:
        generator_of(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("metadata", [None, {"config": '{"variant": {}}'}])
def test_tensors_without_a_configuration_are_no_generator(tmp_path, metadata):
    save_file({"a": torch.ones(1)}, tmp_path / "generator.safetensors", metadata)
    with pytest.raises(UserError, match="it holds no configuration that this version can build"):
        generator_of(tmp_path)

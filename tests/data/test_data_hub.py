"""Hugging Face datasets, with the real package and a dataset on disk; no network."""

import io
import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from sagan.data import load, outdated, prepare
from sagan.data.hub import StoredImage
from sagan.data.originals import BadImage
from sagan.errors import UserError
from sagan.params.datasets import HuggingFace


@pytest.fixture
def spec(tmp_path, write, monkeypatch):
    """An imagefolder of 2 classes: 6 images in train, 3 in test."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    for split, count in (("train", 6), ("test", 3)):
        write(*(f"{split}/{('cat', 'dog')[i % 2]}/{i}.png" for i in range(count)))
    return HuggingFace(kind="huggingface", source="source", resolution=32, label="label", revision="main")


def test_splits_images_and_classes_are_taken(tmp_path, spec):
    manifest = prepare("hub", spec, tmp_path / "out", root=tmp_path)
    data = load(tmp_path / "out")
    assert manifest["splits"] == {"train": [0, 6], "test": [6, 9]}
    assert manifest["labels"] == {"kind": "classes", "names": ["cat", "dog"]}
    assert np.bincount(data.split("train")[1]).tolist() == [3, 3] and data.images.shape == (9, 3, 32, 32)
    shutil.copy(tmp_path / "source/test/cat/0.png", tmp_path / "source/test/cat/more.png")
    assert "originals have changed" in outdated("hub", spec, tmp_path / "out", root=tmp_path)
    shutil.rmtree(tmp_path / "source")  # its name is not asked for on the Hub then
    assert prepare("hub", spec, tmp_path / "out", root=tmp_path) == manifest


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image": "picture"}, r"source: no column 'picture' \(there are: image, label\)"),
        ({"source": "nobody/nothing"}, "nobody/nothing: cannot be loaded by datasets"),
    ],
)
def test_what_cannot_be_had_is_named(tmp_path, spec, settings, message):
    with pytest.raises(UserError, match=message):
        prepare("hub", spec.model_copy(update=settings), tmp_path / "out", root=tmp_path)


def test_without_the_package_the_message_says_what_to_install(tmp_path, spec, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match="needs the optional package datasets; pip install datasets"):
        prepare("hub", spec, tmp_path / "out", root=tmp_path)


def test_metadata_that_name_a_file_elsewhere_are_not_followed(tmp_path, spec, write, jpeg):
    """The package itself joins names and folders unchecked."""
    (tmp_path / "secret.png").write_bytes(jpeg(9, size=(40, 40), kind="PNG"))
    shutil.rmtree(tmp_path / "source")
    write(*(f"train/{i}.png" for i in range(3)))
    names = ["0.png", "1.png", "2.png", "../../secret.png"]
    lines = "".join(json.dumps({"file_name": name}) + "\n" for name in names)
    (tmp_path / "source" / "train" / "metadata.jsonl").write_text(lines)
    spec = spec.model_copy(update={"label": None})
    with pytest.raises(UserError, match=r"cannot be loaded by datasets|names a file outside of the dataset"):
        prepare("hub", spec, tmp_path / "out", root=tmp_path, workers=1)


def test_a_cell_that_names_a_file_elsewhere_is_not_read(tmp_path, jpeg):
    (tmp_path / "set").mkdir()
    for name in ("set/inside.jpg", "secret.jpg"):
        (tmp_path / name).write_bytes(jpeg(0))
    paths = [tmp_path / "set" / "inside.jpg", tmp_path / "secret.jpg", tmp_path / "set" / ".." / "secret.jpg", None]
    cells = [{"image": {"bytes": None, "path": path and str(path)}} for path in paths] + [{"image": None}]
    column = [StoredImage("cell", cell["image"], (tmp_path / "set",)) for cell in cells]
    assert Image.open(io.BytesIO(column[0].read())).size == (178, 218)
    for i, reason in ((1, "outside of the dataset"), (2, "outside of the dataset"), (3, "no image"), (4, "no image")):
        with pytest.raises(BadImage, match=reason):
            column[i].read()

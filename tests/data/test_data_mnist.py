from __future__ import annotations

import gzip

import numpy as np
import pytest

from sagan.data import load, prepare
from sagan.errors import UserError
from sagan.params.datasets import Mnist, Mnist5k


def test_mnist5k_is_stratified_complete_and_the_same_every_time(tmp_path):
    spec = Mnist5k(kind="mnist5k", held_out=1000)
    manifest = prepare("digits", spec, tmp_path / "a")
    assert prepare("digits", spec, tmp_path / "b") == manifest
    data = load(tmp_path / "a")
    (train, train_labels), (test, test_labels) = data.split("train"), data.split("test")
    assert train.shape == (4000, 1, 28, 28) and test.shape == (1000, 1, 28, 28)
    assert data.images.dtype == np.uint8 and data.labels.dtype == np.int64 and data.images.max() == 255
    assert np.bincount(test_labels).tolist() == [100] * 10 and np.bincount(train_labels).tolist() == [400] * 10
    assert len({image.tobytes() for image in data.images}) == 5000


def test_mnist5k_spreads_an_uneven_share_over_the_classes(tmp_path):
    prepare("digits", Mnist5k(kind="mnist5k", held_out=103), tmp_path)
    assert np.bincount(load(tmp_path).split("test")[1]).tolist() == [11, 11, 11, 10, 10, 10, 10, 10, 10, 10]


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize("place", [".", "MNIST/raw"])
def test_mnist_reads_idx_files_and_says_that_they_are_stand_ins(tmp_path, write_idx, capsys, gzipped, place):
    images, labels = write_idx(tmp_path / "source" / place, gzipped=gzipped)
    manifest = prepare("mnist", Mnist(kind="mnist", source="source"), tmp_path / "out", root=tmp_path)
    data = load(tmp_path / "out")
    assert np.array_equal(data.images[:, 0], images) and np.array_equal(data.labels, labels)
    assert manifest["splits"] == {"train": [0, 30], "test": [30, 40]}
    assert manifest["original"] is False
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 4 and "train-images-idx3-ubyte" in warnings[0] and "the original has 60,000" in warnings[0]


def test_mnist_at_32_pads_with_black_on_all_sides(tmp_path, write_idx):
    images, _ = write_idx(tmp_path / "source")
    prepare("mnist", Mnist(kind="mnist", source="source", resolution=32), tmp_path / "out", root=tmp_path)
    padded = load(tmp_path / "out").images
    assert padded.shape == (40, 1, 32, 32)
    assert np.array_equal(padded[:, 0, 2:30, 2:30], images)
    assert padded.sum() == images.sum()


def test_a_file_with_the_original_count_must_be_the_original(tmp_path, write_idx):
    write_idx(tmp_path / "source", test=10_000)
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte\.gz: md5 .* the original's is 2646ac"):
        prepare("mnist", Mnist(kind="mnist", source="source"), tmp_path / "out", root=tmp_path)


def test_missing_files_are_named(tmp_path, write_idx):
    write_idx(tmp_path / "source")
    (tmp_path / "source" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(
        UserError,
        match=r"source: 1 of the four MNIST files are missing: t10k-labels-idx1-ubyte .* https://.*download: true",
    ):
        prepare("mnist", Mnist(kind="mnist", source="source"), tmp_path / "out", root=tmp_path)


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
        prepare("mnist", Mnist(kind="mnist", source="source"), tmp_path / "out", root=tmp_path)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_images_and_labels_must_agree_in_number(tmp_path, write_idx):
    write_idx(tmp_path / "source", train=30)
    write_idx(tmp_path / "other", train=31)
    name = "train-labels-idx1-ubyte.gz"
    (tmp_path / "other" / name).rename(tmp_path / "source" / name)
    with pytest.raises(UserError, match="31 labels for 30 images"):
        prepare("mnist", Mnist(kind="mnist", source="source"), tmp_path / "out", root=tmp_path)

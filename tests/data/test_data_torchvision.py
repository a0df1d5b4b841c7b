"""torchvision's real readers and downloaders, with small stand-ins on disk and on a server on loopback."""

import functools
import hashlib
import http.server
import pickle
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from sagan.data import load, outdated, prepare
from sagan.errors import UserError
from sagan.params.datasets import Mnist, Torchvision

torchvision_datasets = pytest.importorskip("torchvision.datasets")
FASHION = Torchvision(kind="torchvision", name="FashionMNIST", source="source")
CIFAR = Torchvision(kind="torchvision", name="CIFAR10", source="source")


@pytest.fixture
def served(tmp_path, write_idx, monkeypatch):
    """Images and labels that the two downloaders will find."""
    images, labels = write_idx(tmp_path / "served")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    files = sorted((tmp_path / "served").iterdir())
    for kind in (torchvision_datasets.MNIST, torchvision_datasets.FashionMNIST):
        monkeypatch.setattr(kind, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        monkeypatch.setattr(kind, "resources", [(f.name, hashlib.md5(f.read_bytes()).hexdigest()) for f in files])
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield images, labels
    server.shutdown()
    server.server_close()


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """Images and labels of six batches of 4, in the original's format, which torchvision takes for the originals."""
    folder = tmp_path / "source" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (24, 3072), dtype=np.uint8), rng.integers(0, 10, 24)
    sums = {}
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]):
        rows = slice(4 * i, 4 * i + 4)
        names = [f"class {c}" for c in range(10)]
        batch = {"labels": labels[rows].tolist(), "data": images[rows], "label_names": names}
        (folder / name).write_bytes(pickle.dumps(batch))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    kind = torchvision_datasets.CIFAR10
    monkeypatch.setattr(kind, "train_list", [[name, sums[name]] for name in list(sums)[:5]])
    monkeypatch.setattr(kind, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": sums["batches.meta"]})
    return images.reshape(-1, 3, 32, 32), labels


def test_cifar_is_read_with_its_splits_and_classes_at_its_own_resolution(tmp_path, cifar):
    images, labels = cifar
    manifest = prepare("cifar", CIFAR, tmp_path / "out", root=tmp_path)
    data = load(tmp_path / "out")
    assert np.array_equal(data.images, images) and np.array_equal(data.labels, labels)
    assert manifest["splits"] == {"train": [0, 20], "test": [20, 24]}
    assert manifest["labels"] == {"kind": "classes", "names": [f"class {c}" for c in range(10)]}
    with pytest.raises(UserError, match="CIFAR10's images have 32 pixels a side"):
        prepare("cifar", CIFAR.model_copy(update={"resolution": 28}), tmp_path / "out", root=tmp_path)


def test_a_batch_that_is_not_the_original_is_refused_unread(tmp_path, cifar):
    """A pickle may name any function to be called: only one of the published md5 is opened."""

    class Touch:
        def __reduce__(self):
            return Path.touch, (tmp_path / "harm",)

    (tmp_path / "source" / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(Touch()))
    with pytest.raises(UserError, match=r"source: torchvision could not read CIFAR10: .*corrupted.*cifar-10-batches-"):
        prepare("cifar", CIFAR, tmp_path / "out", root=tmp_path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(("side", "split"), [(28, None), (32, None), (28, "letters")])
def test_fashion_is_read_and_padded_and_emnist_set_upright(tmp_path, write_idx, side, split):
    folder = tmp_path / "source" / ("EMNIST" if split else "FashionMNIST") / "raw"
    images, labels = write_idx(folder, gzipped=False)
    spec = FASHION.model_copy(update={"resolution": side})
    if split:
        for path in list(folder.iterdir()):
            path.rename(folder / f"emnist-letters-{path.name.replace('t10k', 'test')}")
        images, spec = images.transpose(0, 2, 1), spec.model_copy(update={"name": "EMNIST", "split": split})
    manifest = prepare("fashion", spec, tmp_path / "out", root=tmp_path)
    assert manifest["preparation"] == (3 if split else 2)  # EMNIST's alone are made anew
    margin = (side - 28) // 2
    data = load(tmp_path / "out")
    assert np.array_equal(data.images[:, 0], np.pad(images, ((0, 0), (margin, margin), (margin, margin))))
    assert np.array_equal(data.labels, labels) and manifest["labels"]["names"][9] == ("i" if split else "Ankle boot")


def test_new_files_are_noticed_and_none_are_named_and_fetched_unasked(tmp_path, write_idx, served):
    with pytest.raises(UserError, match=r"source: no file of FashionMNIST \(there is no such folder\)"):
        prepare("fashion", FASHION, tmp_path / "out", root=tmp_path)
    assert not (tmp_path / "source").exists()
    write_idx(tmp_path / "source" / "FashionMNIST" / "raw", gzipped=False)
    prepare("fashion", FASHION, tmp_path / "out", root=tmp_path)
    write_idx(tmp_path / "source" / "FashionMNIST" / "raw", gzipped=False, train=31)
    assert "originals have changed" in outdated("fashion", FASHION, tmp_path / "out", root=tmp_path)


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("spec", [Mnist(kind="mnist", source="source"), FASHION])
def test_missing_files_are_fetched_into_the_source_or_unpacked(tmp_path, served, spec, is_packed):
    images, labels = served
    if is_packed:
        shutil.copytree(tmp_path / "served", tmp_path / "source" / getattr(spec, "name", "MNIST") / "raw")
    spec = spec.model_copy(update={"download": True, "resolution": 28})
    prepare("any", spec, tmp_path / "out", root=tmp_path)
    data = load(tmp_path / "out")
    assert np.array_equal(data.images[:, 0], images) and np.array_equal(data.labels, labels)
    assert list((tmp_path / "source").rglob("t10k-labels-idx1-ubyte.gz"))
    assert outdated("any", spec, tmp_path / "out", root=tmp_path) is None


def test_a_download_that_fails_says_what_to_do(tmp_path, served, monkeypatch):
    monkeypatch.setattr(torchvision_datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(UserError, match=r"source: torchvision could not fetch MNIST: .*; put the files there by hand"):
        prepare("any", Mnist(kind="mnist", source="source", download=True), tmp_path / "out", root=tmp_path)

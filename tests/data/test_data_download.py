"""torchvision's real downloaders against a server on loopback that holds small stand-ins."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading

import numpy as np
import pytest

from sagan.data import load, prepare
from sagan.errors import UserError
from sagan.params.datasets import FashionMnist, Mnist

torchvision_datasets = pytest.importorskip("torchvision.datasets")


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


@pytest.mark.parametrize(("kind", "name"), [(Mnist, "mnist"), (FashionMnist, "fashion-mnist")])
def test_missing_files_are_fetched_into_the_source(tmp_path, served, kind, name):
    images, labels = served
    spec = kind(kind=name, source="source", download=True)
    prepare("any", spec, tmp_path / "out", root=tmp_path)
    data = load(tmp_path / "out")
    assert np.array_equal(data.images[:, 0], images) and np.array_equal(data.labels, labels)
    assert list((tmp_path / "source").rglob("t10k-labels-idx1-ubyte.gz"))


def test_nothing_is_fetched_unasked(tmp_path, served):
    with pytest.raises(UserError, match="four MNIST files are missing"):
        prepare("any", Mnist(kind="mnist", source="source"), tmp_path / "out", root=tmp_path)
    assert not (tmp_path / "source").exists()


def test_a_download_that_fails_says_what_to_do(tmp_path, served, monkeypatch):
    monkeypatch.setattr(torchvision_datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(
        UserError, match=r"source: torchvision could not fetch MNIST \(.*\); put the files there by hand"
    ):
        prepare("any", Mnist(kind="mnist", source="source", download=True), tmp_path / "out", root=tmp_path)

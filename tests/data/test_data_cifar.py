from __future__ import annotations

import io
import os
import pickle
import tarfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from sagan.data import load, prepare
from sagan.errors import UserError
from sagan.params.datasets import Cifar10

SPEC = Cifar10(kind="cifar10", source="source")
NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


class _Python2Pickler(pickle._Pickler):
    """Writes text and bytes as Python 2's str, and NumPy's old module name, as the original files have them."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_python2_str(self, value: str | bytes) -> None:
        data = value.encode() if isinstance(value, str) else value
        self.write(pickle.BINSTRING + len(data).to_bytes(4, "little") + data)

    dispatch[str] = dispatch[bytes] = save_python2_str


def python2_pickle(value: object) -> bytes:
    buffer = io.BytesIO()
    _Python2Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


def write_batches(folder: Path, count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Six batches in the original's format."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6 * count, 3072), dtype=np.uint8)
    labels = rng.integers(0, 10, 6 * count)
    for i, name in enumerate(NAMES):
        rows = slice(i * count, (i + 1) * count)
        batch = {b"batch_label": name.encode(), b"labels": labels[rows].tolist(), b"data": images[rows]}
        (folder / name).write_bytes(python2_pickle(batch))
    return images.reshape(-1, 3, 32, 32), labels


@pytest.mark.parametrize("packed", [True, False])
def test_folder_and_archive_hold_the_same(tmp_path, capsys, packed):
    folder = tmp_path / "source" / "cifar-10-batches-py"
    images, labels = write_batches(folder)
    if packed:
        with tarfile.open(tmp_path / "source" / "cifar-10-python.tar.gz", "w:gz") as archive:
            archive.add(folder, "cifar-10-batches-py")
        folder.rename(tmp_path / "elsewhere")
    manifest = prepare("cifar", SPEC, tmp_path / "out", root=tmp_path)
    data = load(tmp_path / "out")
    assert np.array_equal(data.images, images) and np.array_equal(data.labels, labels)
    assert manifest["splits"] == {"train": [0, 20], "test": [20, 24]} and manifest["original"] is False
    assert manifest["labels"]["names"][:2] == ["airplane", "automobile"]
    assert "data_batch_1 is not the original: 4 images, not 10,000" in capsys.readouterr().err


def test_a_batch_of_the_original_size_must_be_the_original(tmp_path):
    write_batches(tmp_path / "source" / "cifar-10-batches-py", count=10_000)
    with pytest.raises(UserError, match=r"data_batch_1: md5 .* but the original's is c99cafc"):
        prepare("cifar", SPEC, tmp_path / "out", root=tmp_path)


class _Touch:
    """Pickles to a call that makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_calls_something_is_refused_unrun(tmp_path):
    folder = tmp_path / "source" / "cifar-10-batches-py"
    write_batches(folder)
    (folder / "test_batch").write_bytes(pickle.dumps(_Touch(tmp_path / "harm")))
    with pytest.raises(UserError, match=r"test_batch: not a CIFAR-10 batch \(it names (posix|nt)\.mkdir\)"):
        prepare("cifar", SPEC, tmp_path / "out", root=tmp_path)
    assert not (tmp_path / "harm").exists()


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match=r"neither cifar-10-python\.tar\.gz nor cifar-10-batches-py/ .*https://"):
        prepare("cifar", SPEC, tmp_path / "out", root=tmp_path)
    write_batches(tmp_path / "source" / "cifar-10-batches-py")
    (tmp_path / "source" / "cifar-10-batches-py" / "test_batch").unlink()
    with pytest.raises(UserError, match="with test_batch"):
        prepare("cifar", SPEC, tmp_path / "out", root=tmp_path)


def test_a_damaged_archive_is_named(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "cifar-10-python.tar.gz").write_bytes(b"\x1f\x8b" + bytes(50))
    with pytest.raises(UserError, match=r"cifar-10-python\.tar\.gz: damaged archive"):
        prepare("cifar", SPEC, tmp_path / "out", root=tmp_path)

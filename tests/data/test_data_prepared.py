"""What every kind has in common: when a dataset is made again, what is on disk, what importing costs."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from sagan.data import load, pending, prepare
from sagan.errors import UserError
from sagan.params.datasets import Mnist


@pytest.fixture
def spec():
    return Mnist(kind="mnist", source="source")


def test_the_same_dataset_is_not_made_twice(tmp_path, write_idx, spec):
    write_idx(tmp_path / "source")
    first = prepare("mnist", spec, tmp_path / "out", root=tmp_path)
    before = (tmp_path / "out" / "images.npy").stat().st_mtime_ns
    assert prepare("mnist", spec, tmp_path / "out", root=tmp_path) == first
    assert (tmp_path / "out" / "images.npy").stat().st_mtime_ns == before


def test_other_settings_make_it_again(tmp_path, write_idx, spec):
    write_idx(tmp_path / "source")
    first = prepare("mnist", spec, tmp_path / "out", root=tmp_path)
    wider = prepare("mnist", Mnist(kind="mnist", source="source", resolution=32), tmp_path / "out", root=tmp_path)
    assert wider["resolution"] == 32 and load(tmp_path / "out").images.shape[-1] == 32
    assert wider["digest"] != first["digest"]


def test_other_originals_make_it_again(tmp_path, write_idx, spec):
    write_idx(tmp_path / "source")
    first = prepare("mnist", spec, tmp_path / "out", root=tmp_path)
    write_idx(tmp_path / "source", train=60)
    larger = prepare("mnist", spec, tmp_path / "out", root=tmp_path)
    assert larger["count"] == 70 and larger["digest"] != first["digest"]


def test_a_prepared_dataset_stands_without_its_originals(tmp_path, write_idx, spec):
    write_idx(tmp_path / "source")
    first = prepare("mnist", spec, tmp_path / "out", root=tmp_path)
    (tmp_path / "source").rename(tmp_path / "elsewhere")
    assert prepare("mnist", spec, tmp_path / "out", root=tmp_path) == first
    with pytest.raises(UserError, match="missing"):
        prepare("mnist", spec, tmp_path / "new", root=tmp_path)


def test_the_folder_holds_the_dataset_and_nothing_else(tmp_path, write_idx, spec):
    write_idx(tmp_path / "source")
    prepare("mnist", spec, tmp_path / "out", root=tmp_path)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["images.npy", "labels.npy", "manifest.json"]


def test_the_digest_is_over_images_labels_and_splits(tmp_path, write_idx, spec):
    images, labels = write_idx(tmp_path / "source")
    manifest = prepare("mnist", spec, tmp_path / "out", root=tmp_path)
    splits = json.dumps({"test": [30, 40], "train": [0, 30]}, separators=(",", ":"))
    expected = hashlib.sha256(images.tobytes() + labels.astype(np.int64).tobytes() + splits.encode()).hexdigest()
    assert manifest["digest"] == expected


def test_load_maps_the_images_and_names_the_splits(tmp_path, write_idx, spec):
    write_idx(tmp_path / "source")
    prepare("mnist", spec, tmp_path / "out", root=tmp_path)
    data = load(tmp_path / "out")
    assert isinstance(data.images, np.memmap) and not data.images.flags.writeable
    with pytest.raises(UserError, match=r"'mnist' has no split 'valid' \(there are: train, test\)"):
        data.split("valid")


def test_load_refuses_a_folder_without_manifest_and_one_that_was_cut_short(tmp_path, write_idx, spec):
    with pytest.raises(UserError, match="holds no prepared dataset"):
        load(tmp_path)
    write_idx(tmp_path / "source")
    prepare("mnist", spec, tmp_path / "out", root=tmp_path)
    images = tmp_path / "out" / "images.npy"
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged"):
        load(tmp_path / "out")
    np.save(images, np.zeros((39, 1, 28, 28), np.uint8))
    with pytest.raises(UserError, match=r"the arrays do not match manifest\.json"):
        load(tmp_path / "out")


@pytest.mark.parametrize("name", ["images.npy", "labels.npy"])
def test_a_flipped_bit_is_refused_by_whoever_reads_and_prepared_anew(tmp_path, write_idx, spec, name, capsys):
    write_idx(tmp_path / "source")
    folder = tmp_path / "out"
    made = prepare("mnist", spec, folder, root=tmp_path)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=r"out: the arrays have changed .*run `python -m sagan data`"):
        load(folder)
    assert pending("mnist", spec, folder, root=tmp_path).startswith("would be prepared anew, since the arrays have")
    (tmp_path / "source").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"the arrays have changed .* missing"):
        prepare("mnist", spec, folder, root=tmp_path)
    (tmp_path / "elsewhere").rename(tmp_path / "source")
    capsys.readouterr()
    assert prepare("mnist", spec, folder, root=tmp_path) == made
    assert "out: prepared anew, since the arrays have changed" in capsys.readouterr().err
    load(folder)


def test_importing_the_room_is_light():
    heavy = {"torch", "torchvision", "mlxtend", "pandas", "rich"}
    code = f"import sys, sagan.data; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

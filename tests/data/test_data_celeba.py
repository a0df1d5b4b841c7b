from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sagan.data import load, prepare
from sagan.errors import UserError
from sagan.params.datasets import CelebA

SPEC = CelebA(kind="celeba", source="source", resolution=32)


@pytest.mark.parametrize(("layout", "gzipped"), [("folder", False), ("zip", True), ("parts", True)])
def test_every_layout_gives_the_official_splits_and_attributes(tmp_path, write_celeba, jpeg, layout, gzipped):
    write_celeba(tmp_path / "source", layout, gzipped)
    manifest = prepare("faces", SPEC, tmp_path / "out", root=tmp_path)
    data = load(tmp_path / "out")
    assert manifest["splits"] == {"train": [0, 6], "valid": [6, 8], "test": [8, 10]}
    assert (manifest["count"], manifest["present"], manifest["listed"]) == (10, 10, 14)
    assert manifest["labels"] == {"kind": "attributes", "names": [f"Attribute_{i}" for i in range(40)]}
    assert data.labels.dtype == np.uint8 and data.labels.shape == (10, 40)
    # The third row is 000004.jpg, the fourth of the list.
    assert data.labels[2].tolist() == [int((3 + i) % 3 == 0) for i in range(40)]
    original = Image.open(io.BytesIO(jpeg(3)))
    expected = original.crop((0, 20, 178, 198)).resize((32, 32), Image.Resampling.LANCZOS)
    assert np.array_equal(data.images[2].transpose(1, 2, 0), np.asarray(expected))


def test_the_layout_does_not_change_a_byte(tmp_path, write_celeba):
    digests = set()
    for layout in ("folder", "zip", "parts"):
        write_celeba(tmp_path / layout, layout)
        spec = CelebA(kind="celeba", source=layout, resolution=32)
        digests.add(prepare("faces", spec, tmp_path / f"{layout}-out", root=tmp_path)["digest"])
    assert len(digests) == 1


def test_the_source_may_be_the_zip_itself(tmp_path, write_celeba):
    write_celeba(tmp_path / "source", "zip")
    spec = CelebA(kind="celeba", source="source/img_align_celeba.zip", resolution=32)
    assert prepare("faces", spec, tmp_path / "out", root=tmp_path)["count"] == 10


def test_crop_and_filter_are_part_of_the_image(tmp_path, write_celeba, jpeg):
    write_celeba(tmp_path / "source")
    spec = CelebA(kind="celeba", source="source", resolution=64, crop=108, resize="bilinear")
    manifest = prepare("faces", spec, tmp_path / "out", root=tmp_path)
    assert (manifest["crop"], manifest["resize"]) == (108, "bilinear")
    original = Image.open(io.BytesIO(jpeg(0)))
    expected = original.crop((35, 55, 143, 163)).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.array_equal(load(tmp_path / "out").images[0].transpose(1, 2, 0), np.asarray(expected))


def test_lists_that_are_not_the_originals_are_said_to_be_others(tmp_path, write_celeba, capsys):
    write_celeba(tmp_path / "source")
    manifest = prepare("faces", SPEC, tmp_path / "out", root=tmp_path)
    assert manifest["original"] is False
    assert not manifest["originals"]["list_eval_partition.txt"]["original"]
    assert "list_eval_partition.txt is not CelebA's original" in capsys.readouterr().err


def test_what_is_missing_is_named_with_where_to_get_it(tmp_path):
    with pytest.raises(
        UserError, match=r"no img_align_celeba/ .* no list_eval_partition.txt .* no list_attr.* https://"
    ):
        prepare("faces", SPEC, tmp_path / "out", root=tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("list_eval_partition.txt", "000002.jpg 0", "000002.jpg 3", "line 2: '000002.jpg 3'"),
        ("list_eval_partition.txt", "000002.jpg 0", "000001.jpg 0", "line 2: '000001.jpg 0'"),
        ("list_attr_celeba.txt", "000002.jpg -1", "000002.jpg", "line 4: .*must be a new image's name and 40 times"),
        ("list_attr_celeba.txt", "14\n", "15\n", "14 images, and its first line says 15"),
    ],
)
def test_a_malformed_list_is_named_with_its_line(tmp_path, write_celeba, name, old, new, message):
    write_celeba(tmp_path / "source")
    path = tmp_path / "source" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=f"{name}.*{message}"):
        prepare("faces", SPEC, tmp_path / "out", root=tmp_path)


def test_a_split_without_images_is_an_error(tmp_path, write_celeba):
    write_celeba(tmp_path / "source")
    for name in ("000012.jpg", "000013.jpg"):
        (tmp_path / "source" / "img_align_celeba" / name).unlink()
    with pytest.raises(UserError, match="none of its 8 usable images is in the test split"):
        prepare("faces", SPEC, tmp_path / "out", root=tmp_path)


def test_a_zip_may_hold_the_lists_too(tmp_path, write_celeba):
    folder = write_celeba(tmp_path / "made", gzipped=True)
    with zipfile.ZipFile(tmp_path / "celeba.zip", "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, f"celeba/{path.relative_to(folder)}")
    spec = CelebA(kind="celeba", source="celeba.zip", resolution=32)
    assert prepare("faces", spec, tmp_path / "out", root=tmp_path)["count"] == 10


def test_rows_are_ordered_by_split_whatever_the_order_of_the_list(tmp_path, write_celeba):
    folder = write_celeba(tmp_path / "source")
    before = prepare("faces", SPEC, tmp_path / "before", root=tmp_path)
    path = folder / "list_eval_partition.txt"
    path.write_text(path.read_text().replace("000001.jpg 0", "000001.jpg 2"))
    after = prepare("faces", SPEC, tmp_path / "after", root=tmp_path)
    assert before["splits"]["test"] == [8, 10] and after["splits"]["test"] == [7, 10]
    moved = load(tmp_path / "after").split("test")[0][0]
    assert np.array_equal(moved, load(tmp_path / "before").images[0])


def test_the_last_line_of_a_preparation_says_that_it_is_a_part(tmp_path, write_celeba):
    root = Path(__file__).parent.parent.parent
    shutil.copy(root / "params.yaml", tmp_path)
    write_celeba(tmp_path / "originals" / "celeba")
    command = [sys.executable, "-m", "sagan", "data", "--dataset", "celeba64", "--workers", "1"]
    environment = os.environ | {"PYTHONPATH": str(root)}
    said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert ": 10 of 14 listed images, digest " in said.splitlines()[-1]

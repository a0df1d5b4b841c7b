from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sagan.data import load, prepare
from sagan.errors import UserError
from sagan.params.datasets import ImageFolder


def spec(**settings) -> ImageFolder:
    return ImageFolder(**{"kind": "folder", "source": "source", "resolution": 32, **settings})


@pytest.fixture
def write(tmp_path, jpeg):
    """A function that writes images under some names below `source`."""

    def write_images(*names: str, size=(80, 60)) -> None:
        for seed, name in enumerate(names):
            path = tmp_path / "source" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(seed, size=size, kind="PNG" if name.endswith("png") else "JPEG"))

    return write_images


def test_a_flat_folder_is_split_by_name_alone(tmp_path, write):
    write(*(f"{i:05d}.jpg" for i in range(20)))
    manifest = prepare("any", spec(held_out=0.25), tmp_path / "out", root=tmp_path)
    assert manifest["splits"] == {"train": [0, 15], "test": [15, 20]} and manifest["split"] == "0.25 held out"
    assert manifest["labels"] == {"kind": "none", "names": []}
    assert load(tmp_path / "out").labels.tolist() == [0] * 20
    (tmp_path / "source").rename(tmp_path / "moved")
    again = prepare("other", spec(held_out=0.25, source="moved"), tmp_path / "out2", root=tmp_path)
    assert again["digest"] == manifest["digest"]


def test_an_hq_style_folder_is_scaled_without_a_crop(tmp_path, write, jpeg):
    write("00000.png", "00001.png", "00002.png", size=(1024, 1024))
    prepare("hq", spec(resolution=128), tmp_path / "out", root=tmp_path)
    data = load(tmp_path / "out")
    shown = [Image.open(io.BytesIO(jpeg(i, (1024, 1024), kind="PNG"))).resize((128, 128), 1) for i in range(3)]
    expected = {np.asarray(image).transpose(2, 0, 1).tobytes() for image in shown}
    assert {image.tobytes() for image in data.images} == expected


def test_the_largest_centred_square_is_taken_unless_a_crop_is_asked_for(tmp_path, write, jpeg):
    write("a.png", "b.png")
    prepare("any", spec(held_out=0.5), tmp_path / "out", root=tmp_path)
    prepare("any", spec(held_out=0.5, crop=40), tmp_path / "cropped", root=tmp_path)
    originals = [Image.open(io.BytesIO(jpeg(i, (80, 60), kind="PNG"))) for i in range(2)]
    for folder, box in (("out", (10, 0, 70, 60)), ("cropped", (20, 10, 60, 50))):
        expected = {np.asarray(o.crop(box).resize((32, 32), 1)).transpose(2, 0, 1).tobytes() for o in originals}
        assert {image.tobytes() for image in load(tmp_path / folder).images} == expected


@pytest.mark.parametrize("around", ["", "afhq/"])
@pytest.mark.parametrize("held", ["val", "test"])
def test_folders_of_splits_and_classes_are_taken(tmp_path, write, around, held):
    places = ["train/cat/0.jpg", "train/dog/0.jpg", "train/dog/1.jpg", f"{held}/cat/0.jpg", f"{held}/dog/0.jpg"]
    write(*(around + place for place in places))
    manifest = prepare("pets", spec(labels="folders"), tmp_path / "out", root=tmp_path)
    assert manifest["splits"] == {"train": [0, 3], "test": [3, 5]} and manifest["split"] == "folders"
    assert manifest["labels"] == {"kind": "classes", "names": ["cat", "dog"]}
    assert load(tmp_path / "out").labels.tolist() == [0, 1, 1, 0, 1]


def test_three_splits_stay_three(tmp_path, write):
    write("train/0.jpg", "train/1.jpg", "valid/0.jpg", "test/0.jpg")
    manifest = prepare("any", spec(), tmp_path / "out", root=tmp_path)
    assert manifest["splits"] == {"train": [0, 2], "valid": [2, 3], "test": [3, 4]}


@pytest.mark.parametrize("stray", ["stray.jpg", "extra/0.jpg"])
def test_an_image_outside_of_the_split_folders_is_named(tmp_path, write, stray):
    """Were they ordinary folders then, test images would be trained on."""
    write("train/0.jpg", "test/0.jpg", stray)
    with pytest.raises(UserError, match=rf"has folders of splits .*, and {stray} lies in none of them"):
        prepare("any", spec(), tmp_path / "out", root=tmp_path)


def test_a_zip_gives_the_same_bytes_as_the_folder(tmp_path, write):
    write("train/a.jpg", "train/b.jpg", "test/c.jpg")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for path in sorted((tmp_path / "source").rglob("*.jpg")):
            archive.write(path, f"images/{path.relative_to(tmp_path / 'source')}")
        archive.writestr("__MACOSX/images/train/._a.jpg", b"resource fork")
        archive.writestr("images/README.txt", b"about")
    folder = prepare("any", spec(), tmp_path / "out", root=tmp_path)
    zipped = prepare("any", spec(source="images.zip"), tmp_path / "zipped", root=tmp_path)
    assert zipped["digest"] == folder["digest"]


def test_greyscale_folders_have_one_channel(tmp_path, jpeg):
    (tmp_path / "source").mkdir()
    for i in range(3):
        (tmp_path / "source" / f"{i}.jpg").write_bytes(jpeg(i, size=(40, 40), mode="L"))
    manifest = prepare("grey", spec(channels=1), tmp_path / "out", root=tmp_path)
    assert manifest["channels"] == 1 and load(tmp_path / "out").images.shape == (3, 1, 32, 32)
    with pytest.raises(UserError, match=r"greyscale \(L\), not RGB"):
        prepare("grey", spec(), tmp_path / "rgb", root=tmp_path)


def test_an_image_that_would_have_to_be_enlarged_is_refused(tmp_path, write):
    write("a.jpg", "b.jpg")
    with pytest.raises(UserError, match="is 80x60 pixels, smaller than 64"):
        prepare("any", spec(resolution=64), tmp_path / "out", root=tmp_path)
    with pytest.raises(UserError, match="is 80x60 pixels, smaller than 70"):
        prepare("any", spec(crop=70), tmp_path / "out", root=tmp_path)


def test_classes_need_a_folder_for_every_image(tmp_path, write):
    write("cat/0.jpg", "stray.jpg")
    with pytest.raises(UserError, match=r"stray\.jpg lies in no folder of a class"):
        prepare("any", spec(labels="folders"), tmp_path / "out", root=tmp_path)


@pytest.mark.parametrize("there", [True, False])
def test_no_images_is_said_with_what_is_looked_for(tmp_path, there):
    if there:
        (tmp_path / "source").mkdir()
        Path(tmp_path / "source" / "notes.txt").write_text("nothing", encoding="utf-8")
    with pytest.raises(UserError, match=r"source: no such folder or zip, or none with images \(\.jpg"):
        prepare("any", spec(), tmp_path / "out", root=tmp_path)

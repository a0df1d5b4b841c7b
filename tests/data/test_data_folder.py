"""Folders and zips of images: their splits, classes and pictures; what is not read is counted or named."""

import io
import json
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from sagan.data import load, prepare, summary
from sagan.errors import UserError
from sagan.params.datasets import CelebA, HuggingFace, ImageFolder, Torchvision


def prepared(tmp_path, folder="out", **settings):
    spec = ImageFolder(**{"kind": "folder", "source": "source", "resolution": 32, **settings})
    return prepare("any", spec, tmp_path / folder, root=tmp_path)


def test_a_flat_folder_is_split_by_name_alone(tmp_path, write):
    write(*(f"{i:05d}.jpg" for i in range(20)))
    manifest = prepared(tmp_path, held_out=0.25)
    assert manifest["splits"] == {"train": [0, 15], "test": [15, 20]} and manifest["split"] == "0.25 held out"
    assert manifest["labels"] == {"kind": "none", "names": []}
    assert load(tmp_path / "out").labels.tolist() == [0] * 20
    (tmp_path / "source").rename(tmp_path / "moved")
    assert prepared(tmp_path, "again", held_out=0.25, source="moved")["digest"] == manifest["digest"]


# --- pictures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "settings", "box"),
    [
        ((1024, 1024), {"resolution": 128}, (0, 0, 1024, 1024)),
        ((80, 60), {}, (10, 0, 70, 60)),
        ((80, 60), {"crop": 40, "resize": "bilinear"}, (20, 10, 60, 50)),
    ],
)
def test_the_largest_centred_square_is_taken_unless_a_crop_is_asked_for(tmp_path, write, jpeg, size, settings, box):
    write("a.png", "b.png", size=size)
    manifest = prepared(tmp_path, held_out=0.5, **settings)
    originals = [Image.open(io.BytesIO(jpeg(i, size, kind="PNG"))) for i in range(2)]
    shape, scaled = (manifest["resolution"],) * 2, Image.Resampling[manifest["resize"].upper()]
    expected = {np.asarray(o.crop(box).resize(shape, scaled)).transpose(2, 0, 1).tobytes() for o in originals}
    assert {image.tobytes() for image in load(tmp_path / "out").images} == expected


@pytest.mark.parametrize(("settings", "least"), [({"resolution": 64}, 64), ({"crop": 70}, 70)])
def test_an_image_that_would_have_to_be_enlarged_is_refused(tmp_path, write, settings, least):
    write("a.jpg", "b.jpg", size=(80, 60))
    with pytest.raises(UserError, match=f"is 80x60 pixels, smaller than {least}"):
        prepared(tmp_path, **settings)


def test_greyscale_folders_have_one_channel(tmp_path, write):
    write("0.jpg", "1.jpg", "2.jpg", mode="L")
    manifest = prepared(tmp_path, channels=1)
    assert manifest["channels"] == 1 and load(tmp_path / "out").images.shape == (3, 1, 32, 32)


def test_a_picture_that_is_stored_lying_is_turned_as_it_is_seen(tmp_path, write):
    source = write("0.jpg", "1.jpg")
    picture = Image.open(source / "0.jpg")
    exif = Image.Exif()
    exif[0x112] = 6  # to be turned by 90 degrees
    picture.save(source / "0.png", exif=exif)
    (source / "0.jpg").unlink()
    prepared(tmp_path, held_out=0.5)
    turned = np.asarray(picture.transpose(Image.Transpose.ROTATE_270).resize((32, 32), Image.Resampling.LANCZOS))
    assert any(np.array_equal(image.transpose(1, 2, 0), turned) for image in load(tmp_path / "out").images)


@pytest.mark.parametrize("kind", ["png", "webp", "tif"])
def test_a_picture_of_several_frames_is_named(tmp_path, write, kind):
    source = write("0.jpg", "1.jpg")
    frames = [Image.open(source / f"{i}.jpg") for i in range(2)]
    frames[0].save(source / f"moves.{kind}", save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match=rf"moves\.{kind}: has 2 frames or pages, not one"):
        prepared(tmp_path)


# --- splits and classes ---------------------------------------------------------------------------

ALL = ("{train}/cat/0.jpg", "{train}/dog/0.jpg", "{train}/dog/1.jpg", "{test}/cat/0.jpg", "{test}/dog/0.jpg")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        *[("train", "test"), ("train", "val"), ("a/train", "a/val"), ("Train", "Test"), ("TRAIN", "VAL")],
        *[("training", "testing"), ("below", "classes"), ("windows", "zip")],
    ],
)
def test_folders_of_splits_and_classes_are_taken(tmp_path, write, train, test):
    settings = {"labels": "folders"}
    if train == "below":
        write("cat/train/0.jpg", "dog/train/0.jpg", "dog/train/1.jpg", "cat/test/0.jpg", "dog/test/0.jpg")
    elif train == "windows":  # whose zips have backslashes
        source = write(*(name.format(train="train", test="test") for name in ALL))
        settings["source"] = "made.zip"
        with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
            for path in source.rglob("*.jpg"):
                name = path.relative_to(source).as_posix().replace("/", "\\")
                archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
    else:
        write(*(name.format(train=train, test=test) for name in ALL))
    manifest = prepared(tmp_path, **settings)
    assert manifest["splits"] == {"train": [0, 3], "test": [3, 5]} and manifest["split"] == "folders"
    assert manifest["labels"] == {"kind": "classes", "names": ["cat", "dog"]}
    assert load(tmp_path / "out").labels.tolist() == [0, 1, 1, 0, 1]


def test_three_splits_stay_three(tmp_path, write):
    write("train/0.jpg", "train/1.jpg", "valid/0.jpg", "test/0.jpg")
    assert prepared(tmp_path)["splits"] == {"train": [0, 2], "valid": [2, 3], "test": [3, 4]}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        # Were these ordinary folders then, test images would be trained on.
        (("train/0.jpg", "test/0.jpg", "stray.jpg"), r"has folders of splits .*, and stray\.jpg lies in none"),
        (("train/0.jpg", "test/0.jpg", "extra/0.jpg"), r"has folders of splits .*, and extra/0\.jpg lies in none"),
        (("train/Cats/0.jpg", "test/cats/1.jpg"), r"the class '\w+' of one split and '\w+' of another seem to be one"),
        (("train/caf\u00e9/0.jpg", "test/cafe\u0301/1.jpg"), r"the class '\w+.?' of one split and .* seem to be one"),
        (("cat/0.jpg", "stray.jpg"), r"stray\.jpg lies in no folder of a class"),
    ],
)
def test_what_may_not_be_meant_so_is_named(tmp_path, write, names, message):
    write(*names)
    with pytest.raises(UserError, match=message):
        prepared(tmp_path, labels="folders")


@pytest.mark.parametrize("zipped", [False, True])
def test_stylegans_list_names_classes(tmp_path, write, zipped):
    source = write("00000/a.png", "00000/b.png", "00001/c.png")
    settings = {"labels": "dataset.json", "source": "made.zip" if zipped else "source"}
    pairs = [["00000/a.png", 1], ["00000/b.png", 0], ["00001/c.png", 1]]
    for listed, message in (
        (None, r"no dataset\.json"),
        (pairs[:2], r"dataset\.json: does not give each image its class \('00001/c\.png'\)"),
        ([*pairs[:2], ["00001/c.png", 1.5]], "classes are numbers from 0 up"),
        ([[name, [label, 0]] for name, label in pairs], "classes are numbers from 0 up"),
        (pairs, None),
    ):
        if listed:
            (source / "dataset.json").write_text(json.dumps({"labels": listed}))
        shutil.make_archive(str(tmp_path / "made"), "zip", source)
        if message:
            with pytest.raises(UserError, match=message):
                prepared(tmp_path, **settings)
    manifest = prepared(tmp_path, **settings)
    assert manifest["labels"] == {"kind": "classes", "names": ["0", "1"]} and manifest["passed_over"] == {}
    assert sorted(load(tmp_path / "out").labels) == [0, 1, 1]
    (source / "00000" / "dataset.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"does not give each image its class .*recursion"):
        prepared(tmp_path, "nested", source="source/00000", labels="dataset.json")
    # Which of two is meant, no order of files may decide.
    shutil.copy(source / "dataset.json", source / "00000")
    with pytest.raises(UserError, match=r"holds 00000/dataset\.json and dataset\.json; leave one"):
        prepared(tmp_path, labels="dataset.json")


def test_classes_that_differ_in_capitals_within_a_split_are_two(tmp_path, write):
    write("train/A/0.jpg", "train/a/1.jpg", "test/A/2.jpg", "test/a/3.jpg")
    assert prepared(tmp_path, labels="folders")["labels"]["names"] == ["A", "a"]


def test_numbers_sort_by_value(tmp_path, write):
    write(*(f"{i}/{j}.jpg" for i in range(12) for j in range(2)))
    assert prepared(tmp_path, labels="folders")["labels"]["names"] == [*map(str, range(12))]


# --- what is read ---------------------------------------------------------------------------------


def test_a_zip_gives_the_same_bytes_as_the_folder(tmp_path, write):
    source = write("train/a.jpg", "train/b.jpg", "test/c.jpg")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for path in sorted(source.rglob("*.jpg")):
            archive.write(path, f"images/{path.relative_to(source)}")
        archive.writestr("__MACOSX/images/train/._a.jpg", b"resource fork")
    assert prepared(tmp_path, "zipped", source="images.zip")["digest"] == prepared(tmp_path)["digest"]


def test_linked_folders_and_files_are_read(tmp_path, write):
    source = write("train/cats/0.jpg", "test/cats/1.jpg", "test/dogs/2.jpg", "train/cats/3.jpg")
    (tmp_path / "disk").mkdir()
    (source / "train" / "cats" / "3.jpg").rename(tmp_path / "disk" / "3.jpg")
    os.symlink(tmp_path / "disk", source / "train" / "dogs")
    os.symlink(tmp_path / "disk" / "3.jpg", source / "test" / "dogs" / "linked.jpg")
    manifest = prepared(tmp_path, labels="folders")
    assert manifest["splits"] == {"train": [0, 2], "test": [2, 5]} and manifest["passed_over"] == {}


def test_a_source_may_lie_in_the_home_folder(tmp_path, write, monkeypatch):
    write("0.jpg", "1.jpg")
    monkeypatch.setenv("HOME", str(tmp_path))
    spec = ImageFolder(kind="folder", source="~/source", resolution=32)
    assert prepare("any", spec, tmp_path / "out", root=tmp_path / "clone")["count"] == 2
    with pytest.raises(UserError, match="~no-such-user/source: no such folder"):
        prepared(tmp_path, source="~no-such-user/source")


@pytest.mark.parametrize("zipped", [False, True])
def test_files_that_are_no_images_to_read_are_counted(tmp_path, write, zipped):
    source = write("0.jpg", "1.jfif", "2.JPE", "3.gif", "4.GIF", "5.heic", "notes.txt", "LICENSE", ".DS_Store", "a.svg")
    Image.new("RGB", (40, 40)).save(source / "6.avif")
    if zipped:
        shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path, "source")
    manifest = prepared(tmp_path, source="all.zip" if zipped else "source")
    counts = {".gif": 2, ".heic": 1, ".svg": 1, ".txt": 1, "hidden": 1, "without an ending": 1}
    assert manifest["passed_over"] == counts and manifest["count"] == 4
    said = summary(manifest, tmp_path / "out")
    assert "passed over: 2 .gif, 1 .heic, 1 .svg, 1 .txt, 1 hidden, 1 without an ending" in said


def test_what_is_neither_image_nor_folder_of_images_is_counted(tmp_path, write):
    source = write("cats/0.jpg", "dogs/1.jpg", "cats/.ipynb_checkpoints/0-checkpoint.jpg")
    (source / "birds").mkdir()
    os.mkfifo(source / "pipe.jpg")
    os.symlink(source, source / "cats" / "again")
    os.symlink(tmp_path / "nowhere.jpg", source / "dogs" / "2.jpg")
    os.symlink("self.jpg", source / "dogs" / "self.jpg")
    counts = {"broken link": 2, "empty folder": 1, "hidden": 1, "link to a folder around it": 1, "special file": 1}
    assert prepared(tmp_path, labels="folders")["passed_over"] == counts


def test_test_images_that_are_trained_on_are_counted(tmp_path, write):
    source = write("train/0.jpg", "train/1.jpg", "test/2.jpg", "test/3.jpg")
    shutil.copy(source / "train" / "1.jpg", source / "test" / "again.jpg")
    manifest = prepared(tmp_path)
    assert manifest["in_train"] == {"test": 1}
    assert "test: 1 of its pictures are in train too" in summary(manifest, tmp_path / "out")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), r"source: no such folder or zip, or none with images \(\.jpg.*there is no such folder"),
        (("a.heic", "b.gif"), r"none with images .*\(there: a\.heic, b\.gif\)"),
    ],
)
def test_no_images_is_said_with_what_is_looked_for_and_what_is_there(tmp_path, write, names, message):
    write(*names)
    with pytest.raises(UserError, match=message):
        prepared(tmp_path)


@pytest.mark.parametrize("kind", ["folder", "celeba"])
def test_a_tar_is_named_as_what_it_is(tmp_path, write, kind):
    source = write("0.jpg")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(source)
    spec = {"folder": ImageFolder, "celeba": CelebA}[kind](kind=kind, source="a.tar.gz", resolution=32)
    with pytest.raises(UserError, match=r"a\.tar\.gz: only zips are read packed; unpack it"):
        prepare("any", spec, tmp_path / "out", root=tmp_path)


@pytest.mark.parametrize("kind", [ImageFolder, HuggingFace, Torchvision])
def test_a_file_name_that_is_not_utf8_is_named(tmp_path, write, kind):
    source = write("0.jpg", "1.jpg")
    os.rename(source / "1.jpg", os.fsencode(source) + b"/caf\xe9.jpg")
    with pytest.raises(UserError, match=r"the file name 'caf\\udce9\.jpg' is not UTF-8; rename it"):
        spec = kind.model_construct(kind=kind.__annotations__["kind"].__args__[0], source="source")
        prepare("any", spec, tmp_path / "out", root=tmp_path)

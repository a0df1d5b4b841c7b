"""Originals that are nearly right are read, or named; what is not read is counted; changes are noticed."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sagan.data import load, pending, prepare, summary
from sagan.data.hub import StoredImage
from sagan.data.originals import BadImage
from sagan.errors import UserError
from sagan.params.datasets import CelebA, HuggingFace, ImageFolder, Mnist

ROOT = Path(__file__).parent.parent.parent
FACES = CelebA(kind="celeba", source="source", resolution=32)
DIGITS = Mnist(kind="mnist", source="source")


def folder_spec(**settings) -> ImageFolder:
    return ImageFolder(**{"kind": "folder", "source": "source", "resolution": 32, "labels": "folders", **settings})


@pytest.fixture
def write(tmp_path, jpeg):
    """A function that writes images under some names below `source`."""

    def write_images(*names: str) -> Path:
        for seed, name in enumerate(names):
            path = tmp_path / "source" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(seed, size=(40, 40)))
        return tmp_path / "source"

    return write_images


# --- folders ------------------------------------------------------------------------------------


def test_linked_folders_and_files_are_read(tmp_path, write):
    source = write("train/cats/0.jpg", "test/cats/1.jpg", "test/dogs/2.jpg", "train/cats/3.jpg")
    (tmp_path / "disk").mkdir()
    (source / "train" / "cats" / "3.jpg").rename(tmp_path / "disk" / "3.jpg")
    os.symlink(tmp_path / "disk", source / "train" / "dogs")
    os.symlink(tmp_path / "disk" / "3.jpg", source / "test" / "dogs" / "linked.jpg")
    manifest = prepare("pets", folder_spec(), tmp_path / "out", root=tmp_path)
    assert manifest["splits"] == {"train": [0, 2], "test": [2, 5]} and manifest["passed_over"] == {}


def test_a_source_may_lie_in_the_home_folder(tmp_path, write, monkeypatch):
    write("0.jpg", "1.jpg")
    monkeypatch.setenv("HOME", str(tmp_path))
    spec = folder_spec(source="~/source", labels="none")
    assert prepare("any", spec, tmp_path / "out", root=tmp_path / "clone")["count"] == 2


def test_links_that_lead_back_or_nowhere_are_counted(tmp_path, write):
    source = write("cats/0.jpg", "dogs/1.jpg")
    os.symlink(source, source / "cats" / "again")
    os.symlink(tmp_path / "nowhere.jpg", source / "dogs" / "2.jpg")
    os.symlink("self.jpg", source / "dogs" / "self.jpg")
    passed = prepare("pets", folder_spec(), tmp_path / "out", root=tmp_path)["passed_over"]
    assert passed == {"broken link": 2, "link to a folder around it": 1}


@pytest.mark.parametrize(("train", "test"), [("Train", "Test"), ("TRAIN", "VAL"), ("training", "testing")])
def test_split_folders_may_be_named_otherwise(tmp_path, write, train, test):
    write(f"{train}/cats/0.jpg", f"{train}/dogs/1.jpg", f"{test}/cats/2.jpg", f"{test}/dogs/3.jpg")
    manifest = prepare("pets", folder_spec(), tmp_path / "out", root=tmp_path)
    assert manifest["splits"] == {"train": [0, 2], "test": [2, 4]} and manifest["labels"]["names"] == ["cats", "dogs"]


def test_splits_may_lie_below_classes(tmp_path, write):
    write("cats/train/0.jpg", "cats/test/1.jpg", "dogs/train/2.jpg", "dogs/test/3.jpg")
    manifest = prepare("pets", folder_spec(), tmp_path / "out", root=tmp_path)
    assert manifest["splits"] == {"train": [0, 2], "test": [2, 4]} and manifest["labels"]["names"] == ["cats", "dogs"]


@pytest.mark.parametrize(("one", "other"), [("Cats", "cats"), ("caf\u00e9", "cafe\u0301")])
def test_one_class_under_two_names_is_refused(tmp_path, write, one, other):
    write(f"train/{one}/0.jpg", "train/dogs/1.jpg", f"test/{other}/2.jpg", "test/dogs/3.jpg")
    with pytest.raises(UserError, match=r"the class '\w+.?' of one split and '\w+.?' of another seem to be one"):
        prepare("pets", folder_spec(), tmp_path / "out", root=tmp_path)


def test_classes_that_differ_in_capitals_within_a_split_are_two(tmp_path, write):
    write("train/A/0.jpg", "train/a/1.jpg", "test/A/2.jpg", "test/a/3.jpg")
    assert prepare("letters", folder_spec(), tmp_path / "out", root=tmp_path)["labels"]["names"] == ["A", "a"]


def test_numbers_sort_by_value(tmp_path, write):
    write(*(f"{i}/{j}.jpg" for i in range(12) for j in range(2)))
    assert prepare("n", folder_spec(), tmp_path / "out", root=tmp_path)["labels"]["names"] == [*map(str, range(12))]


@pytest.mark.parametrize("zipped", [False, True])
def test_files_that_are_no_images_to_read_are_counted(tmp_path, write, zipped):
    source = write("0.jpg", "1.jfif", "2.JPE", "3.gif", "4.GIF", "5.heic", "notes.txt", "LICENSE", ".DS_Store", "a.svg")
    Image.new("RGB", (40, 40)).save(source / "6.avif")
    if zipped:
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            for path in source.iterdir():
                archive.write(path, f"x/{path.name}")
    spec = folder_spec(labels="none", source="all.zip" if zipped else "source")
    manifest = prepare("any", spec, tmp_path / "out", root=tmp_path)
    counts = {".gif": 2, ".heic": 1, ".svg": 1, ".txt": 1, "hidden": 1, "without an ending": 1}
    assert manifest["passed_over"] == counts and manifest["count"] == 4
    said = summary(manifest, tmp_path / "out")
    assert "passed over: 2 .gif, 1 .heic, 1 .svg, 1 .txt, 1 hidden, 1 without an ending" in said


def test_a_folder_without_images_says_what_is_there(tmp_path, write):
    write("a.heic", "b.gif")
    with pytest.raises(UserError, match=r"none with images .*\(there: a\.heic, b\.gif\)"):
        prepare("any", folder_spec(), tmp_path / "out", root=tmp_path)


def test_a_zip_made_on_windows_keeps_its_folders(tmp_path, jpeg):
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        for i, name in enumerate(("train\\cats\\0.jpg", "train\\dogs\\1.jpg", "test\\cats\\2.jpg")):
            archive.writestr(zipfile.ZipInfo(name), jpeg(i, size=(40, 40)))
    manifest = prepare("pets", folder_spec(source="w.zip"), tmp_path / "out", root=tmp_path)
    assert manifest["splits"] == {"train": [0, 2], "test": [2, 3]} and manifest["labels"]["names"] == ["cats", "dogs"]


@pytest.mark.parametrize("spec", [folder_spec(source="a.tar.gz"), FACES.model_copy(update={"source": "a.tar.gz"})])
def test_a_tar_is_named_as_what_it_is(tmp_path, write, spec):
    source = write("0.jpg")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(source)
    with pytest.raises(UserError, match=r"a\.tar\.gz: only zips are read packed; unpack it"):
        prepare("any", spec, tmp_path / "out", root=tmp_path)


def test_empty_and_hidden_folders_and_special_files_are_counted(tmp_path, write):
    source = write("train/cats/0.jpg", "test/cats/1.jpg", "train/.ipynb_checkpoints/0-checkpoint.jpg")
    (source / "train" / "dogs").mkdir()
    os.mkfifo(source / "pipe.jpg")
    passed = prepare("pets", folder_spec(), tmp_path / "out", root=tmp_path)["passed_over"]
    assert passed == {"empty folder": 1, "hidden": 1, "special file": 1}


def test_a_picture_that_is_stored_lying_is_turned_as_it_is_seen(tmp_path, write):
    source = write("0.jpg", "1.jpg")
    picture = Image.open(source / "0.jpg")
    exif = Image.Exif()
    exif[0x112] = 6  # to be turned by 90 degrees
    picture.save(source / "0.png", exif=exif)
    (source / "0.jpg").unlink()
    prepare("any", folder_spec(labels="none", held_out=0.5), tmp_path / "out", root=tmp_path)
    turned = np.asarray(picture.transpose(Image.Transpose.ROTATE_270).resize((32, 32), Image.Resampling.LANCZOS))
    assert any(np.array_equal(image.transpose(1, 2, 0), turned) for image in load(tmp_path / "out").images)


@pytest.mark.parametrize("kind", ["png", "webp", "tif"])
def test_a_picture_of_several_frames_is_named(tmp_path, write, kind):
    source = write("0.jpg", "1.jpg")
    frames = [Image.open(source / f"{i}.jpg") for i in range(2)]
    frames[0].save(source / f"moves.{kind}", save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match=rf"moves\.{kind}: has 2 frames or pages, not one"):
        prepare("any", folder_spec(labels="none"), tmp_path / "out", root=tmp_path)


def test_a_file_name_that_is_not_utf8_is_named(tmp_path, write):
    source = write("0.jpg", "1.jpg")
    os.rename(source / "1.jpg", os.fsencode(source) + b"/caf\xe9.jpg")
    with pytest.raises(UserError, match=r"the file name 'caf\\udce9\.jpg' is not UTF-8; rename it"):
        prepare("any", folder_spec(labels="none"), tmp_path / "out", root=tmp_path)


def test_test_images_that_are_trained_on_are_counted(tmp_path, write):
    source = write("train/0.jpg", "train/1.jpg", "test/2.jpg", "test/3.jpg")
    shutil.copy(source / "train" / "1.jpg", source / "test" / "again.jpg")
    manifest = prepare("any", folder_spec(labels="none"), tmp_path / "out", root=tmp_path)
    assert manifest["in_train"] == {"test": 1}
    assert "test: 1 of its pictures are in train too" in summary(manifest, tmp_path / "out")


# --- CelebA and MNIST ---------------------------------------------------------------------------


def as_csv(text: str, name: str) -> str:
    lines = [",".join(line.split()) for line in text.splitlines()]
    header = ["image_id,partition"] if "partition" in name else [f"image_id,{lines[1]}"]
    return "\n".join(header + lines[0 if "partition" in name else 2 :]) + "\n"


LISTS = ("list_eval_partition.txt", "list_attr_celeba.txt")


@pytest.mark.parametrize("change", ["csv", "bom", "utf-16", "blank", "crlf", "plain.gz"])
def test_celebas_lists_are_read_in_the_forms_that_are_about(tmp_path, write_celeba, change):
    expected = prepare("faces", FACES, tmp_path / "asis", root=write_celeba(tmp_path / "source").parent)
    for name in LISTS:
        path = tmp_path / "source" / name
        text = path.read_text()
        path.unlink()
        if change == "csv":
            path.with_suffix(".csv").write_text(as_csv(text, name))
        elif change == "plain.gz":  # a browser that unpacked what it fetched
            path.with_name(f"{name}.gz").write_text(text)
        else:
            changed = {"bom": "\ufeff" + text, "utf-16": "\ufeff" + text, "blank": text + "\n \n"}.get(change, text)
            data = changed.encode("utf-16-le" if change == "utf-16" else "utf-8")
            path.write_bytes(data.replace(b"\n", b"\r\n") if change == "crlf" else data)
    assert prepare("faces", FACES, tmp_path / "out", root=tmp_path)["digest"] == expected["digest"]


def test_a_zip_with_csv_lists_is_read(tmp_path, write_celeba):
    """A common copy: images twice as deep, lists as CSV."""
    source = write_celeba(tmp_path / "source")
    expected = prepare("faces", FACES, tmp_path / "asis", root=tmp_path)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for path in (source / "img_align_celeba").iterdir():
            archive.write(path, f"img_align_celeba/img_align_celeba/{path.name}")
        for name in LISTS:
            archive.writestr(name.replace(".txt", ".csv"), as_csv((source / name).read_text(), name))
    spec = FACES.model_copy(update={"source": "archive.zip"})
    assert prepare("faces", spec, tmp_path / "out", root=tmp_path)["digest"] == expected["digest"]


def test_the_authors_pngs_are_found_in_the_lists_of_jpegs(tmp_path, write_celeba):
    source = write_celeba(tmp_path / "source")
    expected = prepare("faces", FACES, tmp_path / "asis", root=tmp_path)
    (source / "img_align_celeba_png").mkdir()
    for path in (source / "img_align_celeba").iterdir():
        Image.open(path).save(source / "img_align_celeba_png" / f"{path.stem}.png")
    shutil.rmtree(source / "img_align_celeba")
    assert prepare("faces", FACES, tmp_path / "out", root=tmp_path)["digest"] == expected["digest"]


def test_what_lies_there_is_said_where_something_is_missing(tmp_path):
    (tmp_path / "source").mkdir()
    for name in ("img_align_celeba.tar.gz", "train-images.tar.gz"):
        (tmp_path / "source" / name).write_bytes(b"")
    for spec in (FACES, DIGITS):
        with pytest.raises(UserError, match=r"there: img_align_celeba\.tar\.gz, train-images\.tar\.gz"):
            prepare("any", spec, tmp_path / "out", root=tmp_path)


@pytest.mark.parametrize("form", ["dot", "folder", "plain.gz", "gzipped"])
def test_mnist_files_are_read_under_the_names_that_are_about(tmp_path, write_idx, form):
    images, _ = write_idx(tmp_path / "source", gzipped=form == "gzipped")
    for path in list((tmp_path / "source").iterdir()):
        if form == "dot":
            path.rename(path.with_name(path.name.replace("-idx", ".idx")))
        elif form == "folder":
            content = path.read_bytes()
            path.unlink()
            path.mkdir()
            (path / path.name).write_bytes(content)
        elif form == "plain.gz":
            path.rename(path.with_name(f"{path.name}.gz"))
        else:
            path.rename(path.with_suffix(""))
    prepare("mnist", DIGITS, tmp_path / "out", root=tmp_path)
    assert np.array_equal(load(tmp_path / "out").images[:, 0], images)


# --- what was read is said, and changes are noticed ---------------------------------------------


def test_the_command_says_what_was_read_each_time(tmp_path, write):
    write("train/cats/0.jpg", "train/dogs/1.jpg", "train/dogs/2.jpg", "test/dogs/3.jpg", "train/dogs/4.gif")
    params = (ROOT / "params.yaml").read_text()
    pets = "datasets:\n  pets: {kind: folder, source: source, resolution: 32, labels: folders}\n"
    (tmp_path / "params.yaml").write_text(params.replace("datasets:\n", pets, 1))
    command = [sys.executable, "-m", "sagan", "data", "--dataset", "pets", "--workers", "1"]
    for _ in range(2):
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
        )
        assert done.stdout.splitlines()[:-1] == [
            "pets: train: 3 images; classes: cats 1, dogs 2",
            "pets: test: 1 images; classes: cats 0, dogs 1",
            "pets: test lacks the classes cats",
            "pets: splits: the folders of the source",
            "pets: passed over: 1 .gif",
        ]
        assert "data/prepared/pets-32: 4 images, digest" in done.stdout.splitlines()[-1]


def test_many_classes_and_attributes_are_summed_up(tmp_path, write_celeba):
    write_celeba(tmp_path / "source")
    said = summary(prepare("faces", FACES, tmp_path / "out", root=tmp_path), tmp_path / "out")
    assert said[0] == "train: 6 images; attributes: 40, from Attribute_1 0 to Attribute_0 3"


def replaced(path: Path) -> None:
    """Another content of the same size and age."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("kind", ["folder", "zip", "mnist", "celeba list", "hub"])
def test_originals_that_were_replaced_by_others_of_their_size_are_noticed(
    tmp_path, write, write_idx, write_celeba, kind
):
    if kind in ("folder", "zip", "hub"):
        victim, spec = write("0.jpg", "1.jpg") / "0.jpg", folder_spec(labels="none")
    if kind == "zip":
        victim = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "source"))
        spec = folder_spec(labels="none", source="packed.zip")
    if kind == "hub":
        spec = HuggingFace(kind="huggingface", source="source", resolution=32)
        pytest.importorskip("datasets")
    if kind == "mnist":
        write_idx(tmp_path / "source", gzipped=False)
        victim, spec = tmp_path / "source" / "t10k-images-idx3-ubyte", DIGITS
    if kind == "celeba list":
        victim, spec = write_celeba(tmp_path / "source") / "list_eval_partition.txt", FACES
    prepare("any", spec, tmp_path / "out", root=tmp_path)
    assert pending("any", spec, tmp_path / "out", root=tmp_path) is None
    if kind == "zip":  # one image in it, so that its checksum is another
        (tmp_path / "source" / "0.jpg").write_bytes((tmp_path / "source" / "1.jpg").read_bytes())
        shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "source")
    else:
        replaced(victim)
    assert "originals have changed" in pending("any", spec, tmp_path / "out", root=tmp_path)


def test_a_hub_folder_that_grew_is_noticed(tmp_path):
    from sagan.data.hub import locate_hub

    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "train-0.parquet").write_bytes(b"one")
    spec = HuggingFace(kind="huggingface", source="source", resolution=32)
    before = locate_hub(spec, tmp_path).stamp
    (tmp_path / "source" / "train-1.parquet").write_bytes(b"two")
    assert locate_hub(spec, tmp_path).stamp != before


# --- what is unpacked, and which files are read -------------------------------------------------


def peak_bytes(call) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_in_the_place_of_an_original_is_not_unpacked(tmp_path, write_idx, write_celeba):
    write_idx(tmp_path / "source")
    write_celeba(tmp_path / "faces", gzipped=True)
    bomb = gzip.compress(bytes(2**29), 1)
    for path, spec in (
        (tmp_path / "source" / "train-images-idx3-ubyte.gz", DIGITS),
        (tmp_path / "faces" / "list_attr_celeba.txt.gz", FACES.model_copy(update={"source": "faces"})),
    ):
        path.write_bytes(bomb)

        def refused(spec=spec, name=path.name):
            with pytest.raises(UserError, match=f"{name}: more than 67,108,864 bytes when unpacked"):
                prepare("any", spec, tmp_path / "out", root=tmp_path)

        assert peak_bytes(refused) < 2**28


def test_a_member_that_is_larger_than_it_declares_is_not_unpacked(tmp_path, jpeg):
    data = zlib.compress(bytes(2**29), 9)[2:-4]
    with zipfile.ZipFile(tmp_path / "lies.zip", "w") as archive:
        archive.writestr("0.jpg", jpeg(0))
        archive.writestr("1.jpg", jpeg(1))
        archive.writestr("lies.jpg", data)  # stored
    content = (tmp_path / "lies.zip").read_bytes()
    # Deflated, and of 1,000 bytes, is what both of the member's headers then say.
    for signature, method, size in ((b"PK\x03\x04", 8, 22), (b"PK\x01\x02", 10, 24)):
        start = content.rindex(signature)
        content = content[: start + method] + struct.pack("<H", 8) + content[start + method + 2 :]
        content = content[: start + size] + struct.pack("<I", 1000) + content[start + size + 4 :]
    (tmp_path / "lies.zip").write_bytes(content)
    spec = folder_spec(source="lies.zip", labels="none", on_bad_image="skip", held_out=0.5)

    def skipped():
        manifest = prepare("any", spec, tmp_path / "out", root=tmp_path, workers=1)
        assert manifest["count"] == 2 and "Bad CRC-32" in manifest["bad_images"]["first"][0][1]

    assert peak_bytes(skipped) < 2**27


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

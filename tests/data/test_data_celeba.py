"""CelebA in every layout, and its lists in every form, that are about."""

import io
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from sagan.data import load, prepare
from sagan.errors import UserError
from sagan.params.datasets import CelebA
from tests import sagan

SPEC = CelebA(kind="celeba", source="source", resolution=32)
PARTITION, ATTRIBUTES = "list_eval_partition.txt", "list_attr_celeba.txt"


def prepared(tmp_path, **settings):
    return prepare("faces", SPEC.model_copy(update=settings), tmp_path / "out", root=tmp_path)


def test_official_splits_and_attributes(tmp_path, write_celeba, jpeg, capsys):
    write_celeba(tmp_path / "source")
    manifest = prepared(tmp_path)
    data = load(tmp_path / "out")
    assert manifest["splits"] == {"train": [0, 6], "valid": [6, 8], "test": [8, 10]}
    assert (manifest["count"], manifest["listed"]) == (10, 14)
    assert manifest["labels"] == {"kind": "attributes", "names": [f"Attribute_{i}" for i in range(40)]}
    assert data.labels.dtype == np.uint8 and data.labels.shape == (10, 40)
    # The third row is 000004.jpg, the fourth of the list.
    assert data.labels[2].tolist() == [int((3 + i) % 3 == 0) for i in range(40)]
    original = Image.open(io.BytesIO(jpeg(3)))
    expected = original.crop((0, 20, 178, 198)).resize((32, 32), Image.Resampling.LANCZOS)
    assert np.array_equal(data.images[2].transpose(1, 2, 0), np.asarray(expected))
    assert manifest["original"] is False
    assert f"{PARTITION} is not CelebA's original" in capsys.readouterr().err


def as_csv(text: str, name: str) -> str:
    lines = [",".join(line.split()) for line in text.splitlines()]
    header = ["image_id,partition"] if name == PARTITION else [f"image_id,{lines[1]}"]
    return "\n".join(header + lines[0 if name == PARTITION else 2 :]) + "\n"


OF_LISTS = ["csv", "bom", "utf-16", "blank", "crlf", ".gz"]
FORMS = ["zip", "parts", "the zip", "zip with lists", "zip with csv", "png", *OF_LISTS]


@pytest.mark.parametrize("form", FORMS)
def test_every_layout_and_form_gives_the_same_bytes(tmp_path, write_celeba, form):
    expected = prepare("faces", SPEC, tmp_path / "asis", root=write_celeba(tmp_path / "source").parent)["digest"]
    source, place = tmp_path / "source", "source"
    if form in ("zip", "parts", "the zip"):
        shutil.rmtree(source)
        write_celeba(source, "parts" if form == "parts" else "zip", gzipped=True)
        place = "source/img_align_celeba.zip" if form == "the zip" else place
    elif form.startswith("zip with"):  # a common copy has the images twice as deep, and CSV lists
        place, deep = "all.zip", "img_align_celeba/" if form == "zip with csv" else "celeba/"
        with zipfile.ZipFile(tmp_path / place, "w") as archive:
            for path in sorted(source.rglob("*.jpg")):
                archive.write(path, f"{deep}img_align_celeba/{path.name}")
            for name in (PARTITION, ATTRIBUTES):
                text = (source / name).read_text()
                archive.writestr(*((name[:-3] + "csv", as_csv(text, name)) if "csv" in form else (f"x/{name}", text)))
    elif form == "png":  # the authors'
        (source / "img_align_celeba_png").mkdir()
        for path in (source / "img_align_celeba").iterdir():
            Image.open(path).save(source / "img_align_celeba_png" / f"{path.stem}.png")
        shutil.rmtree(source / "img_align_celeba")
    for name in (PARTITION, ATTRIBUTES) if form in OF_LISTS else ():
        path = source / name
        text = path.read_text()
        path.unlink()
        if form == "csv":
            path.with_suffix(".csv").write_text(as_csv(text, name))
        elif form == ".gz":  # a browser that unpacked what it fetched
            path.with_name(f"{name}.gz").write_text(text)
        else:
            changed = {"bom": "\ufeff" + text, "utf-16": "\ufeff" + text, "blank": text + "\n \n"}.get(form, text)
            data = changed.encode("utf-16-le" if form == "utf-16" else "utf-8")
            path.write_bytes(data.replace(b"\n", b"\r\n") if form == "crlf" else data)
    assert prepared(tmp_path, source=place)["digest"] == expected


def test_what_is_missing_is_named_with_where_to_get_it(tmp_path):
    with pytest.raises(UserError, match=r"no img_align_celeba/ .* no list_eval_partition.* no list_attr.* https://"):
        prepared(tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (PARTITION, "000002.jpg 0", "000002.jpg 3", "line 2: '000002.jpg 3'"),
        (PARTITION, "000002.jpg 0", "000001.jpg 0", "line 2: '000001.jpg 0'"),
        (PARTITION, "000001.jpg 0", "<html>quota</html>", "line 1: '<html>quota</html>'"),
        (ATTRIBUTES, "000002.jpg -1", "000002.jpg", "line 4: .*must be a new image's name and 40 times"),
        (ATTRIBUTES, "14\n", "15\n", "14 images, and its first line says 15"),
    ],
)
def test_a_malformed_list_is_named_with_its_line(tmp_path, write_celeba, name, old, new, message):
    path = write_celeba(tmp_path / "source") / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=f"{name}.*{message}"):
        prepared(tmp_path)


def test_the_last_line_of_a_preparation_says_that_it_is_a_part(tmp_path, write_celeba):
    shutil.copy("params.yaml", tmp_path)
    write_celeba(tmp_path / "originals" / "celeba")
    said = sagan("data", "--dataset", "celeba64", "--workers", 1, folder=tmp_path).stdout
    assert ": 10 of 14 listed images, digest " in said.splitlines()[-1]

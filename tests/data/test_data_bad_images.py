"""Images that cannot be used are named and counted, `on_bad_image` decides, and nothing else is touched."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import pytest

from sagan.data import prepare
from sagan.errors import UserError
from sagan.params.datasets import CelebA, ImageFolder


def celeba(policy: str) -> CelebA:
    return CelebA(kind="celeba", source="source", resolution=32, on_bad_image=policy)


@pytest.fixture
def bad_bytes(jpeg):
    """The content of a bad image by what is wrong with it."""
    return {
        "truncated": jpeg(1)[:2000],
        "text": b"<html>404 Not Found</html>",
        "empty": b"",
        "grey": jpeg(1, mode="L"),
        "cmyk": jpeg(1, mode="CMYK"),
        "small": jpeg(1, size=(178, 178)),
        "transparent": jpeg(1, mode="RGBA", kind="PNG"),
    }


WORDS = {
    "truncated": "damaged: .*truncated",
    "text": "not an image",
    "empty": "not an image",
    "grey": r"greyscale \(L\), not RGB",
    "cmyk": "CMYK, not RGB",
    "small": "is 178x178 pixels, not 178x218",
    "transparent": "RGBA.*, not RGB",
}


@pytest.mark.parametrize("what", WORDS)
def test_fail_names_the_image_and_skip_leaves_it_out(tmp_path, write_celeba, bad_bytes, capsys, what):
    folder = write_celeba(tmp_path / "source") / "img_align_celeba"
    (folder / "000004.jpg").unlink()
    expected = prepare("faces", celeba("fail"), tmp_path / "without", root=tmp_path)
    (folder / "000004.jpg").write_bytes(bad_bytes[what])
    with pytest.raises(
        UserError, match=rf"1 of 10 images cannot be used .* first 000004\.jpg: .*{WORDS[what]}.*on_bad_image: skip"
    ):
        prepare("faces", celeba("fail"), tmp_path / "out", root=tmp_path)
    assert not (tmp_path / "out" / "manifest.json").exists()
    capsys.readouterr()
    manifest = prepare("faces", celeba("skip"), tmp_path / "out", root=tmp_path)
    assert manifest["digest"] == expected["digest"] and manifest["count"] == 9
    assert manifest["bad_images"]["count"] == 1 and manifest["bad_images"]["first"][0][0] == "000004.jpg"
    assert "left out: 1 of 10" in capsys.readouterr().err
    assert (tmp_path / "out" / "bad-images.txt").read_text().startswith("000004.jpg: ")


def test_an_image_that_a_list_does_not_know_is_named(tmp_path, write_celeba, jpeg):
    folder = write_celeba(tmp_path / "source")
    (folder / "img_align_celeba" / "999999.jpg").write_bytes(jpeg(99))
    with pytest.raises(UserError, match=r"999999\.jpg: is not in list_eval_partition\.txt"):
        prepare("faces", celeba("fail"), tmp_path / "out", root=tmp_path)
    with (folder / "list_eval_partition.txt").open("a") as file:
        file.write("999999.jpg 0\n")
    with pytest.raises(UserError, match=r"999999\.jpg: is not in list_attr_celeba\.txt"):
        prepare("faces", celeba("fail"), tmp_path / "out", root=tmp_path)


def test_an_image_in_two_zips_is_named_and_the_first_is_taken(tmp_path, write_celeba, jpeg):
    folder = write_celeba(tmp_path / "source", "parts")
    with zipfile.ZipFile(folder / "img_align_celeba-part2.zip", "a") as archive:
        archive.writestr("img_align_celeba/000001.jpg", jpeg(99))
    with pytest.raises(
        UserError, match=r"part2\.zip/.*000001\.jpg: is there twice, first as img_align_celeba-part1\.zip"
    ):
        prepare("faces", celeba("fail"), tmp_path / "out", root=tmp_path)
    assert prepare("faces", celeba("skip"), tmp_path / "out", root=tmp_path)["count"] == 10


@pytest.mark.parametrize(
    "member", ["../000004.jpg", "/000004.jpg", "a/../../000004.jpg", "C:\\000004.jpg", "..\\000004.jpg"]
)
def test_a_zip_that_leads_outside_is_named_and_nothing_is_written_there(tmp_path, jpeg, member):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for i in range(4):
            archive.writestr(f"{i}.jpg", jpeg(i))
        archive.writestr(member, jpeg(4))
    before = files_below(tmp_path)
    spec = ImageFolder(kind="folder", source="images.zip", resolution=32, held_out=0.5)
    with pytest.raises(UserError, match=r"1 of 5 images .*000004\.jpg: its name in the zip leads outside"):
        prepare("any", spec, tmp_path / "deep" / "out", root=tmp_path)
    spec = spec.model_copy(update={"on_bad_image": "skip"})
    assert prepare("any", spec, tmp_path / "deep" / "out", root=tmp_path)["count"] == 4
    assert {path for path in files_below(tmp_path) - before if not path.startswith("deep/out/")} == set()


def test_a_member_that_declares_a_huge_size_is_not_read(tmp_path, jpeg):
    with zipfile.ZipFile(tmp_path / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(4):
            archive.writestr(f"{i}.jpg", jpeg(i))
        archive.writestr("bomb.jpg", bytes(65 * 2**20))
    spec = ImageFolder(kind="folder", source="images.zip", resolution=32, held_out=0.5)
    with pytest.raises(UserError, match=r"bomb\.jpg: declares 68,157,440 bytes; at most 67,108,864 are read"):
        prepare("any", spec, tmp_path / "out", root=tmp_path)


@pytest.mark.parametrize("side", [9_000, 60_000])
def test_an_image_of_a_huge_size_is_not_decoded(tmp_path, jpeg, side):
    for i in range(3):
        (tmp_path / f"{i}.jpg").write_bytes(jpeg(i))
    png = bytearray(jpeg(0, size=(64, 64), kind="PNG"))
    # The header chunk: its data (sides first) and its checksum.
    png[16:24] = side.to_bytes(4, "big") * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    (tmp_path / "vast.png").write_bytes(png)
    spec = ImageFolder(kind="folder", source=".", resolution=32, held_out=0.5)
    with pytest.raises(UserError, match=r"vast\.png: has more than 67,108,864 pixels"):
        prepare("any", spec, tmp_path / "out", root=tmp_path)


def test_a_damaged_zip_is_named(tmp_path, write_celeba):
    folder = write_celeba(tmp_path / "source", "zip")
    path = folder / "img_align_celeba.zip"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"img_align_celeba\.zip: not a zip file, or cut short"):
        prepare("faces", celeba("skip"), tmp_path / "out", root=tmp_path)


def test_a_member_with_a_wrong_checksum_is_named(tmp_path, write_celeba):
    folder = write_celeba(tmp_path / "source", "zip")
    path = folder / "img_align_celeba.zip"
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"img_align_celeba\.zip/.*000001\.jpg: cannot be unzipped: Bad CRC-32"):
        prepare("faces", celeba("fail"), tmp_path / "out", root=tmp_path)


def test_nothing_usable_is_an_error_under_either_policy(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(b"no image")
    spec = ImageFolder(kind="folder", source=".", resolution=32, on_bad_image="skip")
    with pytest.raises(UserError, match="none of its 0 usable images"):
        prepare("any", spec, tmp_path / "out", root=tmp_path)


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

"""Images that cannot be used are named and counted, `on_bad_image` decides, and nothing else is touched."""

import gzip
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from sagan.data import prepare
from sagan.errors import UserError
from sagan.params.datasets import CelebA, ImageFolder, Mnist


def celeba(policy: str, source: str = "source") -> CelebA:
    return CelebA(kind="celeba", source=source, resolution=32, on_bad_image=policy)


def folder(source: str, policy: str = "fail") -> ImageFolder:
    return ImageFolder(kind="folder", source=source, resolution=32, held_out=0.5, on_bad_image=policy)


def zip_with(path: Path, jpeg, **others: bytes) -> None:
    """Four images, and other members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(4):
            archive.writestr(f"{i}.jpg", jpeg(i))
        for name, content in others.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda jpeg: jpeg(1)[:2000], "damaged: .*truncated"),
        (lambda _: b"<html>404 Not Found</html>", "not an image"),
        (lambda _: b"", "not an image"),
        (lambda jpeg: jpeg(1, mode="L"), r"greyscale \(L\), not RGB"),
        (lambda jpeg: jpeg(1, mode="CMYK"), "CMYK, not RGB"),
        (lambda jpeg: jpeg(1, size=(178, 178)), "is 178x178 pixels, not 178x218"),
        (lambda jpeg: jpeg(1, mode="RGBA", kind="PNG"), "RGBA.*, not RGB"),
    ],
)
def test_fail_names_the_image_and_skip_leaves_it_out(tmp_path, write_celeba, jpeg, capsys, content, words):
    images = write_celeba(tmp_path / "source") / "img_align_celeba"
    (images / "000004.jpg").unlink()
    expected = prepare("faces", celeba("fail"), tmp_path / "without", root=tmp_path)
    (images / "000004.jpg").write_bytes(content(jpeg))
    with pytest.raises(UserError, match=rf"1 of 10 images .* first 000004\.jpg: .*{words}.*on_bad_image: skip"):
        prepare("faces", celeba("fail"), tmp_path / "out", root=tmp_path)
    assert not (tmp_path / "out" / "manifest.json").exists()
    capsys.readouterr()
    manifest = prepare("faces", celeba("skip"), tmp_path / "out", root=tmp_path)
    assert manifest["digest"] == expected["digest"] and manifest["count"] == 9
    assert manifest["bad_images"]["count"] == 1 and manifest["bad_images"]["first"][0][0] == "000004.jpg"
    assert "left out: 1 of 10" in capsys.readouterr().err
    assert (tmp_path / "out" / "bad-images.txt").read_text().startswith("000004.jpg: ")


def test_an_image_that_a_list_does_not_know_is_named(tmp_path, write_celeba, jpeg):
    source = write_celeba(tmp_path / "source")
    (source / "img_align_celeba" / "999999.jpg").write_bytes(jpeg(99))
    with pytest.raises(UserError, match=r"999999\.jpg: is not in list_eval_partition\.txt"):
        prepare("faces", celeba("fail"), tmp_path / "out", root=tmp_path)
    with (source / "list_eval_partition.txt").open("a") as file:
        file.write("999999.jpg 0\n")
    with pytest.raises(UserError, match=r"999999\.jpg: is not in list_attr_celeba\.txt"):
        prepare("faces", celeba("fail"), tmp_path / "out", root=tmp_path)


def test_an_image_in_two_zips_is_named_and_the_first_is_taken(tmp_path, write_celeba, jpeg):
    source = write_celeba(tmp_path / "source", "parts")
    with zipfile.ZipFile(source / "img_align_celeba-part2.zip", "a") as archive:
        archive.writestr("img_align_celeba/000001.jpg", jpeg(99))
    with pytest.raises(UserError, match=r"part2\.zip/.*000001\.jpg: is there twice, first as .*-part1\.zip"):
        prepare("faces", celeba("fail"), tmp_path / "out", root=tmp_path)
    assert prepare("faces", celeba("skip"), tmp_path / "out", root=tmp_path)["count"] == 10


@pytest.mark.parametrize("names", [("000012.jpg", "000013.jpg"), ()])
def test_a_split_without_usable_images_is_an_error_under_either_policy(tmp_path, write_celeba, names):
    images = write_celeba(tmp_path / "source") / "img_align_celeba"
    for name in names:
        (images / name).unlink()
    for path in () if names else images.iterdir():
        path.write_bytes(b"no image")
    what = "8 usable images is in the test split" if names else "0 usable images is in the train split"
    with pytest.raises(UserError, match=f"none of its {what}"):
        prepare("faces", celeba("skip"), tmp_path / "out", root=tmp_path)


# --- zips ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "member", ["../000004.jpg", "/000004.jpg", "a/../../000004.jpg", "C:\\000004.jpg", "..\\000004.jpg"]
)
def test_a_zip_that_leads_outside_is_named_and_nothing_is_written_there(tmp_path, jpeg, member):
    def below() -> set[str]:
        return {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}

    zip_with(tmp_path / "images.zip", jpeg, **{member: jpeg(4)})
    before = below()
    with pytest.raises(UserError, match=r"1 of 5 images .*000004\.jpg: its name in the zip leads outside"):
        prepare("any", folder("images.zip"), tmp_path / "deep" / "out", root=tmp_path)
    assert prepare("any", folder("images.zip", "skip"), tmp_path / "deep" / "out", root=tmp_path)["count"] == 4
    assert {path for path in below() - before if not path.startswith("deep/out/")} == set()


def test_a_damaged_zip_and_a_member_of_a_wrong_checksum_are_named(tmp_path, write_celeba):
    path = write_celeba(tmp_path / "source", "zip") / "img_align_celeba.zip"
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:-100])
    with pytest.raises(UserError, match=r"img_align_celeba\.zip: not a zip file, or cut short"):
        prepare("faces", celeba("skip"), tmp_path / "out", root=tmp_path)
    content[500] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"img_align_celeba\.zip/.*000001\.jpg: cannot be unzipped: Bad CRC-32"):
        prepare("faces", celeba("fail"), tmp_path / "out", root=tmp_path)


# --- what is unpacked is bounded ------------------------------------------------------------------


@pytest.mark.parametrize("side", [9_000, 60_000])
def test_an_image_of_a_huge_size_is_not_decoded(tmp_path, write, jpeg, side):
    source = write("0.jpg", "1.jpg", "2.jpg")
    png = bytearray(jpeg(0, size=(64, 64), kind="PNG"))
    # The header chunk: its data (sides first) and its checksum.
    png[16:24] = side.to_bytes(4, "big") * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    (source / "vast.png").write_bytes(png)
    with pytest.raises(UserError, match=r"vast\.png: has more than 67,108,864 pixels"):
        prepare("any", folder("source"), tmp_path / "out", root=tmp_path)


def peak_bytes(tmp_path, spec, message: str) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=message):
            prepare("any", spec, tmp_path / "out", root=tmp_path, workers=1)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "list_attr_celeba.txt.gz"])
def test_a_gzip_bomb_in_the_place_of_an_original_is_not_unpacked(tmp_path, write_idx, write_celeba, name):
    is_mnist = "idx3" in name
    write_idx(tmp_path / "source") if is_mnist else write_celeba(tmp_path / "source", gzipped=True)
    (tmp_path / "source" / name).write_bytes(gzip.compress(bytes(2**29), 1))
    spec = Mnist(kind="mnist", source="source") if is_mnist else celeba("fail")
    assert peak_bytes(tmp_path, spec, f"{name}: more than 67,108,864 bytes when unpacked") < 2**28


def test_a_member_is_unpacked_no_further_than_it_declares(tmp_path, jpeg):
    zip_with(tmp_path / "bomb.zip", jpeg, **{"bomb.jpg": bytes(65 * 2**20)})
    message = r"bomb\.jpg: declares 68,157,440 bytes; at most 67,108,864 are read"
    assert peak_bytes(tmp_path, folder("bomb.zip"), message) < 2**27
    with zipfile.ZipFile(tmp_path / "lies.zip", "w") as archive:
        archive.writestr("0.jpg", jpeg(0))
        archive.writestr("lies.jpg", zlib.compress(bytes(2**29), 9)[2:-4])  # stored
    content = (tmp_path / "lies.zip").read_bytes()
    # Deflated, and of 1,000 bytes, is what both of the member's headers then say.
    for signature, method, size in ((b"PK\x03\x04", 8, 22), (b"PK\x01\x02", 10, 24)):
        start = content.rindex(signature)
        content = content[: start + method] + struct.pack("<H", 8) + content[start + method + 2 :]
        content = content[: start + size] + struct.pack("<I", 1000) + content[start + size + 4 :]
    (tmp_path / "lies.zip").write_bytes(content)
    assert peak_bytes(tmp_path, folder("lies.zip"), "lies.jpg: .*Bad CRC-32") < 2**27

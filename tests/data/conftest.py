"""Small stand-ins for the originals: real files in the original formats, made with the real tools."""

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def jpeg():
    """A function that makes a photograph's bytes: smooth, of a colour of its own."""

    def make(seed: int = 0, size=(178, 218), mode: str = "RGB", kind: str = "JPEG") -> bytes:
        noise = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode)
        buffer = io.BytesIO()
        image.save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}))
        return buffer.getvalue()

    return make


@pytest.fixture
def write(tmp_path, jpeg):
    """A function that writes images under some names below `source`, which it returns."""

    def write_images(*names: str, size=(40, 40), mode: str = "RGB") -> Path:
        for seed, name in enumerate(names):
            path = tmp_path / "source" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(seed, size, mode, "PNG" if name.endswith("png") else "JPEG"))
        return tmp_path / "source"

    return write_images


@pytest.fixture
def write_celeba(jpeg):
    """A function that writes a CelebA folder: 10 of 14 listed images, 6 of them train, 2 valid, 2 test."""

    def write(folder: Path, layout: str = "folder", gzipped: bool = False) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"{i:06d}.jpg" for i in range(1, 15)]
        codes = [0] * 8 + [1] * 3 + [2] * 3
        partition = "".join(f"{name} {code}\n" for name, code in zip(names, codes, strict=True))
        attributes = [f"Attribute_{i}" for i in range(40)]
        rows = [
            f"{name} " + " ".join(" 1" if (n + i) % 3 == 0 else "-1" for i in range(40)) for n, name in enumerate(names)
        ]
        table = f"{len(names)}\n{' '.join(attributes)} \n" + "\n".join(rows) + "\n"
        for name, text in (("list_eval_partition.txt", partition), ("list_attr_celeba.txt", table)):
            if gzipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
            else:
                (folder / name).write_text(text)
        there = [i for i in range(14) if i not in (2, 5, 10, 13)]
        images = {names[i]: jpeg(i) for i in there}
        if layout == "folder":
            (folder / "img_align_celeba").mkdir()
            for name, data in images.items():
                (folder / "img_align_celeba" / name).write_bytes(data)
        elif layout == "zip":
            write_zip(folder / "img_align_celeba.zip", images)
        else:
            write_zip(folder / "img_align_celeba-part1.zip", dict(list(images.items())[::2]))
            write_zip(folder / "img_align_celeba-part2.zip", dict(list(images.items())[1::2]))
        return folder

    def write_zip(path: Path, images: dict[str, bytes]) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in images.items():
                archive.writestr(f"img_align_celeba/{name}", data)

    return write


@pytest.fixture
def write_idx():
    """A function that writes the four idx files of a small data set; returns the images and labels written."""

    def write(folder: Path, train: int = 30, test: int = 10, gzipped: bool = True):
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (train + test, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, train + test, dtype=np.uint8)
        for prefix, rows in (("train", slice(0, train)), ("t10k", slice(train, None))):
            for array, name, magic in ((images[rows], "images-idx3", 3), (labels[rows], "labels-idx1", 1)):
                header = bytes([0, 0, 8, magic]) + np.array(array.shape, dtype=">u4").tobytes()
                data = header + array.tobytes()
                path = folder / f"{prefix}-{name}-ubyte"
                if gzipped:
                    path.with_name(path.name + ".gz").write_bytes(gzip.compress(data))
                else:
                    path.write_bytes(data)
        return images, labels

    return write

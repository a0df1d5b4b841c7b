"""How fast CelebA is prepared, and what JPEG draft decoding would gain and change.

    python benchmarks/preparation.py                      # 4,000 made-up images of CelebA's size
    python benchmarks/preparation.py --source originals/celeba --workers 2

Prints one JSON object. Nothing else should run at the same time: the load average is printed with the figures.
"""

import argparse
import io
import json
import os
import resource
import statistics
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from sagan.data import prepare
from sagan.data.celeba import find_images
from sagan.data.originals import OriginalFile
from sagan.data.photographs import pixels
from sagan.params.datasets import CelebA

DRAFT_SAMPLE = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, help="CelebA's originals; made-up images where it is not given")
    parser.add_argument("--images", type=int, default=4000, help="how many images to make up")
    parser.add_argument("--resolution", type=int, default=64, choices=(32, 64, 128))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = options.source or make_up(Path(scratch, "celeba"), options.images)
        spec = CelebA(kind="celeba", source=str(source.resolve()), resolution=options.resolution)
        runs = [timed(spec, Path(scratch, str(i)), options.workers) for i in range(options.repeat)]
        draft = draft_against_full(find_images(source)[0][:DRAFT_SAMPLE], spec)
    record = {
        "images_per_second": statistics.median(run["images_per_second"] for run in runs),
        "runs": runs,
        "workers": options.workers,
        "source": "made up" if options.source is None else "given",
        "draft": draft,
        "peak_megabytes_of_a_process": max(
            resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        ),
    }
    print(json.dumps(record, indent=1))


def timed(spec: CelebA, folder: Path, workers: int) -> dict[str, float]:
    """One whole preparation, from finding the files to the manifest."""
    before, start = cpu_seconds(), time.perf_counter()
    count = prepare("celeba", spec, folder, workers=workers)["count"]
    seconds = time.perf_counter() - start
    return {
        "images": count,
        "seconds": seconds,
        "images_per_second": count / seconds,
        "cpu_milliseconds_per_image": 1000 * (cpu_seconds() - before) / count,
        "load_average": os.getloadavg()[0],
    }


def cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def draft_against_full(files: list[OriginalFile], spec: CelebA) -> dict[str, float]:
    """Decoding at half size (libjpeg's DCT scaling), then crop and resize as ever: what it saves, what it changes."""
    data = [file.read() for file in files]
    full, full_seconds = clocked(data, lambda bytes_: pixels(bytes_, spec))
    draft, draft_seconds = clocked(data, lambda bytes_: draft_pixels(bytes_, spec))
    difference = np.abs(np.stack(full).astype(int) - np.stack(draft).astype(int))
    return {
        "images": len(data),
        "time_saved": 1 - draft_seconds / full_seconds,
        "mean_difference_of_255": float(difference.mean()),
        "largest_difference_of_255": int(difference.max()),
    }


def clocked(data: list[bytes], decode) -> tuple[list[np.ndarray], float]:
    start = time.process_time()
    images = [decode(item) for item in data]
    return images, time.process_time() - start


def draft_pixels(data: bytes, spec: CelebA) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    width = image.width
    image.draft("RGB", (image.width // 2, image.height // 2))
    scale = image.width / width
    side = round(spec.crop * scale)
    left, top = round((image.width - side) / 2), round((image.height - side) / 2)
    square = image.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((spec.resolution,) * 2, Image.Resampling.LANCZOS)).transpose(2, 0, 1)


def make_up(folder: Path, count: int) -> Path:
    """A CelebA folder of smooth noise, about as many bytes an image as the real one."""
    folder.mkdir()
    names = [f"{i:06d}.jpg" for i in range(1, count + 1)]
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for name in names:
            noise = rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(noise).resize(CelebA.size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=80)
            archive.writestr(f"img_align_celeba/{name}", buffer.getvalue())
    codes = [0 if i < 0.8 * count else 2 for i in range(count)]
    (folder / "list_eval_partition.txt").write_text(
        "".join(f"{n} {c}\n" for n, c in zip(names, codes, strict=True)), encoding="utf-8"
    )
    header = f"{count}\n{' '.join(f'Attribute_{i}' for i in range(40))}\n"
    (folder / "list_attr_celeba.txt").write_text(
        header + "".join(f"{name}{'  1' * 40}\n" for name in names), encoding="utf-8"
    )
    return folder


if __name__ == "__main__":
    main()

"""From image files to the square uint8 rows of a protocol: the same bytes for any number of processes."""

import hashlib
import io
import multiprocessing
import os
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageOps

from sagan.data.originals import BadImage
from sagan.data.prepared import Content
from sagan.errors import UserError
from sagan.params.datasets import CelebA, HuggingFace, ImageFolder
from sagan.progress import progress
from sagan.store.reading import warn_once
from sagan.store.records import Json

Spec = CelebA | ImageFolder | HuggingFace

# The split that a folder, or a split of the Hub, of some name is; capitals do not matter.
SPLIT_NAMES = {
    **{"train": "train", "training": "train", "test": "test", "testing": "test"},
    **{"val": "valid", "valid": "valid", "validation": "valid"},
}
AT_ONCE = 256  # images
MAX_PIXELS = 2**26
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF")
_MODES = {"L": "greyscale (L)", "P": "of a palette (P)", "RGBA": "RGB with transparency (RGBA)"}

# The name of an image that is left out, and the reason.
Refused = tuple[str, str]


def pixels(data: bytes, spec: Spec) -> np.ndarray:
    """An image as uint8 [channels, resolution, resolution], by the protocol of a spec: decoded, cropped, then resized.

    Raises:
        BadImage: it cannot be decoded, or is not what the dataset's images are.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise BadImage(f"has more than {MAX_PIXELS:,} pixels") from None
    except Exception:
        raise BadImage(f"not an image ({', '.join(FORMATS)})") from None
    try:
        _check(image, spec)
        image.load()
        # Cameras store a picture lying, and how to turn it: it is seen turned everywhere.
        ImageOps.exif_transpose(image, in_place=True)
    except BadImage:
        raise
    # Pillow's decoders raise whatever their libraries do: OSError, SyntaxError, ValueError, struct.error, …
    except Exception as error:
        raise BadImage(f"damaged: {error}") from None
    side = spec.crop or min(image.size)
    # Rounded as in torchvision's CenterCrop, so that an odd margin falls on the same side.
    left, top = round((image.width - side) / 2), round((image.height - side) / 2)
    # Cropping first keeps pixels from outside of the crop out of the filter's support.
    square = image.crop((left, top, left + side, top + side))
    if side != spec.resolution:
        # Antialiased: the filter's support grows with the scale.
        square = square.resize((spec.resolution, spec.resolution), Image.Resampling[spec.resize.upper()])
    return np.asarray(square).reshape(spec.resolution, spec.resolution, spec.channels).transpose(2, 0, 1)


def _check(image: Image.Image, spec: Spec) -> None:
    (width, height), least, wanted = image.size, spec.crop or spec.resolution, {1: "L", 3: "RGB"}[spec.channels]
    if spec.size and image.size != spec.size:
        raise BadImage(f"is {width}x{height} pixels, not {spec.size[0]}x{spec.size[1]}")
    if min(image.size) < least:
        raise BadImage(f"is {width}x{height} pixels, smaller than {least}")
    if width * height > MAX_PIXELS:
        raise BadImage(f"has more than {MAX_PIXELS:,} pixels")
    # The second picture of an MPO, a JPEG of phones, is the first one's preview or other eye.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise BadImage(f"has {image.n_frames} frames or pages, not one")
    if image.mode != wanted:
        raise BadImage(f"its pixels are {_MODES.get(image.mode, image.mode)}, not {_MODES.get(wanted, wanted)}")


def decoded(spec: Spec, content: Content, folder: Path, workers: int) -> Content:
    """Read, crop and resize a content's images. Those that cannot be used are listed in a file in `folder`.

    Raises:
        UserError: images cannot be used and `on_bad_image` is `fail`; or a worker process died.
    """
    count, side = len(content.labels), spec.resolution
    unusable, total, starts = {}, count + len(content.refused), range(0, count, AT_ONCE)
    batches = _batches(content.images, partial(pixels, spec=spec), min(workers, len(starts)))
    folder.mkdir(parents=True, exist_ok=True)
    # How many rows there will be is not known yet. The file has no name: a kill leaves nothing of it.
    with progress(f"{total:,} images to {side}x{side}", count, 0) as update, tempfile.TemporaryFile(dir=folder) as file:
        for start, (rows, refused) in zip(starts, batches, strict=True):
            file.write(rows.tobytes())
            unusable |= {start + offset: told for offset, told in refused}
            update(min(start + AT_ONCE, count))
        file.flush()
        images = np.memmap(file, np.uint8, "r") if len(unusable) < count else np.empty(0, np.uint8)
    facts = {
        **content.facts,
        "crop": spec.crop,
        "resize": spec.resize,
        "bad_images": _settle([*content.refused, *unusable.values()], total, spec.on_bad_image, folder),
        "versions": {"pillow": PIL.__version__},
    }
    kept = np.delete(np.arange(count), list(unusable))
    images = images.reshape(-1, spec.channels, side, side)
    return replace(content, images=images, labels=content.labels[kept], splits=content.splits[kept], facts=facts)


def _settle(refused: list[Refused], total: int, policy: str, folder: Path) -> Json:
    """What the manifest says of images that cannot be used. All of them go to a file, by name."""
    listing = folder / "bad-images.txt"
    listing.unlink(missing_ok=True)
    if refused:
        listing.write_text("".join(f"{name}: {reason}\n" for name, reason in refused), encoding="utf-8")
        name, reason = refused[0]
        what = f"{len(refused):,} of {total:,} images cannot be used (all in {listing}), first {name}: {reason}"
        if policy == "fail":
            raise UserError(f"{what}; mend them, or set on_bad_image: skip to leave them out")
        warn_once(f"left out: {what}")
    return {"count": len(refused), "first": [list(entry) for entry in refused[:1]]}


def _batch(images: list, recipe: Callable[[bytes], np.ndarray]) -> tuple[np.ndarray, list[tuple[int, Refused]]]:
    rows, refused = [], []
    for offset, image in enumerate(images):
        try:
            rows.append(recipe(image.read()))
        except BadImage as error:
            refused.append((offset, (str(image), str(error))))
    return np.array(rows, dtype=np.uint8), refused


def _batches(
    images: Iterable, recipe: Callable[[bytes], np.ndarray], workers: int
) -> Iterator[tuple[np.ndarray, list]]:
    """`_batch` of each, in order; a few are on their way at a time, since images of the Hub are read here."""
    images = iter(images)
    batches = iter(lambda: list(islice(images, AT_ONCE)), [])
    if workers <= 1:
        yield from (_batch(batch, recipe) for batch in batches)
        return
    # Spawned, not forked: the caller may hold threads (a progress bar, torch) that a fork would break.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker)
    waiting = deque()
    try:
        for batch in batches:
            waiting.append(pool.submit(_batch, batch, recipe))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        yield from (future.result() for future in waiting)
    except BrokenProcessPool:
        raise UserError(
            f"a worker process could not start, or was killed for lack of memory; run again with fewer than {workers} "
            "workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    # The parent answers Ctrl-C for all; and a worker whose parent was killed would wait forever.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def smallest(contents: Sequence[bytes], count: int) -> np.ndarray:
    """A mask with `count` True: the contents of the smallest sha256. Neither order nor random numbers decide."""
    order = sorted(range(len(contents)), key=lambda i: hashlib.sha256(contents[i]).digest())
    return np.isin(np.arange(len(contents)), order[:count])


def held_out(names: Sequence[str], part: float) -> np.ndarray:
    """A mask over names, round(part * N) of them True, but at least one."""
    return smallest([name.encode() for name in names], max(1, round(part * len(names))))

"""A folder of images of any model, measured by a suite's protocol."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from sagan.data import load
from sagan.data.originals import SUFFIXES, BadImage, list_images
from sagan.data.photographs import FORMATS
from sagan.errors import UserError, check_known, did_you_mean
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import Sampled, features_of_images
from sagan.metrics.measures import MEASURED, measures
from sagan.metrics.reference import load_reference, make_reference
from sagan.metrics.table import METRICS, applicable
from sagan.params import Params
from sagan.plan import reference_of
from sagan.store.paths import Paths
from sagan.store.reading import read_reference
from sagan.training.devices import device_for


def score(folder: Path, dataset: str, space: str, params: Params, paths: Paths) -> Iterator[str]:
    """The metrics of a folder's images against a dataset's real ones in one feature space, a line each.

    The real side is that of the first suite on this dataset: its split, made here where it is not there yet.

    Raises:
        UserError: no suite is on this dataset or it is not prepared, the space does not fit it, or an image is none, or
            of another size.
    """
    suite = _suite(dataset, space, params, paths)
    reference = reference_of(params, suite, space, paths)
    prepared = load(paths.prepared(dataset, reference.resolution))
    images = read_images(folder, prepared.manifest["channels"], reference.resolution)
    with device_for(reference.execution, reference.threads) as device:  # before the reference's lock, as everywhere
        if read_reference(reference.key, paths).record is None:  # one that is there is not locked: it may be read-only
            make_reference(reference, prepared, paths)
        real = load_reference(reference.key, paths)
        features = features_of_images(Extractor(space, paths.reference(reference.key), paths, device), images, device)
    split = f"{real.record['real_count']} of the {reference.split} split of {dataset}"
    yield f"{len(images)} images against {split}, space {space}"
    for name, found in measures(applicable(space), Sampled(features), real).items():
        metric = METRICS[name]
        told = "no figure" if found.value is None else f"{metric.factor * found.value:.4g}"
        yield f"{metric.title}: {told}" + ("" if found.status == MEASURED else f" ({found.status})")
    if len(images) != (samples := params.suites[suite].evaluation.samples):
        yield f"note: suite {suite} measures {samples} images; FID of fewer is higher: compare figures of equal counts"


def read_images(folder: Path, channels: int, side: int) -> np.ndarray:
    """uint8 [N, C, R, R] of all images below a folder, in the order of their names. Nothing is resized or cropped.

    Raises:
        UserError: there are none, or one has another size, several frames, or pixels that are no 8-bit grey or RGB.
    """
    files, _ = list_images(folder)
    if not files:
        raise UserError(f"{folder}: no such folder, or none with images ({', '.join(SUFFIXES)})")
    images = np.empty((len(files), channels, side, side), dtype=np.uint8)
    for place, file in enumerate(files):
        try:
            images[place] = _pixels(file.read(), channels, side)
        except BadImage as error:
            raise UserError(f"{file.full}: {error}") from None
    return images


def _pixels(data: bytes, channels: int, side: int) -> np.ndarray:
    """uint8 [C, side, side] of an image that has just these pixels."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.size != (side, side):
                raise BadImage(f"{picture.width}x{picture.height}; this dataset has {side}x{side}")
            if (frames := getattr(picture, "n_frames", 1)) != 1:
                raise BadImage(f"has {frames} frames or pages, not one")
            if picture.mode not in ("L", "RGB"):
                raise BadImage(f"its pixels are {picture.mode}; save it as 8-bit grey (L) or RGB, without transparency")
            pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    except BadImage:
        raise
    except Exception:  # Pillow's decoders raise whatever their libraries do
        raise BadImage(f"no whole image ({', '.join(FORMATS)})") from None
    return pixels.reshape(side, side, channels).transpose(2, 0, 1)


def _suite(dataset: str, space: str, params: Params, paths: Paths) -> str:
    """The first suite on a dataset that measures in this space."""
    check_known(f"--dataset {dataset}", dataset, params.datasets, "dataset")
    suites = {name: suite.evaluation for name, suite in params.suites.items() if suite.dataset == dataset}
    for name, asked in suites.items():
        if space in asked.spaces:
            return name
    known = dict.fromkeys(of for asked in suites.values() for of in asked.spaces)
    why = f"no suite on {dataset} measures in it{did_you_mean(space, known)}"
    raise UserError(f"--space {space}: {why}; name it under suites.NAME.evaluation.also of {paths.params}")

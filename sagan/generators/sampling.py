"""A trained generator for people: grids, single images, interpolations, by class; and where its attention looks."""

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from sagan.errors import UserError
from sagan.generators import generator_of
from sagan.metrics.attention import layer_maps
from sagan.metrics.features import generated_images, latents, walk
from sagan.metrics.pictures import save_attention, save_grid
from sagan.store.paths import Paths
from sagan.store.records import atomic

FORMS = ("grid", "images", "interpolation")


@dataclass(frozen=True)
class Draw:
    """What to draw."""

    count: int = 64  # images
    columns: int = 8  # images in a row; in an interpolation, the steps of each walk
    seed: int = 0  # of z
    truncation: float | None = None  # the largest |z|
    of_class: str | None = None  # a class's name; None for each row's class in turn


def write_samples(
    source: str | Path, out: Path, form: str, draw: Draw, trust: bool = False, paths: Paths | None = None
) -> list[Path]:
    """Draw from a generator; the files written.

    Args:
        out: a PNG; for the form "images" a folder, which gets 00000.png and so on (.png at its end is dropped).
        form: one of `FORMS`.
        source, trust, paths: as `generator_of` takes them.

    Raises:
        UserError: no generator at `source`, no such form or class, or `out` is named as another kind of picture.
    """
    if form not in FORMS:
        raise UserError(f"--as {form}: no such form (there are: {', '.join(FORMS)})")
    is_png = out.suffix.lower() == ".png"
    if form != "images" and out.suffix and not is_png:
        raise UserError(f"--out {out}: samples are written as PNG; end the name in .png")
    generator = generator_of(source, paths, trust)
    images = samples(generator, form, draw).numpy()
    if form != "images":
        save_grid(images, draw.columns, out)
        return [out]
    folder = out.with_suffix("") if is_png else out
    files = [folder / f"{index:05d}.png" for index in range(len(images))]
    if others := {*folder.glob("[0-9]*.png")} - {*files}:
        raise UserError(
            f"--out {folder}: holds {len(others)} other images, such as {min(others).name}; name a new folder"
        )
    for image, path in zip(images, files, strict=True):
        with atomic(path) as temporary:
            Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(temporary, format="PNG")
    return files


def attention_pictures(
    source: str | Path, out: Path, count: int, seed: int, trust: bool = False, paths: Paths | None = None
) -> list[Path]:
    """One PNG in `out` for each attention layer of `generator_of`'s network: images, and where query points look.

    Raises:
        UserError: no generator at `source`, or one without attention.
    """
    generator = generator_of(source, paths, trust)
    z = latents(generator.z_dim, count, seed)
    layers = layer_maps(generator, z)
    if not layers:
        raise UserError(f"{source}: this generator has no attention layer")
    images = generated_images(generator, z, torch.device("cpu")).numpy()
    files = [out / f"generator-{layer.side}.png" for layer in layers]
    for layer, path in zip(layers, files, strict=True):
        save_attention(images, layer.maps.numpy(), path)
    return files


def samples(generator: nn.Module, form: str, draw: Draw) -> Tensor:
    """Images uint8 [count, C, R, R], row by row where they stand in rows."""
    if form == "interpolation":
        rows = -(-draw.count // draw.columns)
        ends = latents(generator.z_dim, 2 * rows, draw.seed)
        z = torch.cat([walk(a, b, draw.columns) for a, b in zip(ends[::2], ends[1::2], strict=True)])
    else:
        z = latents(generator.z_dim, draw.count, draw.seed)
    if draw.truncation is not None:
        z = truncated(z, draw.truncation)
    return generated_images(generator, z, torch.device("cpu"), _labels(generator, draw, len(z)))


def truncated(z: Tensor, threshold: float) -> Tensor:
    """Normal z to z of the normal distribution cut off at +- threshold (BigGAN's truncation, Brock et al. 2019).

    Each value keeps its quantile, so that a seed's images change smoothly with the threshold.
    """
    low, high = torch.special.ndtr(torch.tensor([-threshold, threshold], dtype=torch.double))
    quantiles = low + torch.special.ndtr(z.double()) * (high - low)
    return torch.special.ndtri(quantiles).to(z.dtype)


def _labels(generator: nn.Module, draw: Draw, count: int) -> Tensor | None:
    names = generator.config["image"]["classes"] or []
    if draw.of_class is not None:
        if draw.of_class not in names:
            accepted = f"there are: {', '.join(names)}" if names else "this generator knows no classes"
            raise UserError(f"--class {draw.of_class}: no such class ({accepted})")
        return torch.full((count,), names.index(draw.of_class))
    return torch.arange(count) // draw.columns % len(names) if names else None

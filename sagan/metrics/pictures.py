"""The pictures that lie beside an evaluation's figures, and what the attention explorer computes from."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from sagan.data import load
from sagan.metrics.attention import grid_inputs, layer_maps
from sagan.metrics.features import GRID, generated_images, labels_of, latents, walk
from sagan.nn.attention import SelfAttention, attention_layers
from sagan.store.reading import read_manifest
from sagan.store.records import atomic
from sagan.store.tensors import save_tensors

if TYPE_CHECKING:
    from sagan.metrics.figures import Figures

_PADDING = 2
_SCALE = 4  # of images beside attention maps
_ATTENTION_IMAGES = 4
EXPLORABLE_IMAGES = 8
_FILM_ROWS = 6
_WALKS = 4
# Datasets whose licence lets their images be shown in a report.
_SHOWABLE = ("mnist5k", "mnist", "stacked-mnist", "torchvision")
# Query points as (down, right) shares of the side: centre, above, below, left.
QUERY_POINTS = ((0.5, 0.5), (0.25, 0.5), (0.75, 0.5), (0.5, 0.25))
# The colours of a query point's mark and of attention (Okabe & Ito's palette, safe for the colour-blind).
_MARK, _HUE = np.array([230, 159, 0], np.uint8), np.array([86, 180, 233])


def save_pictures(figures: Figures, folder: Path) -> None:
    """Samples of a run and, unless it diverged, where its attention looks and which training images are near."""
    generator = figures.generator(figures.final_path)
    _save_samples(figures, generator, folder)
    if not figures.diverged:
        _save_attention_maps(figures, generator, folder / "attention")
        _save_neighbours(figures, generator, folder / "neighbours.png")


def _save_samples(figures: Figures, generator: nn.Module, folder: Path) -> None:
    """The grid at fixed z; the first of them over training; walks between pairs of them; each class's at the same z."""
    z, device = latents(generator.z_dim, GRID * GRID, figures.settings["seed"]), figures.device
    save_grid(generated_images(generator, z, device).numpy(), GRID, folder / "samples.png")

    frames = [generated_images(figures.generator(path), z[:_FILM_ROWS], device) for path in figures.snapshots]
    film = torch.stack(frames, dim=1).flatten(0, 1)
    save_grid(film.numpy(), len(frames), folder / "film.png")

    walks = torch.cat([walk(a, b, GRID) for a, b in zip(z[:_WALKS], z[_WALKS : 2 * _WALKS], strict=True)])
    labels = labels_of(generator, _WALKS)
    on_the_way = None if labels is None else labels.repeat_interleave(GRID)
    save_grid(generated_images(generator, walks, device, on_the_way).numpy(), GRID, folder / "interpolation.png")

    if labels is not None:
        classes = len(generator.shares.shares)
        each = torch.arange(classes).repeat_interleave(GRID)
        images = generated_images(generator, z[:GRID].repeat(classes, 1), device, each)
        save_grid(images.numpy(), GRID, folder / "samples-by-class.png")


def _save_neighbours(figures: Figures, generator: nn.Module, path: Path) -> None:
    """The generated images that are closest to a training image, each followed by its nearest training images."""
    record = figures.real.record
    prepared = figures.paths.prepared(record["dataset"], record["resolution"])
    manifest = read_manifest(prepared)
    if record["kind"] not in _SHOWABLE or manifest is None or manifest["digest"] != record["dataset_digest"]:
        return
    z, sampled = figures.final_sample()
    distances, rows = figures.nearest
    closest = distances[:, 0].argsort()[:GRID]
    labels = None if sampled.labels is None else sampled.labels[closest]
    generated = generated_images(generator, z[closest], figures.device, labels).numpy()
    training = load(prepared).split("train")[0]
    near = [training[figures.real.train_rows[row].numpy()] for row in rows[closest]]
    sheet = [np.concatenate([image[None], others]) for image, others in zip(generated, near, strict=True)]
    save_grid(np.concatenate(sheet), GRID, path)


def _save_attention_maps(figures: Figures, generator: nn.Module, folder: Path) -> None:
    """Where attention layers look in the grid's first images, and what the explorer needs of them."""
    given = grid_inputs(generator, figures.settings["seed"], figures.device)
    images = generated_images(generator, given[0], figures.device)
    seen = (images.to(figures.device) / 127.5 - 1.0,)
    for role, network, inputs in (("generator", generator, given), ("discriminator", figures.discriminator, seen)):
        for layer in layer_maps(network, *(rows[:_ATTENTION_IMAGES] for rows in inputs)):
            path = folder / f"{role}-{layer.side}.png"
            save_attention(images[:_ATTENTION_IMAGES].numpy(), layer.maps.nan_to_num(1.0).numpy(), path)
        save_explorable(network, role, inputs[0], images, folder)


@torch.no_grad()
def save_explorable(network: nn.Module, role: str, inputs: Tensor, images: Tensor, folder: Path) -> None:
    """Write `<role>-<side>.safetensors` for each attention layer: any row of its maps follows from queries and keys.

    A file holds, for the first eight images, "queries" float16 [B, N, D], "keys" float16 [B, M, D] and
    "images" uint8 [B, C, R, R]. Where query n looks is softmax(queries[b, n] @ keys[b].T), up to float16's
    rounding of the two factors.

    Args:
        inputs: what the network sees, z [>= B, z_dim] or images [>= B, C, R, R] in [-1, 1].
        images: uint8 [>= B, C, R, R], what people see of them.
    """

    def save(side: int, layer: SelfAttention, arguments: tuple[Tensor]) -> None:
        q_BND, k_BMD = layer.queries_and_keys(arguments[0])
        tensors = {"queries": q_BND.half(), "keys": k_BMD.half(), "images": images[:EXPLORABLE_IMAGES]}
        save_tensors(folder / f"{role}-{side}.safetensors", tensors)

    layers = attention_layers(network).items()
    hooks = [layer.register_forward_pre_hook(partial(save, side)) for side, layer in layers]
    network(inputs[:EXPLORABLE_IMAGES])
    for hook in hooks:
        hook.remove()


def save_grid(images: np.ndarray, columns: int, path: Path) -> None:
    """Images uint8 [N, C, R, R] (C 1 or 3) side by side, row by row, as PNG."""
    count, channels, side, _ = images.shape
    rows = -(-count // columns)
    step = side + _PADDING
    sheet = np.full((rows * step + _PADDING, columns * step + _PADDING, channels), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = (step * place + _PADDING for place in divmod(index, columns))
        sheet[top : top + side, left : left + side] = image.transpose(1, 2, 0)
    with atomic(path) as temporary:
        # Half the time of Pillow's usual level, for 6 % more bytes.
        Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(temporary, format="PNG", compress_level=4)


def save_attention(images: np.ndarray, maps: np.ndarray, path: Path) -> None:
    """Each row: an image uint8 [C, R, R], then where each query point, which is marked, looks by a map [S*S, M]."""
    panels = []
    for image, map_NM in zip(images, maps, strict=True):
        picture = np.broadcast_to(image.transpose(1, 2, 0), (*image.shape[1:], 3)).repeat(_SCALE, 0).repeat(_SCALE, 1)
        side = round(len(map_NM) ** 0.5)
        panels.append(picture)
        for down, right in QUERY_POINTS:
            panels.append(_overlay(picture, map_NM[int(down * side) * side + int(right * side)], (down, right)))
    save_grid(np.stack(panels).transpose(0, 3, 1, 2), 1 + len(QUERY_POINTS), path)


def _overlay(picture: np.ndarray, weights: np.ndarray, point: tuple[float, float]) -> np.ndarray:
    """The picture in grey with attention as brightness of one hue, and the query point as a square."""
    keys_side, side = round(len(weights) ** 0.5), len(picture)
    heat = Image.fromarray((weights / weights.max()).reshape(keys_side, keys_side).astype(np.float32))
    heat = np.asarray(heat.resize((side, side), Image.Resampling.BILINEAR))[..., None].clip(0, 1)
    grey = picture.mean(axis=2, keepdims=True) * 0.45
    panel = (grey * (1 - heat) + _HUE * heat).astype(np.uint8)
    down, right = (int(share * side) for share in point)
    reach = max(side // 28, 2)
    panel[down - reach : down + reach + 1, right - reach : right + reach + 1] = _MARK
    return panel

"""The pictures that lie beside an evaluation's figures, and what the attention explorer computes from."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sagan.data import load
from sagan.metrics.attention import grid_inputs, layer_maps
from sagan.metrics.features import Sampled, generated_images, labels_of
from sagan.metrics.latents import GRID, latents, walk
from sagan.metrics.pictures import save_attention, save_grid
from sagan.metrics.real_side import RealSide
from sagan.nn.attention import SelfAttention, attention_layers
from sagan.store.paths import Paths
from sagan.store.reading import read_manifest
from sagan.store.tensors import save_tensors

_ATTENTION_IMAGES = 4
EXPLORABLE_IMAGES = 8
_FILM_ROWS = 6
_WALKS = 4
# Datasets whose licence lets their images be shown in a report.
_SHOWABLE = ("mnist5k", "mnist", "stacked-mnist", "torchvision")


def save_samples(
    generator: nn.Module, snapshots: Iterable[nn.Module], seed: int, device: torch.device, folder: Path
) -> None:
    """The grid at fixed z; the first of them over training; walks between pairs of them; each class's at the same z."""
    z = latents(generator.z_dim, GRID * GRID, seed)
    labels = labels_of(generator, len(z))
    save_grid(generated_images(generator, z, device, labels).numpy(), GRID, folder / "samples.png")

    first = None if labels is None else labels[:_FILM_ROWS]
    frames = [generated_images(snapshot, z[:_FILM_ROWS], device, first) for snapshot in snapshots]
    film = torch.stack(frames, dim=1).flatten(0, 1)
    save_grid(film.numpy(), len(frames), folder / "film.png")

    walks = torch.cat([walk(a, b, GRID) for a, b in zip(z[:_WALKS], z[_WALKS : 2 * _WALKS], strict=True)])
    on_the_way = None if labels is None else labels[:_WALKS].repeat_interleave(GRID)
    save_grid(generated_images(generator, walks, device, on_the_way).numpy(), GRID, folder / "interpolation.png")

    if labels is not None:
        classes = len(generator.shares.shares)
        each = torch.arange(classes).repeat_interleave(GRID)
        images = generated_images(generator, z[:GRID].repeat(classes, 1), device, each)
        save_grid(images.numpy(), GRID, folder / "samples-by-class.png")


def save_neighbours(
    generator: nn.Module,
    z: Tensor,
    sampled: Sampled,
    nearest: tuple[Tensor, Tensor],
    real: RealSide,
    paths: Paths,
    device: torch.device,
    folder: Path,
) -> None:
    """The generated images that are closest to a training image, each followed by its nearest training images.

    Only for datasets whose images may be shown, and where the dataset lies here.

    Args:
        z, sampled: what was measured of the generator, row for row.
        nearest: see `formulas.nearest`, of these rows among the kept training images.
    """
    record = real.record
    prepared = paths.prepared(record["dataset"], record["resolution"])
    manifest = read_manifest(prepared)
    if record["kind"] not in _SHOWABLE or manifest is None or manifest["digest"] != record["dataset_digest"]:
        return
    distances, rows = nearest
    closest = distances[:, 0].argsort()[:GRID]
    labels = None if sampled.labels is None else sampled.labels[closest]
    generated = generated_images(generator, z[closest], device, labels)
    training = load(prepared).split("train")[0]
    near = [training[real.train_rows[row].numpy()] for row in rows[closest]]
    sheet = np.concatenate(
        [np.concatenate([image[None], others]) for image, others in zip(generated.numpy(), near, strict=True)]
    )
    save_grid(sheet, GRID, folder / "neighbours.png")


def save_attention_maps(
    generator: nn.Module, discriminator: nn.Module, seed: int, device: torch.device, folder: Path
) -> None:
    """Pictures of where attention layers look in the grid's first images, and what the explorer needs of them."""
    given = grid_inputs(generator, seed, device)
    images = generated_images(generator, latents(generator.z_dim, GRID * GRID, seed), device)
    seen = (images.to(device) / 127.5 - 1.0,)
    for role, network, inputs in (("generator", generator, given), ("discriminator", discriminator, seen)):
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
        role: "generator" or "discriminator".
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

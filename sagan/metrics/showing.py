"""Samples and attention maps of a generator file, for people."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from sagan.errors import UserError
from sagan.metrics.attention import layer_maps
from sagan.metrics.features import generated_images
from sagan.metrics.pictures import save_attention, save_grid
from sagan.nn.files import load_generator
from sagan.training.batches import derived_seed

_CPU = torch.device("cpu")


def sample_grid(source: Path, out: Path, count: int, columns: int, seed: int) -> None:
    """A grid of `count` samples as PNG. A seed's first ones stay the same where z has 16 k dimensions.

    Raises:
        UserError: `source` is no generator.
    """
    generator = _generator(source)
    save_grid(generated_images(generator, _z(generator, count, seed), _CPU).numpy(), columns, out)


def attention_pictures(source: Path, out: Path, count: int, seed: int) -> list[Path]:
    """One PNG for each attention layer: images, and where fixed query points look.

    Raises:
        UserError: `source` is no generator, or has no attention.
    """
    generator = _generator(source)
    z = _z(generator, count, seed)
    images = generated_images(generator, z, _CPU).numpy()
    layers = layer_maps(generator, z)
    if not layers:
        raise UserError(f"{source}: this generator has no attention layer")
    paths = []
    for layer in layers:
        paths.append(out / f"generator-{layer.side}.png")
        save_attention(images, layer.maps.numpy(), paths[-1])
    return paths


def _generator(source: Path) -> nn.Module:
    try:
        return load_generator(source)
    except FileNotFoundError:
        raise UserError(
            f"{source}: no generator there; name a .safetensors file or the folder of a finished run"
        ) from None
    except Exception as error:  # safetensors raises its own class for files of another kind
        raise UserError(f"{source}: not a generator of this project: {error}") from None


def _z(generator: nn.Module, count: int, seed: int) -> Tensor:
    return torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(derived_seed(seed, "grid", 0)))

"""Networks from files: safetensors only, with the configuration that travels inside."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open
from torch import nn

from sagan.nn import build_discriminator, build_generator
from sagan.nn.spectral import fold_spectral_norm


def load_generator(path: Path) -> nn.Module:
    """The generator in a file or in a run's folder, as a plain module in eval mode.

    It maps z [B, z_dim] ~ N(0, 1) to images [B, C, R, R] in [-1, 1]; `z_dim` and `config` are its attributes.
    """
    return _load(path, "generator.safetensors", build_generator)


def load_discriminator(path: Path) -> nn.Module:
    """The discriminator in a file or in a run's folder: images [B, C, R, R] in [-1, 1] to logits [B]."""
    return _load(path, "discriminator.safetensors", build_discriminator)


def _load(path: Path, default: str, build) -> nn.Module:
    path = Path(path)
    with safe_open(path / default if path.is_dir() else path, "pt") as file:
        config = json.loads(file.metadata()["config"])
        network = fold_spectral_norm(build(config)).eval().requires_grad_(False)
        network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    network.config = config
    return network

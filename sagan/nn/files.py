"""Networks from files: safetensors only, with the configuration that travels inside."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import nn

from sagan.nn import build_discriminator, build_generator
from sagan.nn.reparametrised import plain


def load_generator(path: Path) -> nn.Module:
    """The generator in a file or in a run's folder, as a plain module in eval mode.

    It maps z [B, z_dim] ~ N(0, 1) to images [B, C, R, R] in [-1, 1]; `z_dim` and `config` are its attributes.
    """
    return _load(path, "generator", build_generator)


def load_discriminator(path: Path) -> nn.Module:
    """The discriminator in a file or in a run's folder: images [B, C, R, R] in [-1, 1] to logits [B]."""
    return _load(path, "discriminator", build_discriminator)


def _load(path: Path, role: str, build: Callable[[Mapping[str, Any]], nn.Module]) -> nn.Module:
    path = Path(path)
    with safe_open(path / f"{role}.safetensors" if path.is_dir() else path, "pt") as file:
        config = json.loads(file.metadata()["config"])
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    network = build(plain(config, role)).eval().requires_grad_(False)
    network.load_state_dict(state)
    network.config = config
    return network

"""Networks from files: safetensors only, with the configuration that travels inside."""

import json
from pathlib import Path

from safetensors import safe_open
from torch import nn

from sagan.code.extensions import load_kept
from sagan.nn import build_discriminator, build_generator
from sagan.nn.extension import PREFIX, own_network
from sagan.nn.reparametrised import plain
from sagan.store.paths import Paths


def load_generator(path: Path, trust: bool = False, paths: Paths | None = None) -> nn.Module:
    """The generator in a file or in a run's folder, as a plain module in eval mode.

    It maps z [B, z_dim] ~ N(0, 1) to images [B, C, R, R] in [-1, 1]; `z_dim` and `config` are its attributes.

    Args:
        trust: execute the code that came with a copied run, where that builds the network.
        paths: of the workspace that knows which code is its own; None for the current folder.

    Raises:
        UserError: the run's own code is not beside the file, or not trusted.
    """
    return _load(path, "generator", trust, paths)


def load_discriminator(path: Path, paths: Paths | None = None) -> nn.Module:
    """The discriminator in a file or in a run's folder: images [B, C, R, R] in [-1, 1] to logits [B].

    Arguments and errors are those of `load_generator`.
    """
    return _load(path, "discriminator", False, paths)


def _load(path: Path, role: str, trust: bool, paths: Paths | None) -> nn.Module:
    from sagan.params.run import completed  # which needs more than torch

    path = path / f"{role}.safetensors" if path.is_dir() else path
    with safe_open(path, "pt") as file:
        config = completed(json.loads(file.metadata()["config"]))
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if all(name.startswith(PREFIX) for name in state):
        folder = path.parent.parent if path.parent.name == "snapshots" else path.parent
        # The run's key holds the code that lies there.
        network = own_network(role, plain(config, role), load_kept(folder, trust, paths or Paths()))
    else:
        build = build_generator if role == "generator" else build_discriminator
        network = build(plain(config, role))
    network.eval().requires_grad_(False).load_state_dict(state)
    network.config = config
    return network

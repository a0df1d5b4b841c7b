"""Generators and discriminators, built from a plain configuration. Needs torch and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from sagan.nn import dcgan
from sagan.nn.init import initialise

BACKBONES = {"dcgan": dcgan}


def build_generator(config: Mapping[str, Any]) -> nn.Module:
    """The generator of a run's configuration (`variant` and `image`), freshly initialised from torch's seed.

    It maps z [B, z_dim] ~ N(0, 1) to images [B, C, R, R] in (-1, 1).
    """
    return _build("Generator", "generator", config)


def build_discriminator(config: Mapping[str, Any]) -> nn.Module:
    """The discriminator of a run's configuration: images [B, C, R, R] in [-1, 1] to logits [B]."""
    return _build("Discriminator", "discriminator", config)


def without_spectral_norm(config: Mapping[str, Any], role: str) -> dict[str, Any]:
    """The configuration of the network that weights with spectral norm folded in load into."""
    variant = config["variant"]
    return {**config, "variant": {**variant, role: {**variant[role], "spectral_norm": False}}}


def _build(class_name: str, role: str, config: Mapping[str, Any]) -> nn.Module:
    variant, image = config["variant"], config["image"]
    network_class = getattr(BACKBONES[variant["backbone"]], class_name)
    network = network_class(resolution=image["resolution"], image_channels=image["channels"], **variant[role])
    initialise(network, variant["init"])
    return network

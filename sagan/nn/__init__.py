"""Generators and discriminators, built from a plain configuration. Needs torch and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from sagan.nn import biggan, dcgan, resnet, sngan
from sagan.nn.init import initialise
from sagan.nn.multiscale import MultiScale
from sagan.nn.parts import make_parts
from sagan.shapes import scale_resolutions

BACKBONES = {
    "dcgan": dcgan,
    "faces": dcgan,
    "sngan": sngan,
    "sngan-resnet": resnet,
    "sagan-resnet": resnet,
    "biggan": biggan,
    "biggan-deep": biggan,
}


def build_generator(config: Mapping[str, Any]) -> nn.Module:
    """The generator of a run's configuration (`variant` and `image`), freshly initialised from torch's seed.

    It maps z [B, z_dim] ~ N(0, 1), and labels int64 [B] where `image` names classes, to images [B, C, R, R]
    in (-1, 1).
    """
    variant, image = config["variant"], config["image"]
    switches, parts = variant["generator"], make_parts("generator", config)
    shape = (variant["backbone"], image["resolution"], image["channels"])
    network = BACKBONES[variant["backbone"]].generator(*shape, switches["z_dim"], switches["width"], parts)
    initialise(network, variant["init"])
    return network


def build_discriminator(config: Mapping[str, Any]) -> nn.Module:
    """The discriminator of a run's configuration: images [B, C, R, R] in [-1, 1], and labels, to logits [B].

    With `scales` > 1 the logits are [B, scales]; attention is in the one that sees whole images.
    """
    variant, image = config["variant"], config["image"]
    switches, parts = variant["discriminator"], make_parts("discriminator", config)
    make = BACKBONES[variant["backbone"]].discriminator
    networks = []
    for resolution in scale_resolutions(image["resolution"], switches.get("scales", 1)):
        networks.append(make(variant["backbone"], resolution, image["channels"], switches["width"], parts))
        parts = parts.without_attention()
    network = MultiScale(networks) if len(networks) > 1 else networks[0]
    initialise(network, variant["init"])
    return network


def without_spectral_norm(config: Mapping[str, Any], role: str) -> dict[str, Any]:
    """The configuration of the network that weights with spectral norm folded in load into."""
    variant = config["variant"]
    return {**config, "variant": {**variant, role: {**variant[role], "spectral_norm": False}}}

"""Generators and discriminators, built from a plain configuration. Needs torch and nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from sagan.code.fingerprint import Table
from sagan.nn import biggan, dcgan, progressive, resnet, sngan
from sagan.nn.init import initialise
from sagan.nn.parts import MultiScale, Parts, make_parts
from sagan.nn.reparametrised import in_use
from sagan.shapes import scale_resolutions


@dataclass(frozen=True)
class Backbone:
    """A pair of networks for images of side `resolution`, of so many channels as each module says of `width`."""

    # (backbone, resolution, image_channels, z_dim, width, parts) -> z [B, z_dim] to images
    generator: Callable[[str, int, int, int, int, Parts], nn.Module]
    # (backbone, resolution, image_channels, width, parts) -> images to logits [B]
    discriminator: Callable[[str, int, int, int, Parts], nn.Module]


BACKBONES: Table[str, Backbone] = {
    "dcgan": Backbone(dcgan.generator, dcgan.discriminator),
    "faces": Backbone(dcgan.generator, dcgan.discriminator),
    "sngan": Backbone(sngan.generator, sngan.discriminator),
    "sngan-resnet": Backbone(resnet.generator, resnet.discriminator),
    "sagan-resnet": Backbone(resnet.generator, resnet.discriminator),
    "biggan": Backbone(biggan.generator, biggan.discriminator),
    "progressive": Backbone(progressive.generator, progressive.discriminator),
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
    return _initialised(network, variant["init"], switches)


def build_discriminator(config: Mapping[str, Any]) -> nn.Module:
    """The discriminator of a run's configuration: images [B, C, R, R] in [-1, 1], and labels, to logits [B].

    With `scales` > 1 the logits are [B, scales]; attention is in the one that sees whole images.
    """
    variant, image = config["variant"], config["image"]
    switches, parts = variant["discriminator"], make_parts("discriminator", config)
    make = BACKBONES[variant["backbone"]].discriminator
    networks = []
    for resolution in scale_resolutions(image["resolution"], switches["scales"]):
        networks.append(make(variant["backbone"], resolution, image["channels"], switches["width"], parts))
        parts = parts.without_attention()
    network = MultiScale(networks) if len(networks) > 1 else networks[0]
    return _initialised(network, variant["init"], switches)


def _initialised(network: nn.Module, scheme: str, switches: Mapping[str, Any]) -> nn.Module:
    initialise(network, scheme)
    for reparametrisation in in_use(switches):
        reparametrisation.settle(network)
    return network

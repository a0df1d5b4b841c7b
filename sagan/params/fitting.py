"""Whether a variant can make images of a size, and fits a dataset."""

from __future__ import annotations

from sagan.errors import UserError
from sagan.params.spaces import features_of
from sagan.params.suites import LEAST_IMAGES, Suite
from sagan.params.variants import Variant
from sagan.shapes import BASE_SIDE, feature_sides, resolve_side, scale_resolutions
from sagan.store.paths import Paths
from sagan.store.records import Json


def check_resolution(name: str, variant: Variant, resolution: int, asked: str) -> None:
    """Refuse images that a variant's backbone, scales or places of attention do not allow.

    Args:
        asked: what asks for the images, such as "in suite 'quick'".

    Raises:
        UserError: the key that says otherwise, and what it accepts.
    """
    known = BASE_SIDE[variant.backbone]
    accepted = ", ".join(map(str, known))
    if resolution not in known:
        raise UserError(
            f"variants.{name}.backbone = {variant.backbone!r}: makes images of {accepted} pixels, and "
            f"{asked} they have {resolution}"
        )
    smallest = scale_resolutions(resolution, variant.discriminator.scales)[-1]
    if smallest not in known:
        raise UserError(
            f"variants.{name}.discriminator.scales = {variant.discriminator.scales}: {asked} the last discriminator "
            f"would see {smallest} pixels, and {variant.backbone} takes {accepted}"
        )
    for network in ("generator", "discriminator"):
        sides = feature_sides(variant.backbone, network, resolution)
        switches = getattr(variant, network)
        for place in switches.attention_at:
            side = resolve_side(place, resolution)
            where = f"variants.{name}.{network}.attention_at = {place!r}"
            if side not in sides:
                raise UserError(
                    f"{where}: {asked} the images are {resolution}x{resolution} and the {variant.backbone} {network} "
                    f"has feature maps of {', '.join(map(str, sides))}"
                )
            if side % 2 and switches.attention in ("official", "average-pooled"):
                raise UserError(
                    f"{where}: {switches.attention} attention pools keys 2x2, which a side of {side} does not allow; "
                    "say `attention: unpooled` or name a larger map"
                )


def check_real_images(suite: Suite, name: str, manifest: Json, paths: Paths) -> None:
    """Refuse to compare with a split of fewer real images than a feature space's FID needs.

    Raises:
        UserError: the split has too few.
    """
    if (rows := manifest.get("splits", {}).get(suite.evaluation.split)) is None:
        return  # `PreparedDataset.split` says which there are
    first, last = rows
    for space in suite.evaluation.spaces:
        if last - first < (least := max(features_of(space), LEAST_IMAGES)):
            raise UserError(
                f"{paths.params}: suites.{name}.evaluation.split = {suite.evaluation.split!r}: dataset "
                f"{suite.dataset!r} has {last - first} such images, and FID in {space!r} needs {least}"
            )

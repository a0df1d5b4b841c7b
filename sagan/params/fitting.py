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
    backbone, scales = variant.backbone, variant.discriminator.scales
    known, smallest = BASE_SIDE[backbone], scale_resolutions(resolution, scales)[-1]
    accepted = ", ".join(map(str, known))
    if resolution not in known:
        problem = f"makes images of {accepted} pixels, and {asked} they have {resolution}"
        raise UserError(f"variants.{name}.backbone = {backbone!r}: {problem}")
    if smallest not in known:
        problem = f"{asked} the last discriminator would see {smallest} pixels, and {backbone} takes {accepted}"
        raise UserError(f"variants.{name}.discriminator.scales = {scales}: {problem}")
    for role, network in (("generator", variant.generator), ("discriminator", variant.discriminator)):
        sides, form = feature_sides(backbone, role, resolution), network.attention
        for place in network.attention_at:
            side, problem = resolve_side(place, resolution), ""
            if side not in sides:
                problem = (
                    f"{asked} the images are {resolution}x{resolution} and the {backbone} {role} has feature maps of "
                )
                problem += ", ".join(map(str, sides))
            elif side and side % 2 and form in ("official", "average-pooled"):
                problem = f"{form} attention pools keys 2x2, which a side of {side} does not allow"
                problem += "; say `attention: unpooled` or name a larger map"
            if problem:
                raise UserError(f"variants.{name}.{role}.attention_at = {place!r}: {problem}")


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

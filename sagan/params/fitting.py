"""Whether a variant can make images of a size."""

from __future__ import annotations

from sagan.errors import UserError
from sagan.params.variants import Variant
from sagan.shapes import BASE_SIDE, feature_sides, resolve_side, scale_resolutions


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

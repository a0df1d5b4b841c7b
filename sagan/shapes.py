"""Arithmetic of image resolutions, shared by the parameter checks and the networks.

Pure Python: planning a benchmark must not wait for torch to load.
"""

# The side of the first (smallest) feature map for each image side that the backbones support.
# 28 = 7 * 2^2 is MNIST's; the powers of two start at 4 as in DCGAN (Radford et al. 2015, fig. 1).
BASE_SIDE = {28: 7, 32: 4, 64: 4, 128: 4}


def feature_sides(resolution: int) -> list[int]:
    """Sides of the feature maps of a backbone, smallest first, without the image itself.

    >>> feature_sides(28), feature_sides(64)
    ([7, 14], [4, 8, 16, 32])
    """
    side = BASE_SIDE[resolution]
    sides = []
    while side < resolution:
        sides.append(side)
        side *= 2
    return sides


def resolve_side(place: int | str, resolution: int) -> int | None:
    """A placement as a feature side in pixels: 14 is itself, "1/2" is half the image's side.

    Returns None where the fraction does not divide the resolution.
    """
    if isinstance(place, int):
        return place
    denominator = int(place.removeprefix("1/"))
    side, remainder = divmod(resolution, denominator)
    return None if remainder else side

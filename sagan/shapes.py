"""Arithmetic of image resolutions. Pure Python: planning a benchmark must not wait for torch to load."""

from sagan.code.fingerprint import Table

# The side of the first (smallest) feature map for each image side that a backbone supports.
# 28 = 7 * 2^2 is MNIST's; the powers of two start at 4 as in DCGAN (Radford et al. 2015, fig. 1).
_FOUR = {28: 7, 32: 4, 64: 4, 128: 4}
BASE_SIDE: Table[str, dict[int, int]] = {
    "dcgan": _FOUR,
    "faces": {64: 8},  # the face port's dense layer gives 8x8
    "sngan": {28: 7, 32: 4, 64: 8, 128: 16},  # an eighth of the image (Miyato et al. 2018, table 3)
    "sngan-resnet": _FOUR,
    "sagan-resnet": _FOUR,
    "biggan": _FOUR,
    "progressive": _FOUR,
}

# Residual networks: (side, channels in units of the width) after each block, the first being the linear layer's.
# 32 (and so 28): Miyato et al. 2018, table 4; 128: table 6 and SAGAN's official code; 64: between the two.
RESIDUAL_UP: Table[int, list[tuple[int, int]]] = {
    28: [(7, 1), (14, 1), (28, 1)],
    32: [(4, 1), (8, 1), (16, 1), (32, 1)],
    64: [(4, 16), (8, 8), (16, 4), (32, 2), (64, 1)],
    128: [(4, 16), (8, 16), (16, 8), (32, 4), (64, 2), (128, 1)],
}
RESIDUAL_DOWN: Table[int, list[tuple[int, int]]] = {
    28: [(14, 1), (7, 1), (7, 1), (7, 1)],
    32: [(16, 1), (8, 1), (8, 1), (8, 1)],
    64: [(32, 1), (16, 2), (8, 4), (4, 8), (2, 16)],
    128: [(64, 1), (32, 2), (16, 4), (8, 8), (4, 16), (4, 16)],
}
# BigGAN's discriminators stop at 4x4 (Brock et al. 2019, table 4).
BIGGAN_DOWN: Table[int, list[tuple[int, int]]] = {**RESIDUAL_DOWN, 64: [(32, 1), (16, 2), (8, 4), (4, 8), (4, 16)]}
_DOWN: Table[str, dict[int, list[tuple[int, int]]]] = {
    "sngan-resnet": RESIDUAL_DOWN,
    "sagan-resnet": RESIDUAL_DOWN,
    "biggan": BIGGAN_DOWN,
}


def doublings(backbone: str, resolution: int) -> list[int]:
    """Sides from a backbone's smallest feature map to the image, each twice the one before.

    >>> doublings("dcgan", 28), doublings("faces", 64)
    ([7, 14, 28], [8, 16, 32, 64])
    """
    sides = [BASE_SIDE[backbone][resolution]]
    while sides[-1] < resolution:
        sides.append(2 * sides[-1])
    return sides


def feature_sides(backbone: str, role: str, resolution: int) -> list[int]:
    """Sides of the feature maps of a "generator" or "discriminator" that attention can follow, smallest first.

    >>> feature_sides("dcgan", "generator", 64), feature_sides("sngan-resnet", "discriminator", 128)
    ([4, 8, 16, 32], [4, 8, 16, 32, 64])
    """
    if backbone not in _DOWN:
        sides = doublings(backbone, resolution)
        return sides if backbone == "sngan" else sides[:-1]
    if role == "generator":
        return [side for side, _ in RESIDUAL_UP[resolution][1:]]
    return sorted({side for side, _ in _DOWN[backbone][resolution]})


def scale_resolutions(resolution: int, scales: int) -> list[int]:
    """The sides that the discriminators of a multi-scale one see.

    >>> scale_resolutions(128, 3)
    [128, 64, 32]
    """
    return [resolution // 2**scale for scale in range(scales)]


def resolve_side(place: int | str, resolution: int) -> int | None:
    """A placement as a feature side in pixels: 14 is itself, "1/2" is half the image's side.

    Returns None where the fraction does not divide the resolution.
    """
    if isinstance(place, int):
        return place
    side, remainder = divmod(resolution, int(place.removeprefix("1/")))
    return None if remainder else side

"""`describe`: the networks of a variant as tables in Markdown."""

from __future__ import annotations

from sagan.errors import UserError, did_you_mean
from sagan.fitting import check_resolution
from sagan.loading import suite_variant
from sagan.nn.describe import Layer, describe
from sagan.params import Params
from sagan.params.datasets import AnyDataset
from sagan.params.run import switched_on
from sagan.plan import resolved_variant
from sagan.records import Json

_RESOLUTION, _CHANNELS = 64, 3
_GREY = ("mnist5k", "mnist", "fashion-mnist")  # kinds of datasets whose entry does not say how many channels
_CLASSES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")


def describe_variant(
    params: Params, name: str, suite: str | None, resolution: int | None = None, channels: int | None = None
) -> list[str]:
    """Lines that describe a variant's generator and discriminator.

    Args:
        suite: a suite whose overrides are laid over the variant; None for the variant as it stands.
        resolution, channels: of the images; None for those of the suite's dataset, and without a suite for 64 and 3.
            Conditional variants are shown with ten classes.

    Raises:
        UserError: no such variant or suite, or the variant cannot make such images.
    """
    if name not in params.variants:
        raise UserError(f"{name}: no such variant{did_you_mean(name, params.variants)}")
    if suite is not None and suite not in params.suites:
        raise UserError(f"--suite {suite}: no such suite{did_you_mean(suite, params.suites)}")
    variant = suite_variant(params, suite, name) if suite else params.variants[name]
    dataset = params.datasets[params.suites[suite].dataset] if suite else None
    if resolution is None:
        resolution = dataset.resolution if dataset else _RESOLUTION
    if channels is None:
        channels = _channels(dataset) if dataset else _CHANNELS
    check_resolution(name, variant, resolution, f"with --resolution {resolution}")
    image: Json = {"channels": channels, "resolution": resolution}
    if variant.condition is not None:
        image["classes"] = list(_CLASSES) if variant.condition == "class" else ["without", "with"]
    networks = describe({"variant": switched_on(resolved_variant(variant, resolution)), "image": image})
    lines = [f"{name}: {variant.description}"] if variant.description else [name]
    for role, layers in networks.items():
        lines += ["", *_table(role, layers)]
    return lines


def _channels(dataset: AnyDataset) -> int:
    return getattr(dataset, "channels", 1 if dataset.kind in _GREY else 3)


def _table(role: str, layers: list[Layer]) -> list[str]:
    total = sum(layer.parameters for layer in layers)
    cost = sum(layer.multiply_adds for layer in layers)
    rows = [("layer", "kind", "output", "parameters", "multiply-adds", "SN")]
    for layer in layers:
        shape = " x ".join(map(str, layer.shape)) or "1"
        norm = "yes" if layer.spectral_norm else ""
        rows.append((layer.name, layer.kind, shape, f"{layer.parameters:,}", f"{layer.multiply_adds:,}", norm))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = [f"| {' | '.join(_aligned(row, widths))} |" for row in rows]
    rule = [("-" * (width + 1) + ":") if 3 <= column <= 4 else "-" * (width + 2) for column, width in enumerate(widths)]
    return [
        f"{role}: {total:,} parameters, {cost / 1e6:,.1f} million multiply-adds an image",
        "",
        lines[0],
        f"|{'|'.join(rule)}|",
        *lines[1:],
    ]


def _aligned(row: tuple[str, ...], widths: list[int]) -> list[str]:
    columns = enumerate(zip(row, widths, strict=True))
    return [text.rjust(width) if 3 <= column <= 4 else text.ljust(width) for column, (text, width) in columns]

"""`describe`: the networks of a variant as tables in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Container

from sagan.code.extensions import check_extension, load_extension
from sagan.errors import check_known
from sagan.nn.describe import Layer, describe
from sagan.params import Params
from sagan.params.datasets import AnyDataset
from sagan.params.fitting import check_resolution
from sagan.params.run import Image, networks_of
from sagan.params.variants import Variant
from sagan.plan import resolved_variant
from sagan.store.paths import Paths

_RESOLUTION, _CHANNELS = 64, 3
_GREY = ("mnist5k", "mnist")  # kinds of datasets whose entry does not say how many channels


def describe_variant(
    params: Params,
    name: str,
    suite: str | None,
    resolution: int | None = None,
    channels: int | None = None,
    paths: Paths | None = None,
) -> list[str]:
    """Lines that describe a variant's generator and discriminator layer by layer, or a grid's variants in a row each.

    Args:
        name: of a variant or a grid.
        suite: a suite whose dataset's images are made; None for those below.
        resolution, channels: of the images; None for those of the suite's dataset, and without a suite for 64 and 3.
            Conditional variants are shown with ten classes.
        paths: of the clone that own code lies in; None for the current folder.

    Raises:
        UserError: no such variant or suite, or the variant cannot make such images.
    """
    check_known(name, name, [*params.variants, *params.grids], "variant or grid")
    if suite is not None:
        check_known(f"--suite {suite}", suite, params.suites, "suite")
    dataset = params.datasets[params.suites[suite].dataset] if suite else None
    if resolution is None:
        resolution = dataset.resolution if dataset else _RESOLUTION
    if channels is None:
        channels = _channels(dataset) if dataset else _CHANNELS

    def networks(variant_name: str) -> dict[str, list[Layer]]:
        variant = params.variants[variant_name]
        check_resolution(variant_name, variant, resolution, f"with --resolution {resolution}")
        image = _image(variant, channels, resolution)
        config = networks_of(resolved_variant(variant, resolution), image)
        if variant.extension is None:
            return describe(config)
        file, place = (paths or Paths()).root / variant.extension.file, f"variants.{variant_name}.extension.file"
        sources, _ = check_extension(file, place)
        return describe(config, load_extension(sources, f"{place} = {file.as_posix()!r}"))

    if name in params.grids:
        return _grid(params.grids[name], networks)
    variant = params.variants[name]
    lines = [f"{name}: {variant.description}"] if variant.description else [name]
    if variant.caution is not None:
        lines += ["", f"Warning: {variant.caution}."]
    for role, layers in networks(name).items():
        lines += ["", *_network(role, layers)]
    return lines


def _grid(cells: dict[str, dict[str, str]], networks: Callable[[str], dict[str, list[Layer]]]) -> list[str]:
    """A row for each variant of a grid: the level of each factor, and what its networks cost."""
    factors = list(next(iter(cells.values())))
    rows = [("variant", *factors, "G parameters", "G multiply-adds", "D parameters", "D multiply-adds")]
    for variant, levels in cells.items():
        sums = []
        for layers in networks(variant).values():
            sums += [sum(layer.parameters for layer in layers), sum(layer.multiply_adds for layer in layers)]
        rows.append((variant, *(levels[factor] for factor in factors), *(f"{total:,}" for total in sums)))
    return _table(rows, numbers=range(1 + len(factors), len(rows[0])))


def _image(variant: Variant, channels: int, resolution: int) -> Image:
    classes = [str(digit) for digit in range(10)] if variant.condition == "class" else ["without", "with"]
    return Image(channels=channels, resolution=resolution, classes=classes if variant.condition else None)


def _channels(dataset: AnyDataset) -> int:
    return getattr(dataset, "channels", 1 if dataset.kind in _GREY else 3)


def _network(role: str, layers: list[Layer]) -> list[str]:
    total = sum(layer.parameters for layer in layers)
    cost = sum(layer.multiply_adds for layer in layers)
    rows: list[tuple[str, ...]] = [("layer", "kind", "output", "parameters", "multiply-adds", "SN")]
    for layer in layers:
        shape = " x ".join(map(str, layer.shape)) or "1"
        norm = "yes" if layer.spectral_norm else ""
        rows.append((layer.name, layer.kind, shape, f"{layer.parameters:,}", f"{layer.multiply_adds:,}", norm))
    return [
        f"{role}: {total:,} parameters, {cost / 1e6:,.1f} million multiply-adds an image",
        "",
        *_table(rows, numbers=(3, 4)),
    ]


def _table(rows: list[tuple[str, ...]], numbers: Container[int]) -> list[str]:
    """A table in Markdown, its head first; columns of numbers stand to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligned = [
        [text.rjust(width) if column in numbers else text.ljust(width) for column, (text, width) in enumerate(cells)]
        for cells in (zip(row, widths, strict=True) for row in rows)
    ]
    head, *body = [f"| {' | '.join(row)} |" for row in aligned]
    rule = [f"{'-' * (width + 1)}{':' if column in numbers else '-'}" for column, width in enumerate(widths)]
    return [head, f"|{'|'.join(rule)}|", *body]

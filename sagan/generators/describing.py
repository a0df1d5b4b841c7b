"""`describe`: the networks of a variant as tables in Markdown."""

from sagan.code.extensions import check_extension, load_extension
from sagan.errors import check_known
from sagan.nn.describe import Layer, describe
from sagan.params import Params
from sagan.params.loading import check_resolution
from sagan.params.run import Image, networks_of, resolved_variant
from sagan.store.paths import Paths


def describe_variant(
    params: Params, name: str, suite: str | None, resolution: int | None = None, paths: Paths | None = None
) -> list[str]:
    """Lines that describe a variant's generator and discriminator layer by layer.

    Args:
        suite: a suite whose dataset's images are made; None for 64x64 pixels in colour.
        resolution: of the images instead. Conditional variants are shown with ten classes.
        paths: of the clone that own code lies in; None for the current folder.

    Raises:
        UserError: no such variant or suite, or the variant cannot make such images.
    """
    check_known(name, name, params.grids.get(name, params.variants), "variant")
    channels, side, asked = 3, 64, "without --resolution or --suite"
    if suite is not None:
        check_known(f"--suite {suite}", suite, params.suites, "suite")
        dataset = params.datasets[params.suites[suite].dataset]
        channels, side, asked = dataset.channels, dataset.resolution, f"in suite {suite!r}"
    if resolution is not None:
        side, asked = resolution, f"with --resolution {resolution}"
    variant = params.variants[name]
    check_resolution(name, variant, side, asked)
    classes = [str(digit) for digit in range(10)] if variant.condition == "class" else ["without", "with"]
    image = Image(channels=channels, resolution=side, classes=classes if variant.condition else None)
    config, own = networks_of(resolved_variant(variant, side), image), None
    if variant.extension is not None:
        file = (paths or Paths()).root / variant.extension.file
        own = load_extension(check_extension(file, f"variants.{name}.extension.file"))
    lines = [f"{name}: {variant.description}" if variant.description else name]
    if variant.caution is not None:
        lines += ["", f"Warning: {variant.caution}."]
    for role, (parameters, layers) in describe(config, own).items():
        lines += ["", *_network(role, parameters, layers)]
    return lines


def _network(role: str, parameters: int, layers: list[Layer]) -> list[str]:
    """A network's sums, and its layers as a table."""
    cost = sum(layer.multiply_adds for layer in layers)
    rows: list[tuple[str, ...]] = [("layer", "kind", "output", "parameters", "multiply-adds", "SN")]
    for layer in layers:
        shape = " x ".join(map(str, layer.shape)) or "1"
        norm = "yes" if layer.spectral_norm else ""
        rows.append((layer.name, layer.kind, shape, f"{layer.parameters:,}", f"{layer.multiply_adds:,}", norm))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table, numbers = [], (3, 4)  # these columns stand to the right
    for row in rows:
        cells = (t.rjust(w) if c in numbers else t.ljust(w) for c, (t, w) in enumerate(zip(row, widths, strict=True)))
        table.append(f"| {' | '.join(cells)} |")
    rule = [f"{'-' * (width + 1)}{':' if column in numbers else '-'}" for column, width in enumerate(widths)]
    table.insert(1, f"|{'|'.join(rule)}|")
    return [f"{role}: {parameters:,} parameters, {cost / 1e6:,.1f} million multiply-adds an image", "", *table]

"""Verbs that look at what is there: trained generators, variants, weights, the runs' pages."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from sagan.cli.app import PATHS, TrustOption, app
from sagan.errors import UserError
from sagan.params import write_schema
from sagan.params.loading import load_params
from sagan.plan.reach import recipe_lines
from sagan.store.paths import TIMM, experiment_paths
from sagan.store.weights import PUBLISHED, weights_lines
from sagan.verifying import agreement

GeneratorArgument = Annotated[
    str, typer.Argument(help="A finished run's key, as `plan` lists it; its folder; or a .safetensors file.")
]


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of this machine, for the pages.")] = 5000,
) -> None:
    """Open MLflow's pages on this machine (127.0.0.1) over the runs that were sent; says where they are."""
    from sagan.tracking import serve

    raise typer.Exit(serve(load_params(PATHS.params), PATHS, port))


@app.command()
def sample(
    source: GeneratorArgument,
    out: Annotated[Path, typer.Option(help="The PNG to write; the folder, for --as images.")] = Path("samples.png"),
    form: Annotated[
        str, typer.Option("--as", help="`grid`, `images` (one PNG each), or `interpolation` (a walk in each row).")
    ] = "grid",
    count: Annotated[int, typer.Option(min=1, help="Images.")] = 64,
    columns: Annotated[int, typer.Option(min=1, help="Images in a row.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Seed of z.")] = 0,
    truncation: Annotated[
        float | None, typer.Option(min=0.01, help="Keep z within this: more typical images, fewer kinds.")
    ] = None,
    of_class: Annotated[
        str | None, typer.Option("--class", help="For conditional generators. Default: a class for each row in turn.")
    ] = None,
    trust: TrustOption = False,
) -> None:
    """Draw samples from a trained generator: a grid, single images, or walks between pairs of them."""
    from sagan.generators.sampling import Draw, write_samples

    draw = Draw(count, columns, seed, truncation, of_class)
    written = write_samples(source, out, form, draw, trust, PATHS)
    print(f"{written[0].parent}: {len(written)} images" if form == "images" else written[0])


@app.command()
def describe(
    variant: Annotated[str, typer.Argument(help="A variant of params.yaml.")],
    suite: Annotated[
        str | None, typer.Option(help="For the images of this suite's dataset; with --recipe, with its training.")
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(min=1, help="Side of the images in pixels. Default: the suite's, or 64.")
    ] = None,
    recipe: Annotated[
        bool, typer.Option("--recipe", help="Show what runs instead: every setting, and where its value is said.")
    ] = False,
) -> None:
    """Show a variant's two networks layer by layer (shapes, parameters, multiply-adds, ...)."""
    params = load_params(PATHS.params)
    lines: Iterable[str]
    if recipe:
        lines = recipe_lines(params, variant, suite)
    else:
        from sagan.generators.describing import describe_variant

        lines = describe_variant(params, variant, suite, resolution, PATHS)
    for line in lines:
        print(line)


@app.command()
def attend(
    source: GeneratorArgument,
    out: Annotated[Path, typer.Option(help="Folder for one PNG an attention layer.")] = Path("attention"),
    count: Annotated[int, typer.Option(min=1, help="Images.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Seed of z.")] = 0,
    trust: TrustOption = False,
) -> None:
    """Show where a generator's attention layers look, for fixed query points."""
    from sagan.generators.sampling import attention_pictures

    for path in attention_pictures(source, out, count, seed, trust, PATHS):
        print(path)


@app.command()
def export(
    source: GeneratorArgument,
    out: Annotated[Path, typer.Argument(help="The file to write: .onnx, or .pt2 for torch.export.")],
    trust: TrustOption = False,
) -> None:
    """Write a trained generator for other programs, and hold the result to the generator's own output."""
    from sagan.generators.exporting import export_generator

    difference = export_generator(source, out, trust, PATHS)
    print(f"{out}: differs by at most {difference:.1e} of pixel values in [-1, 1]")


@app.command()
def weights(
    extractors: Annotated[
        list[str] | None,
        typer.Argument(metavar="[EXTRACTOR]...", help="As under evaluation.extractor. Default: inception."),
    ] = None,
    only_list: Annotated[bool, typer.Option("--list", help="Say which weights are there, and fetch nothing.")] = False,
) -> None:
    """Fetch the weights of feature extractors, check them by digest, and say which are there."""
    wanted = extractors or ["inception"]
    for extractor in wanted:
        if extractor not in PUBLISHED and not extractor.startswith(TIMM):
            known = f"{', '.join(PUBLISHED)}, timm:NAME"
            raise UserError(f"weights: there is no {extractor!r} to fetch; there are: {known}")
    if not only_list:
        from sagan.metrics.fetching import fetch_weights

        for extractor in wanted:
            print(fetch_weights(extractor, PATHS))
    for line in weights_lines(PATHS, [extractor for extractor in wanted if extractor.startswith(TIMM)]):
        print(line)


@app.command()
def where(
    experiment: Annotated[
        str | None, typer.Argument(help="A DVC experiment run with --temp or --queue. Default: the workspace.")
    ] = None,
) -> None:
    """Say what the reports answer, where their pages are, and how to look at the runs."""
    if experiment is None:
        place, suites = PATHS, load_params(PATHS.params).repro
    else:
        place = experiment_paths(experiment, PATHS)
        suites = [folder.name for folder in sorted((place.root / "reports").iterdir())]
    from sagan.analysis.build import whereabouts

    for line in whereabouts(suites, place):
        print(line)
    if experiment is None:
        for suite in suites:
            if (line := agreement(suite, PATHS)) is not None:
                print(f"{suite}: {line}")
    print("MLflow: make ui")
    if experiment is not None:
        from sagan.comparing import WORKSPACE
        from sagan.comparing import compare as compared

        for suite in (name for name in suites if (PATHS.report(name) / "report.json").exists()):
            print(f"{experiment} instead of the {WORKSPACE}, {suite}:")
            for line in compared(WORKSPACE, experiment, suite, PATHS):
                print(f"  - {line}")


@app.command(hidden=True)
def schema(out: Annotated[Path, typer.Argument()] = Path("workflow/schemas/params.schema.json")) -> None:
    """Write the JSON schema of params.yaml anew from its types."""
    write_schema(out)
    print(out)

"""Verbs that look at what is there: generators, variants, weights, runs and reports, and what these answer."""

from pathlib import Path
from typing import Annotated

import typer

from sagan.cli.app import PATHS, TrustOption, app, show
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
MlflowOption = Annotated[
    str | None, typer.Option("--mlflow", help="Take the runs from this MLflow experiment (MLFLOW_TRACKING_URI).")
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
    if recipe:
        show(recipe_lines(params, variant, suite))
    else:
        from sagan.generators.describing import describe_variant

        show(describe_variant(params, variant, suite, resolution, PATHS))


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

    show(attention_pictures(source, out, count, seed, trust, PATHS))


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

        show(fetch_weights(extractor, PATHS) for extractor in wanted)
    show(weights_lines(PATHS, [extractor for extractor in wanted if extractor.startswith(TIMM)]))


@app.command()
def where(
    experiment: Annotated[
        str | None, typer.Argument(help="A DVC experiment run with --temp or --queue. Default: the workspace.")
    ] = None,
) -> None:
    """Say what the reports answer, where their pages are, and how to look at the runs."""
    from sagan.analysis.build import whereabouts

    if experiment is None:
        suites = load_params(PATHS.params).repro
        show(whereabouts(suites, PATHS))
        show(f"{suite}: {line}" for suite in suites if (line := agreement(suite, PATHS)) is not None)
        print("MLflow: make ui")
        return
    from sagan.comparing import WORKSPACE
    from sagan.comparing import compare as compared

    place = experiment_paths(experiment, PATHS)
    suites = sorted(folder.name for folder in (place.root / "reports").iterdir())
    show(whereabouts(suites, place))
    print("MLflow: make ui")
    for suite in (name for name in suites if (PATHS.report(name) / "report.json").exists()):
        print(f"{experiment} instead of the {WORKSPACE}, {suite}:")
        show(f"  - {line}" for line in compared(WORKSPACE, experiment, suite, PATHS))


@app.command()
def analyse(
    factors: Annotated[
        list[str], typer.Option("--factor", help="A column with levels; `NAME=LEVEL` says which one others replace.")
    ],
    metric: Annotated[str, typer.Option(help="The column of figures.")],
    results: Annotated[
        Path | None, typer.Argument(help="A CSV file, one row a run (or, with --step, a snapshot).")
    ] = None,
    mlflow: MlflowOption = None,
    time: Annotated[str | None, typer.Option(help="The column of seconds that training has spent so far.")] = None,
    step: Annotated[str | None, typer.Option(help="The column of steps, where rows are snapshots of runs.")] = None,
    run: Annotated[str | None, typer.Option(help="The column that tells runs of one cell apart, with --step.")] = None,
    lower_is_better: Annotated[
        bool | None, typer.Option("--lower-is-better/--higher-is-better", help="Of a metric that is not known here.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for effects.csv and effects.png. Default: NAME-effects, here.")
    ] = None,
) -> None:
    """Answer which factors help in runs of any code base: per step, and per second where snapshots say."""
    from sagan.analysis.foreign import analyse_results, read_results
    from sagan.analysis.tables import effects_table

    if (results is None) == (mlflow is None):
        raise UserError("analyse: say a CSV file, or --mlflow NAME")
    if results is not None:
        table, source = read_results(results), str(results)
    else:
        from sagan.tracking.connection import runs_table

        table, source = runs_table(mlflow, load_params(PATHS.params), PATHS), mlflow
    found, notes = analyse_results(table, source, factors, metric, time, step, run, lower_is_better)
    show([*(f"note: {note}" for note in notes), *found.sentences()])
    from sagan.report.charts import LIGHT, effects, save, themed

    folder = out or Path(f"{results.stem if results else mlflow}-effects")
    folder.mkdir(parents=True, exist_ok=True)
    effects_table(found.rows).to_csv(folder / "effects.csv", index=False, lineterminator="\n")
    written = [folder / "effects.csv"]
    with themed(LIGHT):
        if (figure := effects(found.questions, found.design, LIGHT)) is not None:
            save(figure, folder / "effects.png")
            written.append(folder / "effects.png")
    print(", ".join(map(str, written)))


@app.command()
def score(
    folder: Annotated[Path, typer.Argument(help="Images, of the dataset's size, at any depth, or a zip of them.")],
    dataset: Annotated[str, typer.Option(help="A dataset of params.yaml, whose real images they are compared with.")],
    space: Annotated[str, typer.Option(help="A feature space that a suite on this dataset measures in.")],
) -> None:
    """Measure a folder of images, of any model, by the protocol of the suites on a dataset."""
    from sagan.scoring import score as scored

    show(scored(folder, dataset, space, load_params(PATHS.params), PATHS))


@app.command()
def compare(
    a: Annotated[
        str, typer.Argument(metavar="A", help="`workspace`, a DVC experiment, a commit, a folder, a variant.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The same; what is said is of B instead of A.")],
    suite: Annotated[str | None, typer.Option(help="Whose reports. Default: the first under repro.")] = None,
    mlflow: MlflowOption = None,
    metric: Annotated[
        str, typer.Option(help="With --mlflow: the metric, lower being better unless it is known.")
    ] = "fid",
) -> None:
    """Say what B does instead of A: what differs in the recipe, the effect per step and per second, the cost."""
    from sagan.comparing import compare as compared
    from sagan.comparing import compare_variants

    if mlflow is not None:
        from sagan.tracking.connection import runs_table

        show(compare_variants(runs_table(mlflow, load_params(PATHS.params), PATHS), a, b, metric, mlflow))
    elif (suite := suite or next(iter(load_params(PATHS.params).repro), None)) is not None:
        show(compared(a, b, suite, PATHS))
    else:
        raise UserError("compare: say --suite, since params.yaml has none under repro")


@app.command(hidden=True)
def schema(out: Annotated[Path, typer.Argument()] = Path("workflow/schemas/params.schema.json")) -> None:
    """Write the JSON schema of params.yaml anew from its types."""
    write_schema(out)
    print(out)

"""`python -m sagan <verb>`: typed options, no logic.

Heavy libraries are imported inside the verbs: `--help` and `plan` answer at once.
"""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

from sagan import fingerprint
from sagan.errors import UserError
from sagan.paths import Paths

app = typer.Typer(
    help="A reproducible benchmark for small GANs. `dvc repro` calls these verbs; each works by itself too.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

# What a cluster's scheduler takes as "put it back in the queue" (EX_TEMPFAIL of sysexits.h).
GO_ON_LATER = 75

# No room, or no right to write.
_MENDABLE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)

PATHS = Paths()
SuiteOption = Annotated[
    list[str] | None,
    typer.Option("--suite", help="A suite of params.yaml; may be repeated. Default: those under repro."),
]
PlanOption = Annotated[
    Path | None, typer.Option("--plan", help="A plan file made by `plan --out`. Default: plan from params.yaml.")
]


def main() -> None:
    """Run the command line; what a user can cause and mend ends in one line and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"sagan: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in _MENDABLE:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"sagan: {place}{error.strerror}; mend that and run again: what is done stays", file=sys.stderr)
        sys.exit(2)


def _plan(plan_file: Path | None, key: str, kind: str):
    """The plan that holds a key: from a file, or from params.yaml over all suites that are prepared."""
    from sagan.loading import load_params
    from sagan.plan import Plan, make_plan

    if plan_file is not None:
        return Plan.load(plan_file)
    params = load_params(PATHS.params)
    for suite in params.suites:
        try:
            plan = make_plan(params, PATHS, [suite])
        except UserError:
            continue
        if key in getattr(plan, kind):
            return plan
    raise UserError(
        f"{key}: params.yaml asks for no such key under {kind} (or its dataset is not prepared); "
        "`python -m sagan plan --suite NAME` lists the keys"
    )


def _spec(plan_file: Path | None, key: str, kind: str):
    specs = getattr(_plan(plan_file, key, kind), kind)
    if key not in specs:
        raise UserError(f"{key}: {plan_file} holds no such key under {kind}")
    places = {"runs": fingerprint.TRAINING, "references": fingerprint.REFERENCE, "evaluations": fingerprint.EVALUATION}
    if specs[key].code != fingerprint.code_fingerprint(places[kind]):
        raise UserError(f"{key}: the code has changed since the plan was made; plan again")
    return specs[key]


def _figure(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:.3f}"


def _dataset(name: str, resolution: int, digest: str):
    from sagan.data import load

    folder = PATHS.prepared(name, resolution)
    dataset = load(folder)
    if dataset.manifest["digest"] != digest:
        raise UserError(f"{folder}: the dataset has changed since the plan was made; plan again")
    return dataset


@app.command()
def data(
    suite: SuiteOption = None,
    name: Annotated[
        list[str] | None, typer.Option("--dataset", help="A dataset by name, instead of a suite's.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one for each core.")] = None,
) -> None:
    """Prepare datasets: originals to arrays with a manifest, under data/prepared/."""
    from sagan.data import prepare
    from sagan.loading import load_params

    params = load_params(PATHS.params)
    for suite_name in suite or []:
        if suite_name not in params.suites:
            raise UserError(f"--suite {suite_name}: no such suite (there are: {', '.join(params.suites)})")
    for dataset_name in name or []:
        if dataset_name not in params.datasets:
            raise UserError(f"--dataset {dataset_name}: no such dataset (there are: {', '.join(params.datasets)})")
    wanted = name or [params.suites[s].dataset for s in suite or params.repro]
    for dataset_name in dict.fromkeys(wanted):
        spec = params.datasets[dataset_name]
        folder = PATHS.prepared(dataset_name, spec.resolution)
        manifest = prepare(dataset_name, spec, folder, root=PATHS.root, workers=workers)
        print(f"{folder}: {manifest['count']} images, digest {manifest['digest'][:12]}")


@app.command()
def plan(
    suite: SuiteOption = None,
    out: Annotated[Path | None, typer.Option(help="Write the plan here as JSON, for --plan of other verbs.")] = None,
) -> None:
    """List every run with its key and its state: what is there, and what `dvc repro` would make."""
    from sagan.loading import load_params
    from sagan.plan import make_plan
    from sagan.states import plan_lines

    made = make_plan(load_params(PATHS.params), PATHS, suite)
    if out is not None:
        made.save(out)
    for line in plan_lines(made, PATHS):
        print(line)


@app.command()
def train(
    run: Annotated[str, typer.Argument(help="A run's key, as `plan` lists it.")],
    plan: PlanOption = None,
) -> None:
    """Train one run, or go on with it from its last checkpoint; nothing happens when it is finished."""
    spec = _spec(plan, run, "runs")
    from sagan.conditions import class_labels
    from sagan.training.loop import Interrupted
    from sagan.training.loop import train as train_run

    dataset = _dataset(spec.dataset, spec.resolution, spec.dataset_digest)
    images, labels = dataset.split("train")
    condition = spec.config["variant"]["condition"]
    try:
        record = train_run(spec, images, PATHS, condition and class_labels(labels, dataset.manifest, condition))
    except Interrupted as interrupted:
        print(f"sagan: {interrupted}", file=sys.stderr)
        raise typer.Exit(GO_ON_LATER) from None
    print(f"{run}: {record['status']} after {record['steps']} steps, {record['images_per_second']} images/s")


@app.command()
def reference(
    key: Annotated[str, typer.Argument(help="A reference's key, as `plan` lists it.")],
    plan: PlanOption = None,
) -> None:
    """Make the real side of a comparison: statistics of real images, and the classifier where one is trained."""
    spec = _spec(plan, key, "references")
    from sagan.metrics.reference import make_reference

    record = make_reference(spec, _dataset(spec.dataset, spec.resolution, spec.dataset_digest), PATHS)
    accuracy = "" if record["accuracy"] is None else f", held-out accuracy {record['accuracy']:.4f}"
    floor = record["floor"]["fid"]
    print(f"{key}: {record['real_count']} images{accuracy}, noise floor FID {_figure(floor, 'not measurable')}")


@app.command()
def evaluate(
    key: Annotated[str, typer.Argument(help="An evaluation's key, as `plan` lists it.")],
    plan: PlanOption = None,
) -> None:
    """Measure one finished run: metrics, curve, sample grid, attention maps."""
    spec = _spec(plan, key, "evaluations")
    from sagan.metrics.evaluate import evaluate as evaluate_run

    record = evaluate_run(spec, PATHS)
    fid = record["metrics"].get("fid")
    shown = f", {fid['name']}: {_figure(fid['value'], fid['status'])}" if fid else ""
    print(f"{key}: {record['status']}{shown}")


@app.command()
def report(suite: SuiteOption = None) -> None:
    """Render reports/<suite>/ from what is measured; missing runs are shown as missing."""
    from sagan.loading import load_params
    from sagan.plan import make_plan
    from sagan.report import render, render_explorer, render_index

    params = load_params(PATHS.params)
    made = make_plan(params, PATHS, suite)
    for name in made.suites:
        print(f"report: {render(name, made, params, PATHS)}")
        if (page := render_explorer(name, made, params, PATHS)) is not None:
            print(f"attention explorer: {page}")
    render_index(params, PATHS)


@app.command()
def track(suite: SuiteOption = None) -> None:
    """Send finished runs to MLflow; sending again changes nothing. MLFLOW_TRACKING_URI is honoured."""
    from sagan.loading import load_params
    from sagan.plan import make_plan
    from sagan.tracking import TrackingUnavailable, sync

    params = load_params(PATHS.params)
    try:
        print(f"mlflow: {sync(make_plan(params, PATHS, suite), params, PATHS)}")
    except TrackingUnavailable as error:
        print(f"sagan: warning: {error}", file=sys.stderr)


@app.command()
def ui() -> None:
    """Open MLflow's pages on this machine (127.0.0.1) over the runs that were sent."""
    import os

    from sagan.loading import load_params
    from sagan.tracking import TrackingUnavailable, ui_command

    try:
        command = ui_command(load_params(PATHS.params), PATHS)
    except TrackingUnavailable as error:
        raise UserError(str(error)) from None
    os.execvp(command[0], command)


@app.command()
def sample(
    source: Annotated[Path, typer.Argument(help="A generator.safetensors, a snapshot, or a run's folder.")],
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
) -> None:
    """Draw samples from a trained generator: a grid, single images, or walks between pairs of them."""
    from sagan.sampling import Draw, write_samples

    for path in write_samples(source, out, form, Draw(count, columns, seed, truncation, of_class)):
        print(path)


@app.command()
def describe(
    variant: Annotated[str, typer.Argument(help="A variant of params.yaml.")],
    suite: Annotated[str | None, typer.Option(help="Lay this suite's overrides over the variant.")] = None,
    resolution: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 64,
    channels: Annotated[int, typer.Option(min=1, max=3, help="1 for grey images, 3 for colour.")] = 3,
) -> None:
    """Show a variant's two networks layer by layer: shapes, parameters, multiply-adds, spectral norm, attention."""
    from sagan.describing import describe_variant
    from sagan.loading import load_params

    for line in describe_variant(load_params(PATHS.params), variant, suite, resolution, channels):
        print(line)


@app.command()
def attend(
    source: Annotated[Path, typer.Argument(help="A generator.safetensors, a snapshot, or a run's folder.")],
    out: Annotated[Path, typer.Option(help="Folder for one PNG an attention layer.")] = Path("attention"),
    count: Annotated[int, typer.Option(min=1, help="Images.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Seed of z.")] = 0,
) -> None:
    """Show where a generator's attention layers look, for fixed query points."""
    from sagan.sampling import attention_pictures

    for path in attention_pictures(source, out, count, seed):
        print(path)


@app.command()
def export(
    source: Annotated[Path, typer.Argument(help="A generator.safetensors, a snapshot, or a run's folder.")],
    out: Annotated[Path, typer.Argument(help="The file to write: .onnx, or .pt2 for torch.export.")],
) -> None:
    """Write a trained generator for other programs, and hold the result to the generator's own output."""
    from sagan.exporting import export_generator

    print(f"{out}: differs by at most {export_generator(source, out):.1e} of pixel values in [-1, 1]")


@app.command()
def weights(
    only_list: Annotated[bool, typer.Option("--list", help="Say which weights are there, and fetch nothing.")] = False,
) -> None:
    """Fetch the Inception weights that `extractor: inception` needs, check them by digest, and say what is there."""
    from sagan.weights import weights_lines

    if not only_list:
        from sagan.metrics.inception import fetch_inception

        print(fetch_inception(PATHS))
    for line in weights_lines(PATHS):
        print(line)


@app.command()
def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only list.")] = False,
) -> None:
    """List, or delete, results that no suite of params.yaml asks for. What is running is never touched."""
    from sagan.loading import load_params
    from sagan.states import prune_results

    for line in prune_results(load_params(PATHS.params), PATHS, delete=yes):
        print(line)


@app.command(hidden=True)
def where() -> None:
    """Say where the reports are and how to look at the runs: the last lines of `make repro`."""
    from sagan.loading import load_params

    for suite in load_params(PATHS.params).repro:
        print(f"Report: {PATHS.report(suite) / 'README.md'}")
    print("MLflow: make ui")


@app.command(hidden=True)
def schema(out: Annotated[Path, typer.Argument()] = Path("workflow/schemas/params.schema.json")) -> None:
    """Write the JSON schema of params.yaml anew from its types."""
    from sagan.schema import write_schema

    write_schema(out)
    print(out)

"""Verbs that make results: prepare, train, measure, report, track, and prune what nothing asks for."""

import logging
import os
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from sagan.analysis.seeds import planned
from sagan.cli.app import PATHS, PlanOption, SuiteOption, TrustOption, app, show
from sagan.code.extensions import trust_now
from sagan.data import prepare, summary
from sagan.errors import UserError, check_known, meant
from sagan.params.loading import load_params
from sagan.plan import Plan, check_own_networks
from sagan.plan.listing import is_there, plan_lines, prune_results
from sagan.plan.reach import unreached
from sagan.store.paths import leave_for_workspace
from sagan.verifying import verify as verify_run


def _plan(plan_file: Path | None, keys: Iterable[str], kinds: tuple[str, ...]) -> Plan:
    """A plan that holds some keys: from a file, or from params.yaml over all suites that are prepared."""
    unplanned = []
    if plan_file is not None:
        plan = Plan.load(plan_file)
    else:
        plan, params = Plan({}, {}, {}, {}), load_params(PATHS.params)
        for suite in params.suites:
            try:
                found = planned(params, PATHS, [suite])
            except UserError:
                unplanned.append(suite)
                continue
            for part in ("runs", "references", "evaluations", "suites"):
                getattr(plan, part).update(getattr(found, part))
    known = [key for kind in kinds for key in getattr(plan, kind)]
    for key in keys:
        if key in known:
            continue
        place = "params.yaml asks for" if plan_file is None else f"{plan_file} holds"
        close = meant(key, known)
        why = close or ("" if plan_file else "; `python -m sagan plan --suite NAME` lists the keys")
        if unplanned and not close:
            why += f" (those of {', '.join(unplanned)} are not known; it says why)"
        raise UserError(f"{key}: {place} no such key under {' or '.join(kinds)}{why}")
    return plan


@app.command()
def data(
    suite: SuiteOption = None,
    name: Annotated[
        list[str] | None, typer.Option("--dataset", help="A dataset by name, instead of a suite's.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one for each core.")] = None,
) -> None:
    """Prepare datasets: originals to arrays with a manifest, under data/prepared/. Says what was read and what not."""
    params = load_params(PATHS.params)
    for one in suite or []:
        check_known(f"--suite {one}", one, params.suites, "suite")
    for dataset in dict.fromkeys(name or [params.suites[one].dataset for one in suite or params.repro]):
        check_known(f"--dataset {dataset}", dataset, params.datasets, "dataset")
        spec = params.datasets[dataset]
        folder = PATHS.prepared(dataset, spec.resolution)
        manifest = prepare(dataset, spec, folder, root=PATHS.root, workers=workers)
        show(f"{dataset}: {line}" for line in summary(manifest, folder))
        # A part of the originals is enough; that it is one must not be missed.
        of = f" of {manifest['listed']:,} listed" if manifest.get("listed", 0) > manifest["count"] else ""
        print(f"{folder}: {manifest['count']:,}{of} images, digest {manifest['digest'][:12]}")


@app.command()
def plan(
    suite: SuiteOption = None,
    out: Annotated[Path | None, typer.Option(help="Write the plan here as JSON, for --plan of other verbs.")] = None,
) -> None:
    """List every run with its key and its state: what is there, and what `dvc repro` would make."""
    params = load_params(PATHS.params)
    made = planned(params, PATHS, suite)
    check_own_networks(made, PATHS)
    if out is not None:
        made.save(out)
    show(plan_lines(made, PATHS))
    from sagan.analysis.build import can_find

    for name in made.suites:
        show(f"{name} {line}" for line in can_find(name, made, params, PATHS))
    show(f"note: {line}" for line in unreached(params, PATHS, suite))


@app.command()
def train(
    run: Annotated[str, typer.Argument(help="A run's key, as `plan` lists it.")], plan: PlanOption = None
) -> None:
    """Train one run, or go on with it from its last checkpoint; nothing happens when it is finished."""
    spec = _plan(plan, [run], ("runs",)).runs[run]
    from sagan.making import train_alone

    raise typer.Exit(train_alone(spec, PATHS))


@app.command()
def reference(
    key: Annotated[str, typer.Argument(help="A reference's key, as `plan` lists it.")], plan: PlanOption = None
) -> None:
    """Make the real side of a comparison: statistics of real images, and the classifier where one is trained."""
    _make([key], ("references",), plan)


@app.command()
def evaluate(
    key: Annotated[str, typer.Argument(help="An evaluation's key, as `plan` lists it.")],
    plan: PlanOption = None,
    trust: TrustOption = False,
) -> None:
    """Measure one finished run: metrics, curve, sample grid, attention maps. Killed, it goes on where it was.

    Its reference is made too where it is missing.
    """
    if trust:
        trust_now(PATHS.run(key.rpartition(".")[0]))
    _make([key], ("evaluations",), plan)


@app.command()
def make(
    keys: Annotated[list[str], typer.Argument(help="Keys of runs, or of references, as `plan` lists them.")],
    plan: PlanOption = None,
    together: Annotated[
        int | None,
        typer.Option(min=1, max=60, help="Runs that take turns. Default: execution.together of params.yaml."),
    ] = None,
) -> None:
    """Train some runs and measure each in every way that is asked for; what is there is passed over.

    A run that fails does not stop the others. Exit code 0: all is there; 75: stopped by a signal, and runs go on from
    their checkpoints; 1 or 2: something failed, and state/logs/KEY.log says what.
    """
    _make(keys, ("runs", "references"), plan, together)


def _make(keys: list[str], kinds: tuple[str, ...], plan_file: Path | None, together: int | None = None) -> None:
    made = _plan(plan_file, keys, kinds)
    asked = [job for key, job in made.jobs.items() if key in keys or getattr(job, "run", None) in keys]
    with suppress(OSError):  # what is wrong with one, the making of that one says
        if all(is_there(job, PATHS) for job in asked):  # before PyTorch is imported, for seconds
            return
    if plan_file is None:
        plan_file = PATHS.plan(made.digest())
        made.save(plan_file)
    from sagan.making import Making

    raise typer.Exit(Making(made, plan_file, PATHS, together).make(keys))


@app.command()
def report(suite: SuiteOption = None) -> None:
    """Render `reports/<suite>/` from what is measured; missing runs are shown as missing."""
    from sagan.analysis.build import current
    from sagan.report import render, render_explorer, render_index

    params = load_params(PATHS.params)
    names = suite or params.repro
    for name in names:
        analysis = current(name, params, PATHS)
        print(f"report: {render(analysis, PATHS)}")
        if (page := render_explorer(analysis, PATHS)) is not None:
            print(f"attention explorer: {page}")
    render_index(PATHS)
    if (left := leave_for_workspace(names, PATHS)) is not None:
        print(f"to be read in the workspace: `python -m sagan where {left.root.name}`")


@app.command()
def track(
    suite: SuiteOption = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Send runs while they train, until standard input ends.")
    ] = False,
    plan: PlanOption = None,
) -> None:
    """Send runs to MLflow; sending again changes nothing. MLFLOW_TRACKING_URI is honoured."""
    stop = threading.Event()
    if follow:
        os.nice(19)
        # Before what takes seconds to import.
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), stop.set()), daemon=True).start()
    from sagan import tracking

    params = load_params(PATHS.params)
    made = planned(params, PATHS, suite) if plan is None else Plan.load(plan)
    try:
        if follow:
            logging.basicConfig(format="%(asctime)s %(message)s")
            tracking.follow(made, params, PATHS, stop)
        else:
            print(f"mlflow: {tracking.sync(made, params, PATHS)}")
    except tracking.TrackingUnavailable as error:
        print(f"sagan: warning: {error}", file=sys.stderr)


@app.command()
def prune(yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only list.")] = False) -> None:
    """List, or delete, results that no suite of params.yaml asks for. What is running is never touched."""
    params = load_params(PATHS.params)
    show(prune_results(params, PATHS, lambda suite: planned(params, PATHS, [suite]), yes))


@app.command()
def verify(
    suite: Annotated[str, typer.Argument(help="A suite whose report is in reports/.")],
    run: Annotated[str | None, typer.Option(help="Which of its runs. Default: the one that took the least.")] = None,
) -> None:
    """Train and measure one run of a committed report anew: same bytes, same figures, or different?"""
    verdict = verify_run(suite, planned(load_params(PATHS.params), PATHS, [suite]), PATHS, run)
    print(verdict.text)
    raise typer.Exit(0 if verdict.same else 1)

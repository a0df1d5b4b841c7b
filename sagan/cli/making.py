"""Verbs that make results: prepare, train, measure, report, track, and prune what nothing asks for."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from sagan.analysis.seeds import planned
from sagan.cli.app import PATHS, DryRun, PlanOption, SuiteOption, TrustOption, app
from sagan.cli.intentions import (
    would_evaluate,
    would_make,
    would_make_reference,
    would_report,
    would_track,
    would_train,
)
from sagan.code.fingerprint import code_base
from sagan.code.trust import trust_now
from sagan.data import load, pending, prepare, summary
from sagan.errors import UserError, did_you_mean, meant
from sagan.names import one_line, without_secrets
from sagan.params.loading import load_params
from sagan.plan import Plan, check_code, check_own_networks
from sagan.plan.listing import plan_lines
from sagan.plan.pruning import prune_results
from sagan.plan.reach import unreached
from sagan.store.folders import GO_ON_LATER, set_aside
from sagan.store.reports import leave_for_workspace
from sagan.store.types import EvaluationRecord, ReferenceRecord, RunRecord
from sagan.verifying import chosen
from sagan.verifying import verify as verify_run


def _plan(plan_file: Path | None, keys: Iterable[str], kinds: tuple[str, ...]) -> Plan:
    """A plan that holds some keys: from a file, or from params.yaml over all suites that are prepared."""
    if plan_file is not None:
        plan, suites, unplanned = Plan.load(plan_file), [], []
    else:
        params = load_params(PATHS.params)
        suites, unplanned = [], []
        for suite in params.suites:
            try:
                planned(params, PATHS, [suite])
                suites.append(suite)
            except UserError:
                unplanned.append(suite)
        plan = planned(params, PATHS, suites) if suites else Plan({}, {}, {}, {})
    known = [key for kind in kinds for key in getattr(plan, kind)]
    for key in keys:
        if key in known:
            continue
        what = " or ".join(kinds)
        if plan_file is not None:
            raise UserError(f"{key}: {plan_file} holds no such key under {what}{meant(key, known)}")
        # Where one is close, suites that cannot be planned are not why.
        why = meant(key, known) or "; `python -m sagan plan --suite NAME` lists the keys"
        if unplanned and not meant(key, known):
            why += f" (those of {', '.join(unplanned)} are not known; it says why)"
        raise UserError(f"{key}: params.yaml asks for no such key under {what}{why}")
    return plan


def _spec(plan_file: Path | None, key: str, kind: str):
    return getattr(_plan(plan_file, [key], (kind,)), kind)[key]


def _checked(spec):
    """Own code of a spec whose code is what it was planned with: called once that code is imported."""
    code_base.cache_clear()
    return check_code(spec, PATHS)


def _say_where(key: str, moved_to: Path | None) -> None:
    if moved_to is not None:
        print(f"sagan: {key}: its folder was not whole and is now {moved_to}", file=sys.stderr)


def _figure(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:.3f}"


def _dataset(name: str, resolution: int, digest: str):
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
    dry_run: DryRun = False,
) -> None:
    """Prepare datasets: originals to arrays with a manifest, under data/prepared/. Says what was read and what not."""
    params = load_params(PATHS.params)
    for suite_name in suite or []:
        if suite_name not in params.suites:
            raise UserError(f"--suite {suite_name}: no such suite{did_you_mean(suite_name, params.suites)}")
    for dataset_name in name or []:
        if dataset_name not in params.datasets:
            raise UserError(f"--dataset {dataset_name}: no such dataset{did_you_mean(dataset_name, params.datasets)}")
    wanted = name or [params.suites[s].dataset for s in suite or params.repro]
    for dataset_name in dict.fromkeys(wanted):
        spec = params.datasets[dataset_name]
        folder = PATHS.prepared(dataset_name, spec.resolution)
        if dry_run:
            print(f"{folder}: {pending(dataset_name, spec, folder, root=PATHS.root) or 'there, nothing to do'}")
            continue
        manifest = prepare(dataset_name, spec, folder, root=PATHS.root, workers=workers)
        for line in summary(manifest, folder):
            print(f"{dataset_name}: {line}")
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
    for line in plan_lines(made, PATHS):
        print(line)
    from sagan.analysis.build import can_find

    for name in made.suites:
        for line in can_find(name, made, params, PATHS):
            print(f"{name} {line}")
    for line in unreached(params, PATHS, suite):
        print(f"note: {line}")


@app.command()
def train(
    run: Annotated[str, typer.Argument(help="A run's key, as `plan` lists it.")],
    plan: PlanOption = None,
    dry_run: DryRun = False,
) -> None:
    """Train one run, or go on with it from its last checkpoint; nothing happens when it is finished."""
    spec = _spec(plan, run, "runs")
    if dry_run:
        print(would_train(spec, PATHS))
        return
    from sagan.training.loop import Interrupted, train_on

    own = _checked(spec)
    dataset = _dataset(spec.dataset, spec.resolution, spec.dataset_digest)
    if os.environ.get("RANK", "0") == "0":  # torchrun's number of this process
        _say_where(run, set_aside(RunRecord, run, PATHS, verify=False))
    try:
        record = train_on(spec, dataset, PATHS, own)
    except Interrupted as interrupted:
        print(f"sagan: {interrupted}", file=sys.stderr)
        raise typer.Exit(GO_ON_LATER) from None
    if os.environ.get("RANK", "0") == "0":
        print(f"{run}: {record.status} after {record.steps} steps, {record.images_per_second} images/s")


@app.command()
def make(
    keys: Annotated[list[str], typer.Argument(help="Keys of runs, or of references, as `plan` lists them.")],
    plan: PlanOption = None,
    together: Annotated[
        int | None,
        typer.Option(min=1, max=60, help="Runs that take turns. Default: execution.together of params.yaml."),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Train some runs and measure each in every way that is asked for; what is there is passed over.

    A run that fails does not stop the others. Exit code 0: all is there; 75: stopped by a signal, and runs go on from
    their checkpoints; 1 or 2: something failed, and state/logs/KEY.log says what.
    """
    made = _plan(plan, keys, ("runs", "references"))
    if dry_run:
        for line in would_make(made, keys, PATHS):
            print(line)
        return
    if plan is None:
        plan = PATHS.plan(made.digest())
        made.save(plan)
    from sagan.making import Making

    raise typer.Exit(Making(made, plan, PATHS, together).make(keys))


@app.command()
def reference(
    key: Annotated[str, typer.Argument(help="A reference's key, as `plan` lists it.")],
    plan: PlanOption = None,
    dry_run: DryRun = False,
) -> None:
    """Make the real side of a comparison: statistics of real images, and the classifier where one is trained."""
    spec = _spec(plan, key, "references")
    if dry_run:
        print(would_make_reference(spec, PATHS))
        return
    from sagan.metrics.reference import make_reference

    _checked(spec)
    _say_where(key, set_aside(ReferenceRecord, key, PATHS))
    record = make_reference(spec, _dataset(spec.dataset, spec.resolution, spec.dataset_digest), PATHS)
    accuracy = "" if record.accuracy is None else f", held-out accuracy {record.accuracy:.4f}"
    floor = _figure(record.floor.fid, "not measurable")
    print(f"{key}: {record.real_count} images{accuracy}; FID between real images {floor}")


@app.command("evaluate")
def measure(
    key: Annotated[str, typer.Argument(help="An evaluation's key, as `plan` lists it.")],
    plan: PlanOption = None,
    trust: TrustOption = False,
    dry_run: DryRun = False,
) -> None:
    """Measure one finished run: metrics, curve, sample grid, attention maps. Killed, it goes on where it was."""
    spec = _spec(plan, key, "evaluations")
    if dry_run:
        print(would_evaluate(spec, PATHS))
        return
    from sagan.metrics.evaluate import evaluate as evaluate_run

    if trust:
        trust_now(PATHS.run(spec.run))
    _checked(spec)
    _say_where(key, set_aside(EvaluationRecord, key, PATHS))
    _say_where(spec.reference, set_aside(ReferenceRecord, spec.reference, PATHS))
    record = evaluate_run(spec, PATHS)
    fid = record.metrics.get("fid")
    shown = one_line(f", {fid.name}: {_figure(fid.value, fid.status)}") if fid else ""
    print(f"{key}: {record.status}{shown}")


@app.command()
def report(suite: SuiteOption = None, dry_run: DryRun = False) -> None:
    """Render `reports/<suite>/` from what is measured; missing runs are shown as missing."""
    params = load_params(PATHS.params)
    if dry_run:
        for line in would_report(planned(params, PATHS, suite), PATHS):
            print(line)
        return
    from sagan.analysis.build import current
    from sagan.report import render, render_explorer, render_index

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
    dry_run: DryRun = False,
) -> None:
    """Send runs to MLflow; sending again changes nothing. MLFLOW_TRACKING_URI is honoured."""
    stop = threading.Event()
    if follow:
        os.nice(19)
        # Before what takes seconds to import.
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), stop.set()), daemon=True).start()
    from sagan import tracking
    from sagan.tracking.connection import tracking_uri

    params = load_params(PATHS.params)
    made = planned(params, PATHS, suite) if plan is None else Plan.load(plan)
    if dry_run:
        print(would_track(made, PATHS, without_secrets(tracking_uri(params, PATHS))))
        return
    try:
        if follow:
            logging.basicConfig(format="%(asctime)s %(message)s")
            tracking.follow(made, params, PATHS, stop)
        else:
            print(f"mlflow: {tracking.sync(made, params, PATHS)}")
    except tracking.TrackingUnavailable as error:
        print(f"sagan: warning: {error}", file=sys.stderr)


@app.command()
def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only list.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list, also beside --yes.")] = False,
) -> None:
    """List, or delete, results that no suite of params.yaml asks for. What is running is never touched."""
    params = load_params(PATHS.params)
    for line in prune_results(params, PATHS, lambda suite: planned(params, PATHS, [suite]), yes and not dry_run):
        print(line)


@app.command()
def verify(
    suite: Annotated[str, typer.Argument(help="A suite whose report is in reports/.")],
    run: Annotated[str | None, typer.Option(help="Which of its runs. Default: the one that took the least.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Train and measure one run of a committed report anew: same bytes, same figures, or different?"""
    plan = planned(load_params(PATHS.params), PATHS, [suite])
    if dry_run:
        told = chosen(suite, plan, PATHS, run)
        print(f"{told.run}: would be trained and measured anew; it took {told.seconds:.0f} s of training then")
        return
    verdict = verify_run(suite, plan, PATHS, run)
    print(verdict.text)
    raise typer.Exit(0 if verdict.same else 1)

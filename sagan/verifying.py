"""Do I get the same number again? One run of a committed report, trained and measured anew beside the workspace."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass

from pydantic import TypeAdapter

from sagan.errors import UserError, did_you_mean
from sagan.plan import Plan
from sagan.store.paths import Paths

# FIDs that differ by less, as a part of the reported one, are the same but for rounding.
ROUNDING = 1e-3
_GENERATOR = "generator.safetensors"


@dataclass(frozen=True)
class Reported:
    """A run as a report's results.csv has it."""

    run: str
    evaluation: str
    fid: float
    generator_sha256: str
    seconds: float
    device: str


@dataclass(frozen=True)
class Verdict:
    """What came of it; `same` where the figure may be called the same number."""

    same: bool
    text: str


def reported_runs(suite: str, paths: Paths) -> list[Reported]:
    """The measured runs of a committed report, the cheapest first.

    Raises:
        UserError: there is no such report, or it holds no run with its digest.
    """
    path = paths.report(suite) / "results.csv"
    if not path.exists():
        raise UserError(f"{path}: no such report; `dvc repro` writes those of the suites under repro:")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("generator_sha256") and row.get("fid")]
    rows = [row for row in rows if row.get("space") == rows[0].get("space")]
    if not rows:
        raise UserError(f"{path}: holds no measured run with the sha256 of its generator; write the report anew")
    return sorted(TypeAdapter(list[Reported]).validate_python(rows), key=lambda run: run.seconds)


def chosen(suite: str, plan: Plan, paths: Paths, key: str | None) -> Reported:
    """The run to be repeated: the one that is named, or the cheapest that params.yaml and the code still ask for.

    Raises:
        UserError: the report has no such run, or nothing of it is asked for any more.
    """
    runs = {run.run: run for run in reported_runs(suite, paths)}
    if key is not None and key not in runs:
        raise UserError(f"{key}: no run of {paths.report(suite)}{did_you_mean(key, runs)}")
    wanted = [runs[key]] if key is not None else list(runs.values())
    found = next((r for r in wanted if r.run in plan.runs and r.evaluation in plan.evaluations), None)
    if found is None:
        what = f"run {key}" if key is not None else "no run of it"
        raise UserError(
            f"{paths.report(suite)}: {what} is {'not ' if key is not None else ''}what params.yaml and this code ask "
            "for; check out the commit that made the report"
        )
    return found


def verify(suite: str, plan: Plan, paths: Paths, key: str | None = None) -> Verdict:
    """Train one run of a report and measure it, in `state/verify`, and compare bytes and FID with the report.

    Args:
        key: which run; by default the cheapest.

    Raises:
        UserError: see `chosen`; or the dataset is not the report's.
    """
    from sagan.data import load, verify
    from sagan.metrics.evaluate import evaluate
    from sagan.metrics.reference import make_reference
    from sagan.training.loop import train_on

    told = chosen(suite, plan, paths, key)
    run, evaluation = plan.runs[told.run], plan.evaluations[told.evaluation]
    reference = plan.references[evaluation.reference]
    place = paths.prepared(run.dataset, run.resolution)
    dataset = load(place)
    verify(dataset, place)
    scratch = _scratch(paths, evaluation.reference)
    record = train_on(run, dataset, scratch)
    if record.status != "finished":
        return Verdict(False, f"different: {told.run} diverged here, and gave FID {told.fid:.4f} in the report")
    make_reference(reference, dataset, scratch)
    fid = evaluate(evaluation, scratch).metrics["fid"].value
    same_bytes = record.files[_GENERATOR].sha256 == told.generator_sha256
    return judged(told, same_bytes, fid, record.provenance.device)


def judged(told: Reported, same_bytes: bool, fid: float | None, device: str) -> Verdict:
    """The verdict on a run that was repeated on a device.

    Args:
        fid: None where none can be measured.
    """
    figures = f"FID {told.fid:.4f} in the report, {'none' if fid is None else f'{fid:.4f}'} here"
    near = fid is not None and abs(fid - told.fid) <= ROUNDING * told.fid
    if same_bytes and near:
        return Verdict(True, f"same bytes: {told.run}, {figures}")
    if near:
        return Verdict(True, f"same figures within rounding, other bytes: {told.run}, {figures}")
    if same_bytes:
        return Verdict(False, f"different: {told.run} has the same weights, and is measured otherwise: {figures}")
    why = "" if device == told.device else f"; made on {told.device} and repeated on {device}, which rounds otherwise"
    return Verdict(False, f"different: {told.run} has other weights: {figures}{why}")


def _scratch(paths: Paths, reference: str) -> Paths:
    """A root folder with the workspace's data, own code and the reference, where they are there, and without runs."""
    scratch = Paths(paths.root / "state" / "verify")
    shutil.rmtree(scratch.root, ignore_errors=True)
    links = [
        (paths.root / name, scratch.root / name) for name in ("data", "extensions") if (paths.root / name).exists()
    ]
    if (paths.reference(reference) / "reference.json").exists():
        links.append((paths.reference(reference), scratch.reference(reference)))
    for target, link in links:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target.resolve())
    return scratch

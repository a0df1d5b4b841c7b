"""Do I get the same number again? A committed report against the one that was written anew, or one of its runs.

What is committed is read from git: `dvc repro` writes the workspace's files anew.
"""

import csv
import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter

from sagan.errors import UserError, did_you_mean
from sagan.plan import Plan
from sagan.store.git import committed
from sagan.store.paths import Paths

# FIDs that differ by less, as a part of the reported one, are the same but for rounding.
ROUNDING = 1e-3


@dataclass(frozen=True)
class Reported:
    """A run as a report's results.csv has it."""

    run: str
    evaluation: str
    fid: float
    generator_sha256: str
    seconds: float
    device: str


class Verdict(NamedTuple):
    """What came of it; `same` where the figure may be called the same number."""

    same: bool
    text: str


def reported_runs(suite: str, paths: Paths) -> list[Reported]:
    """The measured runs of a committed report, the cheapest first.

    Raises:
        UserError: there is no such report, or it holds no run with its digest.
    """
    path = paths.report(suite) / "results.csv"
    if (text := committed(path)) is None and not path.exists():
        raise UserError(f"{path}: no such report; `dvc repro` writes those of the suites under repro:")
    told = _rows(path.read_text(encoding="utf-8") if text is None else text)
    rows = [row for row in told if row.get("generator_sha256") and row.get("fid")]
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
    # The names before the hashes are labels: suites share runs.
    asked = {name.rpartition(".")[2]: evaluation for name, evaluation in plan.evaluations.items()}
    for run in runs.values() if key is None else [runs[key]]:
        if (found := asked.get(run.evaluation.rpartition(".")[2])) is not None:
            return replace(run, run=found.run, evaluation=found.key)
    what = "no run of it is" if key is None else f"run {key} is not"
    why = "what params.yaml and this code ask for; check out the commit that made the report"
    raise UserError(f"{paths.report(suite)}: {what} {why}")


def verify(suite: str, plan: Plan, paths: Paths, key: str | None = None) -> Verdict:
    """Train the `chosen` run of a report and measure it, in `state/verify`; compare bytes and FID with the report.

    Raises:
        UserError: see `chosen`; or the dataset is not the report's.
    """
    from sagan.data import load
    from sagan.metrics.evaluate import evaluate
    from sagan.metrics.reference import make_reference
    from sagan.training.loop import Data, Interrupted, train

    told = chosen(suite, plan, paths, key)
    run, evaluation = plan.runs[told.run], plan.evaluations[told.evaluation]
    reference = plan.references[evaluation.reference]
    dataset = load(paths.prepared(run.dataset, run.resolution))
    scratch = _scratch(paths, evaluation.reference)
    try:
        record = train(run, Data.of(run, dataset), scratch)
    except Interrupted:
        raise UserError(f"{told.run}: stopped; nothing is kept of it, and `verify` begins anew") from None
    if record.status != "finished":
        return Verdict(False, f"different: {told.run} diverged here, and gave FID {told.fid:.4f} in the report")
    make_reference(reference, dataset, scratch)
    fid = evaluate(evaluation, scratch).metrics["fid"].value
    same_bytes = record.files["generator.safetensors"].sha256 == told.generator_sha256
    return judged(told, same_bytes, fid, record.provenance.device)


def judged(told: Reported, same_bytes: bool, fid: float | None, device: str) -> Verdict:
    """The verdict on a run that was repeated on a device; `fid` is None where none can be measured."""
    figures = f"FID {told.fid:.4f} in the report, {'none' if fid is None else f'{fid:.4f}'} here"
    if fid is not None and abs(fid - told.fid) <= ROUNDING * told.fid:
        what = "same bytes" if same_bytes else "same figures within rounding, other bytes"
        return Verdict(True, f"{what}: {told.run}, {figures}")
    if same_bytes:
        return Verdict(False, f"different: {told.run} has the same weights, and is measured otherwise: {figures}")
    why = "" if device == told.device else f"; made on {told.device} and repeated on {device}, which rounds otherwise"
    return Verdict(False, f"different: {told.run} has other weights: {figures}{why}")


def _scratch(paths: Paths, reference: str) -> Paths:
    """A root folder with the workspace's data, own code and the reference, where they are there, and without runs."""
    scratch = Paths(paths.root / "state" / "verify")
    shutil.rmtree(scratch.root, ignore_errors=True)
    shared = [paths.root / "data", paths.root / "extensions"]
    if (paths.reference(reference) / "reference.json").exists():
        shared.append(paths.reference(reference))
    for place in filter(Path.exists, shared):
        link = scratch.root / place.relative_to(paths.root)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(place.resolve())
    return scratch


# --- the whole report -----------------------------------------------------------------------------


def agreement(suite: str, paths: Paths) -> str | None:
    """In a line, whether the report in the workspace gives the committed one's answers.

    None where one of the two is not there, or they are the same file. `effects.csv` and `results.csv` are compared:
    of the answers those on FID per step, one a question; of the runs those with equal keys, whatever their names.
    """
    tables = []
    for name in ("effects.csv", "results.csv"):
        path = paths.report(suite) / name
        if (before := committed(path)) is None or not path.exists():
            return None
        tables.append((_rows(before), _rows(path.read_text(encoding="utf-8"))))
    if all(before == now for before, now in tables):
        return None
    told, found = map(_answers, tables[0])
    if not told:
        return None
    others = [key for key, answer in told.items() if found.get(key) != answer]
    line = f"{len(told) - len(others)} of {len(told)} answers agree with the committed report"
    line += f" ({_figures(*map(_measured, tables[1]))})"
    for key in others:
        question, level, instead_of = key
        line += f"; {question} ({level} instead of {instead_of}): {found.get(key, 'no answer')}, committed {told[key]}"
    return line


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def _answers(rows: list[dict[str, str]]) -> dict[tuple[str, str, str], str]:
    """(question, level, instead_of) -> the answer on FID per step, in the first feature space."""
    asked = [row for row in rows if row.get("answer") and row.get("metric") == "fid" and row.get("at") == "steps"]
    return {
        (row["question"], row["level"], row["instead_of"]): row["answer"]
        for row in asked
        if row["space"] == asked[0]["space"] and not row["given"] and row["question"] != "variant"
    }


def _measured(rows: list[dict[str, str]]) -> dict[tuple[str, str], tuple[float, str]]:
    """(hash of the run, hash of the evaluation) -> its FID and the device that trained it."""
    return {
        (row["run"].rpartition("-")[2], row["evaluation"].rpartition(".")[2]): (float(row["fid"]), row["device"])
        for row in rows
        if row.get("fid") and row.get("evaluation")
    }


def _figures(before: Mapping, now: Mapping) -> str:
    both = [(before[key], now[key]) for key in before.keys() & now.keys()]
    if not both:
        return "no run has the key of a committed one"
    most = max(abs(here / told - 1) for (told, _), (here, _) in both)
    where = "" if all(told == here for (_, told), (_, here) in both) else ", on another device"
    differ = "are the same" if most <= ROUNDING else f"differ by up to {100 * most:.2g} %"
    return f"FIDs of {len(both)} equal keys {differ}{where}"

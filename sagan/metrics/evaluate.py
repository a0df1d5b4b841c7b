"""One finished run measured against one reference: from its figures and pictures to the record."""

import time

import torch

from sagan.errors import UserError
from sagan.metrics.figures import Figures, collapse
from sagan.metrics.parts import FeatureParts
from sagan.metrics.pictures import save_pictures
from sagan.metrics.table import applicable
from sagan.plan import Evaluation
from sagan.store.locks import exclusive
from sagan.store.paths import Paths
from sagan.store.reading import read_evaluation, read_run
from sagan.store.records import kept_files, write_json
from sagan.store.types import EvaluationRecord, RunRecord
from sagan.training.devices import device_for
from sagan.training.provenance import Beginning, provenance


def evaluate(evaluation: Evaluation, paths: Paths) -> EvaluationRecord:
    """The record of a run's metrics, curve and attention, with pictures beside it; at once where it is there already.

    Raises:
        UserError: the run or the reference is not there.
    """
    target = paths.evaluation(evaluation.key) / "metrics.json"
    with exclusive(paths.evaluation(evaluation.key)):
        if not target.exists():
            run = measurable_run(evaluation, paths)
            with device_for(evaluation.execution, evaluation.threads) as device:
                record = evaluation_record(evaluation, run, paths, device).content()
            write_json(target, record | {"files": kept_files(target.parent)})
        FeatureParts(paths.features(evaluation.key), evaluation.key).remove()
        return read_evaluation(evaluation.key, paths).record


def measurable_run(evaluation: Evaluation, paths: Paths) -> RunRecord:
    """The record of a run whose weights are there."""
    run, folder = read_run(evaluation.run, paths).record, paths.run(evaluation.run)
    if run is None:
        raise UserError(f"{folder}: no finished run; train it with `python -m sagan train {evaluation.run}`")
    if run.left_behind:
        raise UserError(
            f"{folder}: a light copy without weights, which cannot be measured anew; copy the whole folder from the "
            "machine that trained it, or delete it to train it here"
        )
    return run


def evaluation_record(evaluation: Evaluation, run: RunRecord, paths: Paths, device: torch.device) -> EvaluationRecord:
    beginning, clock = Beginning(), time.perf_counter()
    figures = Figures(evaluation, run.content(), paths, device)
    metrics, matched, memorisation = {}, {}, {}
    if not figures.diverged:
        metrics = figures.metrics(applicable(figures.settings["extractor"]))
        matched, memorisation = figures.matched(metrics), figures.memorisation()
    curve = figures.curve()
    best = {} if figures.diverged else figures.best(curve, metrics["fid"])
    save_pictures(figures, paths.evaluation(evaluation.key))
    counts, seconds = sum(figures.parts.counts.values()), sum(figures.parts.seconds.values())
    return EvaluationRecord(
        key=evaluation.key,
        run=run.key,
        reference=evaluation.reference,
        variant=run.variant,
        seed=run.seed,
        dataset=run.dataset,
        condition=run.config["variant"].get("condition"),
        extractor=figures.settings["extractor"],
        status="diverged" if figures.diverged else "measured",
        metrics=metrics,
        matched=matched,
        untrained={"fid": figures.untrained(curve)},
        best=best,
        curve=curve,
        curve_protocol=figures.protocol(figures.settings["curve_samples"]),
        collapse=collapse(curve),
        memorisation=memorisation,
        attention=figures.attention(),
        generated_images=counts,
        generated_per_second=round(counts / seconds, 1) if counts else 0.0,
        seconds=round(time.perf_counter() - clock + seconds - figures.parts.now, 3),
        provenance=provenance(device, beginning),
    )

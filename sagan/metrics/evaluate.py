"""One finished run measured against one reference: from its figures and pictures to the record."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from sagan.errors import UserError
from sagan.metrics import gallery
from sagan.metrics.codes import applicable, lacking
from sagan.metrics.collapse import collapse
from sagan.metrics.figures import Figures
from sagan.metrics.parts import FeatureParts
from sagan.metrics.reference import check_reference
from sagan.plan import Evaluation
from sagan.store.locks import exclusive
from sagan.store.paths import Paths
from sagan.store.reading import read_evaluation, read_run
from sagan.store.records import kept_files, write_json
from sagan.store.types import EvaluationRecord, RunRecord
from sagan.training.devices import device_for
from sagan.training.provenance import Beginning, provenance


def evaluate(evaluation: Evaluation, paths: Paths) -> EvaluationRecord:
    """Metrics, curve, sample grid and attention maps of a run. Killed, it goes on behind the last part of its features.

    Returns:
        What `metrics.json` holds; at once where it is there already.

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


def add_metrics(evaluation: Evaluation, paths: Paths) -> list[str]:
    """Bring to a measured run the metrics that its record has not by the present code; other figures stay.

    The same z are sampled again.

    Returns:
        Their names.

    Raises:
        UserError: the evaluation, the run's weights or the reference are not there.
    """
    target = paths.evaluation(evaluation.key) / "metrics.json"
    with exclusive(paths.evaluation(evaluation.key)):
        found = read_evaluation(evaluation.key, paths).record
        if found is None:
            raise UserError(f"{target}: not measured yet, so there is nothing to add to; leave out --add")
        record = found.content()
        if names := lacking(record):
            run, beginning = measurable_run(evaluation, paths), Beginning()
            with device_for(evaluation.execution, evaluation.threads) as device:
                figures = Figures(evaluation, run.content(), paths, device)
                metrics, classes = figures.metrics(names)
                matched = figures.matched(names, metrics)
                added = {"metrics": names, "provenance": provenance(device, beginning)}
            record["metrics"] |= metrics
            record["classes"] |= classes
            for side in ("generated", "real"):
                record["matched"][side] |= matched[side]
            record["added"] = [*record.get("added", []), added]
            write_json(target, EvaluationRecord(**record).content())
            figures.parts.remove()
        return names


def measurable_run(evaluation: Evaluation, paths: Paths) -> RunRecord:
    """The record of a run whose weights are there, as its reference is."""
    run, folder = read_run(evaluation.run, paths).record, paths.run(evaluation.run)
    if run is None:
        raise UserError(f"{folder}: no finished run; train it with `python -m sagan train {evaluation.run}`")
    if run.left_behind:
        raise UserError(
            f"{folder}: a light copy without weights, which cannot be measured anew; copy the whole folder from the "
            "machine that trained it, or delete it to train it here"
        )
    check_reference(paths.reference(evaluation.reference), evaluation.reference)
    return run


def evaluation_record(evaluation: Evaluation, run: RunRecord, paths: Paths, device: torch.device) -> EvaluationRecord:
    beginning, clock = Beginning(), time.perf_counter()
    figures, condition = Figures(evaluation, run.content(), paths, device), run.config["variant"].get("condition")
    metrics, classes, matched, memorisation = {}, {}, {}, {}
    if not figures.diverged:
        names = applicable(condition, figures.settings["extractor"])
        metrics, classes = figures.metrics(names)
        matched, memorisation = figures.matched(names, metrics), figures.memorisation()
    curve = figures.curve()
    collapsed, attention = collapse(curve), figures.attention()
    best = {} if figures.diverged else figures.best(curve, metrics["fid"])
    _save_pictures(figures, paths.evaluation(evaluation.key))
    counts, seconds = sum(figures.parts.counts.values()), sum(figures.parts.seconds.values())
    return EvaluationRecord(
        key=evaluation.key,
        run=run.key,
        reference=evaluation.reference,
        variant=run.variant,
        seed=run.seed,
        dataset=run.dataset,
        condition=condition,
        extractor=figures.settings["extractor"],
        status="diverged" if figures.diverged else "measured",
        metrics=metrics,
        classes=classes,
        matched=matched,
        untrained={"fid": figures.untrained(curve)},
        best=best,
        curve=curve,
        curve_protocol=figures.protocol(figures.settings["curve_samples"]),
        collapse=collapsed,
        memorisation=memorisation,
        attention=attention,
        generated_images=counts,
        generated_per_second=round(counts / seconds, 1) if counts else 0.0,
        seconds=round(time.perf_counter() - clock + figures.parts.earlier, 3),
        provenance=provenance(device, beginning),
    )


def _save_pictures(figures: Figures, folder: Path) -> None:
    generator, seed, device = figures.generator(figures.final_path), figures.settings["seed"], figures.device
    snapshots = (figures.generator(path) for path in figures.snapshots)
    gallery.save_samples(generator, snapshots, seed, device, folder)
    if not figures.diverged:
        gallery.save_attention_maps(generator, figures.discriminator, seed, device, folder / "attention")
        z, sampled = figures.final_sample()
        gallery.save_neighbours(generator, z, sampled, figures.real, figures.paths, device, folder)

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
from sagan.paths import Paths
from sagan.plan import Evaluation
from sagan.records import Json, read_json, write_json
from sagan.states import run_record
from sagan.training.devices import device_for
from sagan.training.locks import exclusive
from sagan.training.provenance import now, provenance


def evaluate(evaluation: Evaluation, paths: Paths) -> Json:
    """Metrics, curve, sample grid and attention maps of a run. Killed, it goes on behind the last part of its features.

    Returns:
        The content of `metrics.json`; at once where it is there already.

    Raises:
        UserError: the run or the reference is not there.
    """
    target = paths.evaluation(evaluation.key) / "metrics.json"
    with exclusive(paths.state(evaluation.key) / "lock", evaluation.key):
        if not target.exists():
            run = measurable_run(evaluation, paths)
            with device_for(evaluation.execution, evaluation.threads) as device:
                write_json(target, evaluation_record(evaluation, run, paths, device))
        FeatureParts(paths.features(evaluation.key), evaluation.key).remove()
        return read_json(target)


def add_metrics(evaluation: Evaluation, paths: Paths) -> list[str]:
    """Bring to a measured run the metrics that its record has not by the present code; other figures stay.

    The same z are sampled again.

    Returns:
        Their names.

    Raises:
        UserError: the evaluation, the run's weights or the reference are not there.
    """
    target = paths.evaluation(evaluation.key) / "metrics.json"
    with exclusive(paths.state(evaluation.key) / "lock", evaluation.key):
        if not target.exists():
            raise UserError(f"{target}: not measured yet, so there is nothing to add to; leave out --add")
        record = read_json(target)
        if names := lacking(record):
            run, started = measurable_run(evaluation, paths), now()
            with device_for(evaluation.execution, evaluation.threads) as device:
                figures = Figures(evaluation, run, paths, device)
                metrics, classes = figures.metrics(names)
                matched = figures.matched(names, metrics)
                added = {"metrics": names, "provenance": provenance(device, started)}
            record["metrics"] |= metrics
            record["classes"] |= classes
            for side in ("generated", "real"):
                record["matched"][side] |= matched[side]
            record["added"] = [*record.get("added", []), added]
            write_json(target, record)
            figures.parts.remove()
        return names


def measurable_run(evaluation: Evaluation, paths: Paths) -> Json:
    """The record of a run whose weights are there, as its reference is."""
    run, folder = run_record(evaluation.run, paths), paths.run(evaluation.run)
    if run is None:
        raise UserError(f"{folder}: no finished run; train it with `python -m sagan train {evaluation.run}`")
    if run.get("left_behind"):
        raise UserError(
            f"{folder}: a light copy without weights, which cannot be measured anew; copy the whole folder from the "
            "machine that trained it, or delete it to train it here"
        )
    check_reference(paths.reference(evaluation.reference), evaluation.reference)
    return run


def evaluation_record(evaluation: Evaluation, run: Json, paths: Paths, device: torch.device) -> Json:
    started, clock = now(), time.perf_counter()
    figures, condition = Figures(evaluation, run, paths, device), run["config"]["variant"].get("condition")
    metrics, classes, matched, memorisation = {}, {}, {}, {}
    if not figures.diverged:
        names = applicable(condition, figures.settings["extractor"])
        metrics, classes = figures.metrics(names)
        matched, memorisation = figures.matched(names, metrics), figures.memorisation()
    curve = figures.curve()
    record = {
        "key": evaluation.key,
        "run": run["key"],
        "reference": evaluation.reference,
        "variant": run["variant"],
        "seed": run["seed"],
        "dataset": run["dataset"],
        "condition": condition,
        "extractor": figures.settings["extractor"],
        "status": "diverged" if figures.diverged else "measured",
        "metrics": metrics,
        "classes": classes,
        "matched": matched,
        "untrained": {"fid": figures.untrained(curve)},
        "best": {} if figures.diverged else figures.best(curve, metrics["fid"]),
        "curve": curve,
        "curve_protocol": figures.protocol(figures.settings["curve_samples"]),
        "collapse": collapse(curve),
        "memorisation": memorisation,
        "attention": figures.attention(),
    }
    _save_pictures(figures, paths.evaluation(evaluation.key))
    counts, seconds = sum(figures.parts.counts.values()), sum(figures.parts.seconds.values())
    return record | {
        "generated_images": counts,
        "generated_per_second": round(counts / seconds, 1) if counts else 0.0,
        "seconds": round(time.perf_counter() - clock + figures.parts.earlier, 3),
        "provenance": provenance(device, started),
    }


def _save_pictures(figures: Figures, folder: Path) -> None:
    generator, seed, device = figures.generator(figures.final_path), figures.settings["seed"], figures.device
    snapshots = (figures.generator(path) for path in figures.snapshots)
    gallery.save_samples(generator, snapshots, seed, device, folder)
    if not figures.diverged:
        gallery.save_attention_maps(generator, figures.discriminator, seed, device, folder / "attention")
        z, sampled = figures.final_sample()
        gallery.save_neighbours(generator, z, sampled, figures.real, figures.paths, device, folder)

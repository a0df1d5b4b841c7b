"""Records as training and measuring leave them, made up: what the tests of several rooms share."""

from __future__ import annotations

from dataclasses import asdict

from sagan.plan import Cell, Run
from sagan.store.records import Json

# Indented as variants in a params.yaml.
SAGAN = """
  sagan:
    description: the whole recipe
    generator: {width: 64, spectral_norm: true, attention_at: [14]}
    discriminator: {width: 64, spectral_norm: true, attention_at: [14]}
    objective: hinge
    optimizer: {lr_g: 0.0001, lr_ratio: 4.0, betas: [0.0, 0.9]}
"""
PROVENANCE = {
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "dirty": False,
    "device": "cpu (Made-up 3000)",
    "device_kind": "cpu",
    "threads": 1,
    "versions": {"python": "3.11.2", "torch": "2.15.0", "sagan": "0.1.0"},
    "started": "2026-01-02T03:04:05+00:00",
    "finished": "2026-01-02T03:05:05+00:00",
}


def run_record(run: Run, last: Json, diverged_at: int | None, images_per_second: float, **changes: object) -> Json:
    """run.json of a run whose log ends with the line `last`."""
    return {
        **asdict(run),
        "status": "finished" if diverged_at is None else "diverged",
        "diverged_at": diverged_at,
        "reason": None if diverged_at is None else "loss_d is not finite",
        "steps": last["step"],
        "images": last["images"],
        "seconds": last["seconds"],
        "step_seconds": round(0.9 * last["seconds"], 3),
        "images_per_second": images_per_second,
        "parameters": {"generator": 1_234_567, "discriminator": 765_432},
        "files": {},
        "provenance": PROVENANCE,
    } | changes


def evaluation_record(run: Run, cell: Cell, reference: str, metrics: Json | None, **measured: object) -> Json:
    """metrics.json of a run; without `metrics`, of one that diverged."""
    return {
        "key": cell.evaluation,
        "run": cell.run,
        "reference": reference,
        "variant": cell.variant,
        "seed": cell.seed,
        "dataset": run.dataset,
        "status": "diverged" if metrics is None else "measured",
        "metrics": metrics or {},
        "curve": [],
        "collapse": {"began": None, "why": None},
        "attention": {},
        "provenance": PROVENANCE,
    } | measured

"""Records as training and measuring leave them, made up: what the tests of several rooms share."""

from dataclasses import asdict

from sagan.plan import Cell, Run
from sagan.store.paths import Paths
from sagan.store.records import Json, write_json

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


def small_suite(variants: str, listed: str, extractor: str = "classifier") -> str:
    """params.yaml of one suite; `variants` stand beside sagan, `listed` are those of the suite."""
    return f"""
repro: [quick]
datasets: {{strokes: {{kind: mnist, resolution: 28, source: nowhere}}}}
variants:{SAGAN}{variants}
suites:
  quick:
    dataset: strokes
    variants: [{listed}]
    baseline: sagan
    seeds: 1
    training: {{steps: 6, batch_size: 8, ema: {{decay: 0.5, start: 1}}, snapshots: 2}}
    evaluation: {{extractor: {extractor}, split: train, samples: 2048, curve_samples: 2048}}
"""


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


def write_manifest(paths: Paths, dataset: str = "mnist5k", train: int = 4000, **changes: object) -> None:
    """What planning reads of a prepared dataset of 28 pixels: `train` images, and 1,000 to test."""
    manifest = {"digest": "d" * 64, "channels": 1, "resolution": 28, "dataset": dataset}
    manifest["labels"] = {"kind": "classes", "names": list("0123456789")}
    manifest |= {"count": train + 1000, "splits": {"train": [0, train], "test": [train, train + 1000]}}
    write_json(paths.prepared(dataset, 28) / "manifest.json", manifest | changes)


def put(tree: dict, key_path: str, value: object) -> None:
    """Set a value of params.yaml; what is missing on the way is made."""
    *parents, last = key_path.split(".")
    for key in parents:
        tree = tree.setdefault(key, {})
    tree[last] = value

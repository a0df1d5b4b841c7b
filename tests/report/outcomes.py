"""What training and evaluation leave on disk of one made-up run: its log, its records and its pictures."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from sagan.plan import Cell, Run
from sagan.store.paths import Paths
from sagan.store.records import write_json
from tests.made_up import evaluation_record, run_record

FLOOR = 0.9
REFERENCE = "digits-train-classifier-0123456789"
INCEPTION = "digits-train-inception-0123456789"
STEPS = (0, 100, 200, 300, 400)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def edited(path: Path) -> Iterator[dict]:
    """A record on disk, written back as it was changed."""
    record = json.loads(path.read_text(encoding="utf-8"))
    yield record
    path.write_text(json.dumps(record), encoding="utf-8")


def write_outcome(paths: Paths, run: Run, cell: Cell, mishap: str | None, fids: dict[str, float]) -> None:
    """The log and both records of a run, as far as its mishap let it come.

    Args:
        fids: mean FID by variant.
    """
    if mishap == "missing":
        return
    diverged_at = 230 if mishap == "diverged" else None
    last = diverged_at or 400
    attends = bool(run.config["variant"]["generator"]["attention_at"])
    speed = (820.0 if attends else 1000.0) / run.config["variant"]["n_dis"] + 7 * cell.seed
    log = [_log_line(run, step, speed, attends) for step in range(10, last + 1, 10)]
    folder = paths.run(cell.run)
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in log))
    write_json(folder / "run.json", run_record(run, log[-1], diverged_at, speed))
    if mishap == "unevaluated":
        return
    record = _evaluation_record(run, cell, mishap, attends, fids)
    write_json(paths.evaluation(cell.evaluation) / "metrics.json", record)
    if "inception" in cell.also:
        write_json(paths.evaluation(cell.also["inception"]) / "metrics.json", _in_inception(record, cell))


def _log_line(run: Run, step: int, speed: float, attends: bool) -> dict:
    wobble = math.sin(step / 17 + run.seed)
    images = step * 32
    line = {
        "step": step,
        "images": images,
        "seconds": images / speed,
        "step_seconds": 0.9 * images / speed,
        "time": 1_700_000_000.0 + step,
        "loss_d": 1.4 + 0.1 * wobble,
        "loss_g": 0.9 - step / 800 + 0.05 * wobble,
        "logits_fake": -0.4 if step != 230 else None,
    }
    if attends:
        line |= {"gamma.generator.14": 0.0005 * step * (1 + 0.1 * run.seed), "gamma.discriminator.14": -0.0002 * step}
    for network in ("generator", "discriminator"):
        if run.config["variant"][network]["spectral_norm"]:
            line |= {f"sigma.{network}.first": 1 + step / 200, f"sigma.{network}.last": 1 + step / 900}
    return line


def _evaluation_record(run: Run, cell: Cell, mishap: str | None, attends: bool, fids: dict[str, float]) -> dict:
    recipe = run.variant if run.variant != "same-again" else "sagan"
    rng = np.random.default_rng([sum(map(ord, recipe)), cell.seed])
    fid = fids[recipe] + round(float(rng.normal(0, 0.8)), 3)
    untrained = 210.0 + cell.seed
    curve = [round(fid + (untrained - fid) * math.exp(-step / 70), 3) for step in STEPS]
    if mishap == "collapsed":
        curve[-1] = fid = 61.5
    protocol = {"extractor": "classifier", "split": "train", "real_count": 4000, "generated_count": 4000, "seed": 0}

    def measured(name: str, value: float) -> dict:
        # Each run's own, and no part of how it was measured.
        facts = {**protocol, "std": value / 10} if name in ("kid", "is") else protocol
        return {"value": value, "status": "measured", "name": f"{name}4000_train.classifier", "protocol": facts}

    diverged = mishap == "diverged"

    def attention(step: int, **shares: float) -> dict:
        """Layers' statistics, of these shares of a uniform map's entropy at the end."""
        uniform, gamma = math.log(49), (0.15 + 0.03 * cell.seed) * step / STEPS[-1]
        entropies = {name: (1 - (1 - share) * step / STEPS[-1]) * uniform for name, share in shares.items() if attends}
        return {
            f"{name}.14": {"gamma": gamma, "entropy": entropy, "entropy_uniform": uniform}
            for name, entropy in entropies.items()
        }

    metrics = {
        "fid": measured("fid", fid),
        "kid": measured("kid", fid / 1000),
        "is": measured("is", 9.5 - fid / 20),
        "precision": measured("precision", max(0.05, 0.9 - fid / 80)),
        "recall": measured("recall", max(0.02, 0.8 - fid / 70)),
        "coverage": measured("coverage", max(0.02, 0.9 - fid / 70)),
    }
    collapsed = mishap == "collapsed"
    sides = {"generated": fid + 2.0, "real": FLOOR + 1.0}  # of 500 images each
    matched = {name: {"fid": {"value": value, "status": "measured"}} for name, value in sides.items()}
    memorisation = {"status": "measured", "closer": 0.008 + 0.002 * cell.seed}
    memorisation |= {"train_count": 4000, "training_images": 4000}
    return evaluation_record(
        run,
        cell,
        REFERENCE,
        None if diverged else metrics,
        untrained={"fid": measured("fid", untrained)},
        curve=[
            {
                "step": s,
                "fid": f,
                "recall": 0.0 if s == 400 and collapsed else s / 1000,
                "diversity": 0.9,
                "attention": attention(s, generator=0.62),
            }
            for s, f in zip(STEPS, curve, strict=True)
            if not diverged or s < 230
        ],
        collapse={"began": 400 if collapsed else None, "why": "recall near 0" if collapsed else None},
        best={} if diverged else {"step": 300, "fid": measured("best_fid", fid + 0.5)},
        matched={} if diverged else {"count": 500, "split": "test", **matched},
        memorisation={} if diverged else memorisation,
        attention=attention(STEPS[-1], generator=0.62, discriminator=0.81),
        seconds=12.5,
    )


def _in_inception(record: dict, cell: Cell) -> dict:
    """The same run in another space: an FID four times as large, and no IS."""
    metrics = {
        name: entry | {"value": 4 * entry["value"], "name": entry["name"].replace("classifier", "inception")}
        for name, entry in record["metrics"].items()
        if name in ("fid", "kid")
    }
    return record | {"key": cell.also["inception"], "reference": INCEPTION, "metrics": metrics, "matched": {}}


def write_pictures(folder: Path, cell: Cell, run: Run) -> None:
    """Grids of blobs that differ by variant and seed."""
    rng = np.random.default_rng([sum(map(ord, cell.variant)), cell.seed, 1])
    y, x = np.mgrid[0:28, 0:28]
    grid = np.zeros((8 * 28, 8 * 28), np.uint8)
    for i in range(64):
        centre_y, centre_x, size = rng.uniform([9, 9, 10], [19, 19, 40])
        blob = 255 * np.exp(-((y - centre_y) ** 2 + (x - centre_x) ** 2) / size)
        top, left = 28 * (i // 8), 28 * (i % 8)
        grid[top : top + 28, left : left + 28] = blob
    Image.fromarray(grid).save(folder / "samples.png")
    if cell.variant == "sagan":
        Image.fromarray(grid[:84, :140]).save(folder / "film.png")
    if run.config["variant"]["generator"]["attention_at"]:
        (folder / "attention").mkdir()
        for network in ("generator", "discriminator"):
            colours = np.stack([grid[:140], grid[28:168], grid[56:196]], axis=2)
            Image.fromarray(colours).save(folder / "attention" / f"{network}-14.png")


def reference_record() -> dict:
    """reference.json of the classifier's space."""
    values = {"fid": FLOOR, "kid": 0.0002, "is": 9.4, "precision": 0.88, "recall": 0.86, "coverage": 0.95}
    of_real_images = {name: {"value": value, "status": "measured"} for name, value in values.items()}
    return {
        "key": REFERENCE,
        "dataset": "digits",
        "dataset_digest": "d" * 64,
        "real_count": 4000,
        "accuracy": 0.985,
        "floor": {"fid": FLOOR, "count": 1000, "what": "1000 held-out test images against the train split"},
        "other_split": {"split": "test", "count": 1000, "metrics": of_real_images},
    }


def inception_record() -> dict:
    """reference.json of Inception's space."""
    floor = {"fid": 3.1, "count": 2000, "what": "one half of the train split against the other, 2000 each"}
    return reference_record() | {"key": INCEPTION, "accuracy": None, "floor": floor}

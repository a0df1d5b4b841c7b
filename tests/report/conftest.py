"""A library of made-up records: variants, seeds and one of every mishap, as the other rooms would write them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sagan.loading import load_params, suite_variant
from sagan.metrics.explorable import EXPLORABLE_IMAGES, save_explorable
from sagan.params import Params
from sagan.paths import Paths
from sagan.plan import Cell, Evaluation, Plan, Reference, Run
from sagan.records import write_json
from sagan.report import render
from tests.made_up import SAGAN, evaluation_record, run_record
from tests.report.explorable import Attending, random_images

PARAMS = f"""
repro: [made-up]
datasets:
  digits: {{kind: mnist5k, resolution: 28}}
variants:{SAGAN.rstrip()}
  no-attention: {{like: sagan, generator: {{attention_at: []}}, discriminator: {{attention_at: []}}}}
  sn-d-only: {{like: sagan, generator: {{spectral_norm: false}}}}
  ttur-1: {{like: sagan, optimizer: {{lr_ratio: 1.0}}}}
  two-d-steps: {{like: sagan, n_dis: 2}}
  same-again: {{like: sagan, init: xavier}}
  dcgan:
    description: "a name with | and <b>"
    generator: {{z_dim: 100, width: 64}}
    discriminator: {{width: 64, norm: batch}}
    objective: non-saturating
    optimizer: {{lr_g: 0.0002, betas: [0.5, 0.999]}}
  grid:
    like: sagan
    grid:
      attention: {{"on": {{}}, "off": {{generator: {{attention_at: []}}, discriminator: {{attention_at: []}}}}}}
      sn: {{gd: {{}}, d: {{generator: {{spectral_norm: false}}}}}}
suites:
  made-up: &suite
    title: Made-up digits
    dataset: digits
    variants: [sagan, no-attention, sn-d-only, ttur-1, two-d-steps, same-again, dcgan]
    baseline: sagan
    seeds: 5
    training: {{steps: 400, batch_size: 32, ema: {{decay: 0.99}}, snapshots: 4}}
    evaluation: {{extractor: classifier, split: train, samples: 4000, curve_samples: 1000}}
  factorial: {{<<: *suite, title: "", variants: [grid], seeds: 4}}
  few:
    <<: *suite
    title: ""
    variants: [sagan, no-attention]
    seeds: 2
    evaluation: {{extractor: classifier, also: [inception], split: train, samples: 4000, curve_samples: 1000}}
  empty: {{<<: *suite, title: "", variants: [sagan, dcgan], seeds: 3}}
"""

# (suite, variant, seed) -> what became of it; everything else is measured.
MISHAPS = {
    ("made-up", "dcgan", 3): "diverged",
    ("made-up", "dcgan", 4): "diverged",
    ("made-up", "ttur-1", 2): "missing",
    ("made-up", "ttur-1", 4): "unevaluated",
    ("made-up", "sn-d-only", 4): "collapsed",
}
FID = {
    "sagan": 14.0,
    "no-attention": 19.0,
    "sn-d-only": 15.2,
    "ttur-1": 18.0,
    "two-d-steps": 13.8,
    "dcgan": 31.0,
    "grid-off-d": 26.0,
}
FLOOR = 0.9
REFERENCE = "digits-train-classifier-0123456789"
INCEPTION = "digits-train-inception-0123456789"
STEPS = (0, 100, 200, 300, 400)


@dataclass(frozen=True)
class Library:
    """A root folder with results, and what the plan and the parameters say of it."""

    params: Params
    plan: Plan
    paths: Paths

    def cell(self, suite: str, variant: str, seed: int) -> Cell:
        return next(c for c in self.plan.suites[suite] if (c.variant, c.seed) == (variant, seed))


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Library:
    """All suites on disk, made once, to be read only."""
    return build(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="session")
def rendered(library):
    """suite -> the folder of its report, rendered once."""
    return cache(lambda suite: render(suite, library.plan, library.params, library.paths).parent)


@pytest.fixture
def make_library():
    """A function that writes the same library, or some of its suites, under another root."""
    return build


@pytest.fixture
def explorable(make_library, tmp_path):
    """The suite "few" with queries and keys: variant sagan attends, seed 1 with others than seed 0."""
    library = make_library(tmp_path / "root", ["few"], pictures=False)
    for seed in (0, 1):
        folder = library.paths.evaluation(library.cell("few", "sagan", seed).evaluation)
        torch.manual_seed(seed)
        images = random_images(EXPLORABLE_IMAGES + 2, seed)
        for role, network in (("generator", Attending(14)), ("discriminator", Attending(14, "unpooled"))):
            save_explorable(network, role, images / 127.5 - 1, images, folder / "attention")
    return library


def build(
    root: Path, suites: list[str] | None = None, fid: dict[str, float] | None = None, pictures: bool = True
) -> Library:
    """Write the records of some suites under `root`, with other mean FIDs for some variants."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(PARAMS)
    params, paths = load_params(root / "params.yaml"), Paths(root)
    plan = Plan({}, {}, {}, {})
    for suite in suites or params.suites:
        _plan_suite(plan, params, suite)
        for cell in plan.suites[suite]:
            _write_cell(plan, paths, suite, cell, {**FID, **(fid or {})})
            if pictures and paths.evaluation(cell.evaluation).exists():
                _write_pictures(paths.evaluation(cell.evaluation), cell, plan.runs[cell.run])
    write_json(paths.reference(REFERENCE) / "reference.json", _reference_record())
    if "few" in plan.suites:
        write_json(paths.reference(INCEPTION) / "reference.json", _inception_record())
    return Library(params, plan, paths)


def _plan_suite(plan: Plan, params: Params, suite: str) -> None:
    settings = params.suites[suite]
    reference = Reference(REFERENCE, "digits", 28, "d" * 64, "classifier", "train", "c" * 64, {})
    plan.references[reference.key] = reference
    plan.suites[suite] = []
    for variant in settings.variants:
        for seed in settings.seed_list():
            recipe = suite_variant(params, suite, variant).model_dump(exclude={"description"})
            config = {
                "variant": recipe,
                "training": {**settings.training.model_dump(), "snapshots": list(STEPS)},
                "seed": seed,
                "image": {"channels": 1, "resolution": 28},
            }
            key = f"{variant}-s{seed}-{suite.encode().hex()[:6]}{seed:04d}"
            plan.runs[key] = Run(key, variant, seed, "digits", "d" * 64, "c" * 64, config, {})
            evaluation = f"{key}.{seed:010d}"
            plan.evaluations[evaluation] = Evaluation(evaluation, key, reference.key, {}, "e" * 64, {})
            also = {}
            if "inception" in settings.evaluation.also:
                also = {"inception": f"{key}.1{seed:09d}"}
                settled = Evaluation(also["inception"], key, INCEPTION, {}, "e" * 64, {})
                plan.evaluations[settled.key] = settled
            plan.suites[suite].append(Cell(variant, seed, key, evaluation, also))


def _write_cell(plan: Plan, paths: Paths, suite: str, cell: Cell, fids: dict[str, float]) -> None:
    mishap = "missing" if suite == "empty" else MISHAPS.get((suite, cell.variant, cell.seed))
    if mishap == "missing":
        return
    run = plan.runs[cell.run]
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
        memorisation={} if diverged else {"status": "measured", "closer": 0.008 + 0.002 * cell.seed},
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
    return record | {"key": cell.also["inception"], "reference": INCEPTION, "metrics": metrics}


def _write_pictures(folder: Path, cell: Cell, run: Run) -> None:
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


def _reference_record() -> dict:
    return {
        "key": REFERENCE,
        "dataset": "digits",
        "dataset_digest": "d" * 64,
        "real_count": 4000,
        "accuracy": 0.985,
        "floor": {"fid": FLOOR, "count": 1000, "what": "1000 held-out test images against the train split"},
    }


def _inception_record() -> dict:
    floor = {"fid": 3.1, "count": 2000, "what": "one half of the train split against the other, 2000 each"}
    return _reference_record() | {"key": INCEPTION, "accuracy": None, "floor": floor}

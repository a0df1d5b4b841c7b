"""A library of made-up records: suites of variants and seeds, and one of every mishap."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch

from sagan.analysis.build import Analysis, analyse
from sagan.metrics.pictures import EXPLORABLE_IMAGES, save_explorable
from sagan.params import Params
from sagan.params.loading import load_params
from sagan.plan import Cell, Evaluation, Plan, Reference, Run
from sagan.report import render
from sagan.store.paths import Paths
from sagan.store.records import digest, write_json
from tests.made_up import SAGAN
from tests.report.explorable import Attending, random_images
from tests.report.outcomes import (
    INCEPTION,
    REFERENCE,
    STEPS,
    inception_record,
    reference_record,
    write_outcome,
    write_pictures,
)

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
  factorial: {{<<: *suite, title: "", variants: [grid], seeds: 4, questions: [attention, sn]}}
  eight: {{<<: *suite, title: "", variants: [sagan, no-attention, sn-d-only, two-d-steps], seeds: 8}}
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
# Combinations of the grid, by the variants that say the same.
SAME = {"sagan": "grid-on-gd", "no-attention": "grid-off-gd", "sn-d-only": "grid-on-d"}


@dataclass(frozen=True)
class Library:
    """A root folder with results, and what the plan and the parameters say of it."""

    params: Params
    plan: Plan
    paths: Paths

    def cell(self, suite: str, variant: str, seed: int) -> Cell:
        names = (variant, SAME.get(variant))
        return next(c for c in self.plan.suites[suite] if c.variant in names and c.seed == seed)


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Library:
    """All suites on disk, made once, to be read only."""
    return build(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="session")
def rendered(library):
    """suite -> the folder of its report, rendered once."""

    return cache(lambda suite: report(library, suite))


def found(library: Library, suite: str = "few") -> Analysis:
    """What the records of a suite say."""
    return analyse(suite, library.plan, library.params, library.paths)


def report(library: Library, suite: str = "few") -> Path:
    """The folder of a suite's report, rendered of the records."""
    return render(found(library, suite), library.paths).parent


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
    root: Path,
    suites: list[str] | None = None,
    fid: dict[str, float] | None = None,
    pictures: bool = True,
    text: str = PARAMS,
) -> Library:
    """Write the records of some suites under `root`, with other mean FIDs for some variants, or another params.yaml."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(text)
    params, paths = load_params(root / "params.yaml"), Paths(root)
    fid = FID | (fid or {})
    fid |= {cell: fid[name] for name, cell in SAME.items()}
    plan = Plan({}, {}, {}, {})
    for suite in suites or params.suites:
        _plan_suite(plan, params, suite)
        for cell in plan.suites[suite]:
            run, folder = plan.runs[cell.run], paths.evaluation(cell.evaluation)
            mishap = "missing" if suite == "empty" else MISHAPS.get((suite, cell.variant, cell.seed))
            write_outcome(paths, run, cell, mishap, fid)
            if pictures and folder.exists():
                write_pictures(folder, cell, run)
    write_json(paths.reference(REFERENCE) / "reference.json", reference_record())
    if "few" in plan.suites:
        write_json(paths.reference(INCEPTION) / "reference.json", inception_record())
    return Library(params, plan, paths)


def _plan_suite(plan: Plan, params: Params, suite: str) -> None:
    settings = params.suites[suite]
    reference = Reference(REFERENCE, "digits", 28, "d" * 64, "classifier", "train", 1, "c" * 64, {})
    plan.references[reference.key] = reference
    plan.suites[suite] = []
    for variant in params.rows[suite]:
        for seed in settings.seed_list():
            recipe = params.variants[variant].model_dump(exclude={"description", "training", "ranked"})
            row = params.rows[suite][variant]
            config = {
                "variant": recipe,
                "training": {**settings.training.model_dump(), "snapshots": list(STEPS)},
                "seed": seed,
                "image": {"channels": 1, "resolution": 28},
            }
            key = f"{variant}-s{seed}-{digest([suite, variant, seed], 10)}"
            plan.runs[key] = Run(key, variant, seed, "digits", "d" * 64, "c" * 64, config, {})
            evaluation = f"{key}.{seed:010d}"
            plan.evaluations[evaluation] = Evaluation(evaluation, key, reference.key, {}, "e" * 64, {})
            also = {}
            if "inception" in settings.evaluation.also:
                also = {"inception": f"{key}.1{seed:09d}"}
                settled = Evaluation(also["inception"], key, INCEPTION, {}, "e" * 64, {})
                plan.evaluations[settled.key] = settled
            plan.suites[suite].append(Cell(variant, seed, key, evaluation, also, row.levels, row.aliases))

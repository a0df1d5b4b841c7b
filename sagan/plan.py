"""From `params.yaml` to the one list of runs, references and evaluations, each named by what determines it.

A run's key hashes its resolved configuration, the dataset's digest and the training code; an
evaluation's key hashes its run's key, the evaluation settings, the reference's key and the
evaluation code. A result under a key can therefore never be stale, and is never made twice.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from sagan import fingerprint
from sagan.conditions import class_names
from sagan.errors import UserError, did_you_mean
from sagan.loading import suite_variant
from sagan.params import Params
from sagan.params.suites import Suite, Training
from sagan.params.variants import Variant
from sagan.paths import Paths
from sagan.records import Json, NotARecord, digest, misfit, read_json, write_json
from sagan.shapes import resolve_side
from sagan.weights import extractor_digest


@dataclass(frozen=True)
class Run:
    """One training: a variant with a seed. `config` is complete and enters the key; `execution` does not."""

    key: str
    variant: str
    seed: int
    dataset: str
    dataset_digest: str
    code: str
    config: Json
    execution: Json

    @property
    def resolution(self) -> int:
        return self.config["image"]["resolution"]


@dataclass(frozen=True)
class Reference:
    """The real side of a comparison: statistics of a dataset's split in one feature space.

    `conditions` are what some variants are told of images, so that classes are compared too. They do not enter the
    key: what is asked for later is added.
    """

    key: str
    dataset: str
    resolution: int
    dataset_digest: str
    extractor: str
    split: str
    code: str
    execution: Json
    conditions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Evaluation:
    """One run measured against one reference."""

    key: str
    run: str
    reference: str
    settings: Json
    code: str
    execution: Json


@dataclass(frozen=True)
class Cell:
    """A row of a suite: which run and which evaluation stand for a variant and a seed.

    `also` has the evaluations in further feature spaces, by extractor.
    """

    variant: str
    seed: int
    run: str
    evaluation: str
    also: dict[str, str] = field(default_factory=dict)

    @property
    def evaluations(self) -> list[str]:
        """The keys of all evaluations of the run that the suite asks for."""
        return [self.evaluation, *self.also.values()]


@dataclass(frozen=True)
class Plan:
    """Everything to be made for some suites. Suites share runs, and runs share references."""

    runs: dict[str, Run]
    references: dict[str, Reference]
    evaluations: dict[str, Evaluation]
    suites: dict[str, list[Cell]]

    def digest(self) -> str:
        return digest(dataclasses.asdict(self), 16)

    def save(self, path: Path) -> None:
        write_json(path, dataclasses.asdict(self))

    @staticmethod
    def load(path: Path) -> Plan:
        """A plan as `save` wrote it.

        Raises:
            UserError: the file is not there, or is no plan.
        """
        try:
            record = read_json(path)
            return Plan(
                runs={key: Run(**value) for key, value in record["runs"].items()},
                references={key: Reference(**value) for key, value in record["references"].items()},
                evaluations={key: Evaluation(**value) for key, value in record["evaluations"].items()},
                suites={name: [Cell(**cell) for cell in cells] for name, cells in record["suites"].items()},
            )
        except FileNotFoundError:
            problem = "no such plan"
        except (NotARecord, KeyError, TypeError, AttributeError):
            problem = "no plan of this version"
        raise UserError(f"{path}: {problem}; write one with `python -m sagan plan --out plan.json`")


def make_plan(params: Params, paths: Paths, suites: list[str] | None = None) -> Plan:
    """The plan for some suites (those under `repro:` unless told otherwise).

    Raises:
        UserError: no suite is asked for, one is unknown, or its dataset is not prepared.
    """
    plan = Plan({}, {}, {}, {})
    names = params.repro if suites is None else suites
    if not names:
        raise UserError(f"{paths.params}: repro = []: names no suite to build; there are: {', '.join(params.suites)}")
    for name in names:
        if name not in params.suites:
            raise UserError(f"{paths.params}: suites: no suite {name!r}{did_you_mean(name, params.suites)}")
        _add_suite(plan, params, paths, name)
    return plan


def _add_suite(plan: Plan, params: Params, paths: Paths, name: str) -> None:
    suite = params.suites[name]
    manifest = _manifest(params, paths, name)
    variants = {variant: suite_variant(params, name, variant) for variant in suite.variants}
    _check_conditions(suite, name, variants, manifest, paths)
    conditions = sorted({variant.condition for variant in variants.values() if variant.condition is not None})
    references = [_reference(suite, extractor, conditions, manifest, paths) for extractor in suite.evaluation.spaces]
    for reference in references:
        known = plan.references.setdefault(reference.key, reference)
        asked = sorted({*known.conditions, *conditions})
        plan.references[reference.key] = dataclasses.replace(known, conditions=asked)
    cells = plan.suites.setdefault(name, [])
    for variant, recipe in variants.items():
        for seed in suite.seed_list():
            run = _run(suite, variant, recipe, seed, manifest)
            run = plan.runs.setdefault(run.key, run)
            evaluations = [_evaluation(suite, run, reference) for reference in references]
            for evaluation in evaluations:
                plan.evaluations.setdefault(evaluation.key, evaluation)
            first, *others = (evaluation.key for evaluation in evaluations)
            also = dict(zip(suite.evaluation.also, others, strict=True))
            cells.append(Cell(variant, seed, run.key, first, also))


def _check_conditions(suite: Suite, name: str, variants: dict[str, Variant], manifest: Json, paths: Paths) -> None:
    """Say where a condition is written that a suite's dataset does not have."""
    for variant, recipe in variants.items():
        if recipe.condition is None:
            continue
        place = f"suites.{name}.overrides" if "condition" in suite.overrides else f"variants.{variant}"
        try:
            class_names(manifest, recipe.condition)
        except UserError as error:
            raise UserError(f"{paths.params}: {place}.{error} (suite {name!r} asks for it)") from None


def _run(suite: Suite, name: str, variant: Variant, seed: int, manifest: Json) -> Run:
    config = {
        "variant": resolved_variant(variant, manifest["resolution"]),
        "training": {**suite.training.model_dump(), "snapshots": snapshot_steps(suite.training)},
        "seed": seed,
        "image": _image(variant, manifest),
    }
    code = fingerprint.code_fingerprint(fingerprint.TRAINING)
    key = f"{name}-s{seed}-{digest([config, manifest['digest'], code], 10)}"
    return Run(key, name, seed, suite.dataset, manifest["digest"], code, config, suite.execution.model_dump())


def _image(variant: Variant, manifest: Json) -> Json:
    image: Json = {"channels": manifest["channels"], "resolution": manifest["resolution"]}
    if variant.condition is not None:
        image["classes"] = class_names(manifest, variant.condition)
    return image


def resolved_variant(variant: Variant, resolution: int) -> Json:
    """A variant as a run's configuration holds it: complete, with places as sides in pixels."""
    resolved = variant.model_dump(exclude={"description"})
    for network in ("generator", "discriminator"):
        places = [resolve_side(place, resolution) for place in resolved[network]["attention_at"]]
        resolved[network]["attention_at"] = sorted(set(places))
    return resolved


def snapshot_steps(training: Training) -> list[int]:
    """The steps whose generator is kept and measured: 0, those asked for, and the last."""
    asked = training.snapshots
    if isinstance(asked, int):
        asked = [round(training.steps * i / asked) for i in range(1, asked + 1)]
    return sorted({0, *asked, training.steps})


def _reference(suite: Suite, extractor: str, conditions: list[str], manifest: Json, paths: Paths) -> Reference:
    split = suite.evaluation.split
    code = fingerprint.code_fingerprint(fingerprint.REFERENCE)
    weights = extractor_digest(extractor, paths)
    identity = [manifest["digest"], extractor, weights, split, code]
    key = f"{suite.dataset}-{split}-{extractor}-{digest(identity, 10)}"
    return Reference(
        key=key,
        dataset=suite.dataset,
        resolution=manifest["resolution"],
        dataset_digest=manifest["digest"],
        extractor=extractor,
        split=split,
        code=code,
        execution=suite.execution.model_dump(),
        conditions=conditions,
    )


def _evaluation(suite: Suite, run: Run, reference: Reference) -> Evaluation:
    settings = suite.evaluation.settings(reference.extractor)
    code = fingerprint.code_fingerprint(fingerprint.EVALUATION)
    key = f"{run.key}.{digest([run.key, settings, reference.key, code], 10)}"
    return Evaluation(key, run.key, reference.key, settings, code, suite.execution.model_dump())


def _manifest(params: Params, paths: Paths, suite_name: str) -> Json:
    dataset = params.suites[suite_name].dataset
    folder = paths.prepared(dataset, params.datasets[dataset].resolution)
    path = folder / "manifest.json"
    try:
        manifest = read_json(path)
        problem = misfit(manifest, {"digest": str, "channels": int, "resolution": int})
    except FileNotFoundError:
        problem = f"dataset {dataset!r} is not prepared"
    except NotARecord as error:
        problem = error.reason
    if problem is None:
        return manifest
    raise UserError(f"{path}: {problem}; run `python -m sagan data --suite {suite_name}`, which makes it")

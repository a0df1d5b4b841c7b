"""From `params.yaml` to the one list of runs, references and evaluations, each named by what determines it.

A run's key hashes its configuration (what is on), the dataset's digest and the code that it uses; an evaluation's
hashes its run's, the evaluation settings, its reference's and the code that measures. A result under a key can
therefore never be stale, and is never made twice. The hash identifies; the name before it is a label: one recipe is
one run, under however many names, and is used where it lies. `docs/keys.md` has examples.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from sagan.code import fingerprint
from sagan.code.extensions import Sources, check_extension
from sagan.data.prepared import class_names
from sagan.errors import UserError, check_known, first_line
from sagan.params import Params
from sagan.params.recipes import NETWORKS, resolved_variant, suite_training
from sagan.params.run import Image, RunConfig, RunTraining, switched_on
from sagan.params.suites import Listed, Suite
from sagan.plan.checks import check_data, check_own_code
from sagan.plan.types import Cell, Evaluation, Plan, Reference, Run
from sagan.store.paths import Paths, main_workspace
from sagan.store.reading import read_record, warn_once
from sagan.store.records import Json, digest
from sagan.store.types import Manifest, RunRecord
from sagan.store.weights import extractor_digest

_RUN_KEY = re.compile(r".+-(s\d+-[0-9a-f]{10})")


def make_plan(
    params: Params, paths: Paths, suites: list[str] | None = None, seeds: Mapping[str, int] | None = None
) -> Plan:
    """The plan for some suites (those under `repro:` unless told otherwise).

    Args:
        seeds: of suites that add them until it is decided, how many are asked for now; by default those of the first
            look (`sagan.analysis.seeds` finds out).

    Raises:
        UserError: no suite is asked for, one is unknown, or its dataset is not prepared.
    """
    names = params.repro if suites is None else suites
    if not names:
        raise UserError(f"{paths.params}: repro = []: names no suite to build; there are: {', '.join(params.suites)}")
    planner = _Planner(params, paths, seeds or {})
    for name in names:
        check_known(f"{paths.params}: suites: {name!r}", name, params.suites, "suite")
        planner.add_suite(name)
    return planner.plan


class _Planner:
    """A plan that grows suite by suite."""

    def __init__(self, params: Params, paths: Paths, seeds: Mapping[str, int]) -> None:
        self.params, self.paths, self.seeds = params, paths, seeds
        self.plan = Plan({}, {}, {}, {})
        self._names = dict(_names_on_disk(paths))  # "s<seed>-<hash>" -> key

    def add_suite(self, name: str) -> None:
        suite, paths, plan = self.params.suites[name], self.paths, self.plan
        manifest = _manifest(self.params, paths, name)
        rows = self.params.rows[name]
        variants = {row: self.params.variants[row] for row in rows}
        for variant, recipe in variants.items():
            if recipe.caution is not None:
                warn_once(f"variants.{variant}: {recipe.caution}")
        check_data(suite, name, variants, manifest, paths)
        references = [_reference(suite, space, manifest, paths) for space in suite.evaluation.spaces]
        for reference in references:
            plan.references.setdefault(reference.key, reference)
        seeds = suite.seed_list(self.seeds.get(name))
        jobs = [(row, self._run(suite, row.name, seed, manifest)) for row in rows.values() for seed in seeds]
        plan.suites[name] = [self._cell(suite, row, run, references) for row, run in jobs]
        check_own_code(self.params, name, paths)

    def _run(self, suite: Suite, name: str, seed: int, manifest: Json) -> Run:
        variant = self.params.variants[name]
        training = suite_training(suite, name, variant)
        classes = None if variant.condition is None else class_names(manifest, variant.condition)
        config = RunConfig(
            variant=resolved_variant(variant, manifest["resolution"]),
            training=RunTraining(**{**training.model_dump(), "snapshots": training.snapshot_steps()}),
            seed=seed,
            image=Image(channels=manifest["channels"], resolution=manifest["resolution"], classes=classes),
        )
        code, _ = run_code(config, self.paths, f"{self.paths.params}: variants.{name}.extension.file")
        place = f"s{seed}-{digest([config.identity(), manifest['digest'], code], 10)}"
        key = self._names.setdefault(place, f"{name}-{place}")
        execution = suite.execution.model_dump()
        run = Run(key, name, seed, suite.dataset, manifest["digest"], code, config.model_dump(), execution)
        return self.plan.runs.setdefault(key, run)

    def _cell(self, suite: Suite, row: Listed, run: Run, references: list[Reference]) -> Cell:
        evaluations = [_evaluation(suite, run, reference) for reference in references]
        for evaluation in evaluations:
            self.plan.evaluations.setdefault(evaluation.key, evaluation)
        first, *others = (evaluation.key for evaluation in evaluations)
        also = dict(zip(suite.evaluation.also, others, strict=True))
        return Cell(row.name, run.seed, run.key, first, also, row.levels, row.aliases)


def _names_on_disk(paths: Paths) -> Iterator[tuple[str, str]]:
    """Of results that are there: what identifies the run, and its key. The last one counts: finished here, if any is.

    What experiments made beside the workspace, or the workspace beside an experiment, is used under its name too.
    """
    roots = [root for root in (main_workspace(paths.root), paths.root) if root is not None]
    for one in [Paths(place) for root in roots for place in (root / "state" / "shared", root)]:
        for evaluation in sorted(one.evaluation("-").parent.glob("*.*")):
            if found := _RUN_KEY.fullmatch(evaluation.name.rpartition(".")[0]):
                yield found[1], found[0]
        for run in sorted(one.run("-").parent.glob("*-s*"), key=lambda run: (_is_of_its_name(run), run)):
            if found := _RUN_KEY.fullmatch(run.name):
                yield found[1], found[0]


def _is_of_its_name(run: Path) -> bool:
    """Whether a folder holds the finished run that it is named as, and no copy of another."""
    path = run / "run.json"  # of a lock, too, which lies beside the folders
    record = read_record(path, RunRecord).record if path.exists() else None
    return record is not None and record.key == run.name


def run_code(config: RunConfig, paths: Paths, place: str) -> tuple[str, Sources | None]:
    """The hash of the code that a run uses, its own file among it.

    Args:
        place: where params.yaml names that file.

    Returns:
        With the file as it was read.

    Raises:
        UserError: there is something wrong with that file.
    """
    extension = config.variant.extension
    code = fingerprint.code_of(*fingerprint.RUN, tokens=config.tokens())
    if extension is None:
        return code, None
    file = paths.root / extension.file
    sources, defined = check_extension(file, place)
    networks = defined & {"build_generator", "build_discriminator"}
    if networks and config.variant.condition is not None:
        raise UserError(f"{place} = {extension.file!r}: own networks are not told of classes; say condition: null")
    if "build_discriminator" in networks and config.variant.regularisers.feature_matching:
        problem = "of an own discriminator the features before its head are not known; say feature_matching: 0"
        raise UserError(f"{place} = {extension.file!r}: {problem}")
    try:
        own = fingerprint.extension_code(sources, tokens=config.tokens())
    except LookupError as error:
        raise UserError(f"{place} = {extension.file!r}: {first_line(error)}") from None
    # An own network sees each of its switches, also those that say nothing to the package's.
    roles = [role for role in NETWORKS if f"build_{role}" in defined]
    seen = {role: getattr(config.variant, role).model_dump(exclude_defaults=True) for role in roles}
    return digest([code, own, seen]), sources


def check_code(spec: Run | Reference | Evaluation, paths: Paths) -> Sources | None:
    """Refuse to make what a plan of other code asks for. Once the code is imported, this says what was imported.

    Returns:
        A run's own code, as it was read.

    Raises:
        UserError: the code has changed since the plan was made.
    """
    own = None
    if isinstance(spec, Run):
        now, own = run_code(spec.typed, paths, f"{paths.params}: variants.{spec.variant}.extension.file")
    elif isinstance(spec, Reference):
        now = fingerprint.code_of(*fingerprint.REFERENCE, tokens=[spec.extractor])
    else:
        now = fingerprint.code_of(*fingerprint.EVALUATION, tokens=[spec.settings["extractor"]])
    if now != spec.code:
        raise UserError(f"{spec.key}: the code has changed since the plan was made; plan again")
    return own


def _reference(suite: Suite, extractor: str, manifest: Json, paths: Paths) -> Reference:
    split, threads = suite.evaluation.split, suite.evaluation.threads
    code, execution = fingerprint.code_of(*fingerprint.REFERENCE, tokens=[extractor]), suite.execution.model_dump()
    side, data = manifest["resolution"], manifest["digest"]
    identity = [data, extractor, extractor_digest(extractor, paths), split, threads, code]
    key = f"{suite.dataset}-{split}-{extractor.replace(':', '-')}-{digest(identity, 10)}"
    return Reference(key, suite.dataset, side, data, extractor, split, threads, code, execution)


def _evaluation(suite: Suite, run: Run, reference: Reference) -> Evaluation:
    space = {"extractor": reference.extractor, "curve": suite.evaluation.curve.get(reference.extractor, 0)}
    settings = suite.evaluation.model_dump(exclude={"also"}) | space
    identity = {**switched_on(suite.evaluation), "also": [], **space}
    code = fingerprint.code_of(*fingerprint.EVALUATION, tokens=[reference.extractor])
    names = [key.rpartition("-")[2] for key in (run.key, reference.key)]
    key = f"{run.key}.{digest([*names, identity, code], 10)}"
    return Evaluation(key, run.key, reference.key, settings, code, suite.execution.model_dump())


def _manifest(params: Params, paths: Paths, suite_name: str) -> Json:
    dataset = params.suites[suite_name].dataset
    path = paths.prepared(dataset, params.datasets[dataset].resolution) / "manifest.json"
    found = read_record(path, Manifest)
    if found.record is not None:
        return found.record.content()
    problem = found.why or f"dataset {dataset!r} is not prepared"
    raise UserError(f"{path}: {problem}; run `python -m sagan data --suite {suite_name}`, which makes it")

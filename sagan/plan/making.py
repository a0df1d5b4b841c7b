"""From `params.yaml` to the one list of runs, references and evaluations, each named by what determines it.

A run's key hashes its configuration (what is on), the dataset's digest and the code that it uses; an evaluation's
hashes its run's, the evaluation settings, its reference's and the code that measures. A result under a key can
therefore never be stale, and is never made twice. The hash identifies; the name before it is a label: one recipe is
one run, under however many names, and is used where it lies. `docs/keys.md` has examples.

What is known to fail, or to say nothing, is refused here, before anything is trained.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from sagan.code import fingerprint
from sagan.code.extensions import REPLACED, Sources, check_extension, load_extension
from sagan.data.prepared import class_names
from sagan.errors import UserError, check_known, first_line
from sagan.params import Params
from sagan.params.run import NETWORKS, Image, RunConfig, run_config, switched_on, what_runs
from sagan.params.suites import Suite, least_images
from sagan.plan.types import Cell, Evaluation, Plan, Reference, Run
from sagan.store.paths import Paths
from sagan.store.reading import read_record, read_run, warn_once
from sagan.store.records import Json, canonical, digest
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
        UserError: no suite is asked for, one is unknown, its dataset is not prepared or lacks what it asks for, or its
            own code is wrong.
    """
    names = params.repro if suites is None else suites
    if not names:
        raise UserError(f"{paths.params}: repro = []: names no suite to build; there are: {', '.join(params.suites)}")
    plan, keys = Plan({}, {}, {}, {}), dict(_keys_on_disk(paths))
    for name in names:
        check_known(f"{paths.params}: suites: {name!r}", name, params.suites, "suite")
        suite, manifest = params.suites[name], _manifest(params, paths, name)
        references = [_reference(params, name, space, manifest, paths) for space in suite.evaluation.spaces]
        for reference in references:
            plan.references.setdefault(reference.key, reference)
        plan.suites[name] = []
        for row in params.rows[name].values():
            if (caution := params.variants[row.name].caution) is not None:
                warn_once(f"variants.{row.name}: {caution}")
            for seed in suite.seed_list((seeds or {}).get(name)):
                run = _run(params, name, row.name, seed, manifest, keys, paths)
                run = plan.runs.setdefault(run.key, run)
                evaluations = [_evaluation(suite, run, reference) for reference in references]
                for evaluation in evaluations:
                    plan.evaluations.setdefault(evaluation.key, evaluation)
                first, *others = (evaluation.key for evaluation in evaluations)
                also = dict(zip(suite.evaluation.also, others, strict=True))
                plan.suites[name].append(Cell(row.name, seed, run.key, first, also, row.levels, row.aliases))
        _check_own_code(params, name, paths)
    return plan


def reference_of(params: Params, suite: str, space: str, paths: Paths) -> Reference:
    """The real side of a suite in one of its feature spaces; its runs are not planned, nor are other spaces looked at.

    Raises:
        UserError: the dataset is not prepared, has not what the space needs, or the space's weights are not there.
    """
    return _reference(params, suite, space, _manifest(params, paths, suite), paths)


def _manifest(params: Params, paths: Paths, suite: str) -> Json:
    dataset = params.suites[suite].dataset
    path = paths.prepared(dataset, params.datasets[dataset].resolution) / "manifest.json"
    found = read_record(path, Manifest)
    if found.record is not None:
        return found.record.content()
    problem = found.why or f"dataset {dataset!r} is not prepared"
    raise UserError(f"{path}: {problem}; run `python -m sagan data --suite {suite}`, which makes it")


def _check_data(suite: Suite, name: str, space: str, manifest: Json, paths: Paths) -> None:
    """Refuse a feature space for which a suite's dataset has no classes, or too few real images for FID."""
    asked = suite.evaluation
    place, data = f"{paths.params}: suites.{name}.evaluation", f"dataset {suite.dataset!r} has"
    if space == "classifier" and manifest["labels"]["kind"] != "classes":
        key = "extractor" if asked.extractor == space else f"also[{asked.also.index(space)}]"
        raise UserError(f"{place}.{key} = {space!r}: {data} no classes to train one on; use 'inception'")
    # Which splits there are, `PreparedDataset.split` says.
    first, last = manifest["splits"].get(asked.split, (0, math.inf))
    if last - first < (least := least_images(space)):
        problem = f"{data} {last - first} such images, and FID in {space!r} needs {least}"
        raise UserError(f"{place}.split = {asked.split!r}: {problem}")


def _run(params: Params, suite: str, name: str, seed: int, manifest: Json, keys: dict[str, str], paths: Paths) -> Run:
    """One run of a variant; its key is the one among `keys` that ends as it does, or a new one, which is added."""
    spec, condition = params.suites[suite], params.variants[name].condition
    classes: list[str] | None = None
    if condition is not None:
        try:
            classes = class_names(manifest, condition)
        except UserError as error:
            raise UserError(f"{paths.params}: variants.{name}.{error} (suite {suite!r} asks for it)") from None
    image = Image(channels=manifest["channels"], resolution=manifest["resolution"], classes=classes)
    config = run_config(params, suite, name, seed, image)
    code, _ = run_code(config, paths, _place(name, paths))
    identity = f"s{seed}-{digest([config.identity(), manifest['digest'], code], 10)}"
    key, execution = keys.setdefault(identity, f"{name}-{identity}"), spec.execution.model_dump()
    return Run(key, name, seed, spec.dataset, manifest["digest"], code, config.model_dump(), execution)


def _reference(params: Params, name: str, extractor: str, manifest: Json, paths: Paths) -> Reference:
    suite = params.suites[name]
    _check_data(suite, name, extractor, manifest, paths)
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


def _keys_on_disk(paths: Paths) -> Iterator[tuple[str, str]]:
    """Of results that are there: what identifies the run, and its key. The last one counts: finished here, if any is.

    What experiments made beside the workspace, or the workspace beside an experiment, is used under its name too.
    """
    for one in [place for of in dict.fromkeys((paths.workspace, paths)) for place in (of.pool, of)]:
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
    """The hash of the code that a run uses, with its own file as it was read; `place` is where params.yaml names that.

    Raises:
        UserError: there is something wrong with that file.
    """
    extension = config.variant.extension
    code = fingerprint.code_of(*fingerprint.RUN, tokens=config.tokens())
    if extension is None:
        return code, None
    sources = check_extension(paths.root / extension.file, place)
    told, roles = f"{place} = {extension.file!r}", [role for role in NETWORKS if f"build_{role}" in sources.defined]
    if roles and config.variant.condition is not None:
        raise UserError(f"{told}: own networks are not told of classes; say condition: null")
    if "discriminator" in roles and config.variant.regularisers.feature_matching:
        problem = "of an own discriminator the features before its head are not known; say feature_matching: 0"
        raise UserError(f"{told}: {problem}")
    try:
        own = fingerprint.extension_code(sources, tokens=config.tokens())
    except LookupError as error:
        raise UserError(f"{told}: {first_line(error)}") from None
    # An own network sees each of its switches, also those that say nothing to the package's.
    seen = {role: getattr(config.variant, role).model_dump(exclude_defaults=True) for role in roles}
    return digest([code, own, seen]), sources


def check_code(spec: Run | Reference | Evaluation, paths: Paths) -> Sources | None:
    """Refuse to make what a plan of other code asks for; returns a run's own code as it was read.

    Once the code is imported, this says what was imported.

    Raises:
        UserError: the code has changed since the plan was made, or the run's own code is wrong.
    """
    own = None
    if isinstance(spec, Run):
        now, own = run_code(spec.typed, paths, _place(spec.variant, paths))
    elif isinstance(spec, Reference):
        now = fingerprint.code_of(*fingerprint.REFERENCE, tokens=[spec.extractor])
    else:
        now = fingerprint.code_of(*fingerprint.EVALUATION, tokens=[spec.settings["extractor"]])
    if now != spec.code:
        raise UserError(f"{spec.key}: the code has changed since the plan was made; plan again")
    return own


def _check_own_code(params: Params, suite: str, paths: Paths) -> None:
    """Refuse variants that differ only in what their own code replaces, or in the name of the file that it is in."""
    found: dict[str, tuple[str, Json]] = {}
    for name in params.rows[suite]:
        extension = params.variants[name].extension
        if extension is None:
            continue
        runs = what_runs(params, suite, name)
        sources = check_extension(paths.root / extension.file, _place(name, paths))
        dead = [key for needed, keys in REPLACED.items() if sources.defined.issuperset(needed) for key in keys]
        rest = {key: value for key, value in runs["variant"].items() if key not in dead}
        recipe = canonical([rest, runs["training"], fingerprint.extension_code(sources)])
        other, before = found.setdefault(recipe, (name, runs["variant"]))
        if other == name:
            continue
        differs = [key for key in dead if before.get(key) != runs["variant"].get(key)]
        why = f"{' and '.join(differs)} differ alone, which it replaces" if differs else "the code is the same"
        told = f"{other!r} and {name!r} are one recipe by their own code, {extension.file}: {why}"
        ways = "let them differ in something else, or list one alone"
        raise UserError(f"{paths.params}: suites.{suite}.variants: {told}; {ways}")


def check_own_networks(plan: Plan, paths: Paths) -> None:
    """Build the networks of own code that runs to come need; a `UserError` where one gives another shape than asked."""
    to_come = {run.variant: run for run in plan.runs.values() if read_run(run.key, paths).record is None}
    for name, run in to_come.items():
        config = run.typed
        if config.variant.extension is None:
            continue
        sources = check_extension(paths.root / config.variant.extension.file, _place(name, paths))
        roles = [role for role in NETWORKS if f"build_{role}" in sources.defined]
        if roles:
            from sagan.nn.extension import own_network  # torch: others need not wait for it

            module = load_extension(sources)
            for role in roles:
                own_network(role, config.networks(), module)


def _place(variant: str, paths: Paths) -> str:
    return f"{paths.params}: variants.{variant}.extension.file"

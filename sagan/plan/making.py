"""From `params.yaml` to the one list of runs, references and evaluations, each named by what determines it.

A run's key hashes its configuration (what is on), the dataset's digest and the code that it uses; an evaluation's
hashes its run's, the evaluation settings, its reference's and the code that measures. A result under a key can
therefore never be stale, and is never made twice. The hash identifies; the name before it is a label: one recipe is
one run, under however many names, and is used where it lies. `docs/keys.md` has examples.
What is known to fail, or to say nothing, is refused here, before anything is trained.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from sagan.code import fingerprint
from sagan.code.extensions import REPLACED, Sources, check_extension, load_extension
from sagan.data.prepared import class_names
from sagan.errors import UserError, check_known, first_line
from sagan.params import Params
from sagan.params.loading import one_recipe
from sagan.params.run import Image, RunConfig, resolved, switched_on
from sagan.params.suites import Suite, least_images
from sagan.params.variants import Recipe
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
        references = [reference_of(params, name, space, paths) for space in suite.evaluation.spaces]
        for reference in references:
            plan.references.setdefault(reference.key, reference)
        plan.suites[name] = []
        for row in params.rows[name].values():
            if (caution := params.variants[row.name].caution) is not None:
                warn_once(f"variants.{row.name}: {caution}")
            recipe, training = resolved(params, name, row.name)
            image = _image(params, name, row.name, manifest, paths)
            for seed in suite.seed_list((seeds or {}).get(name)):
                config = RunConfig(variant=recipe, training=training, seed=seed, image=image)
                run = _run(suite, row.name, config, manifest, keys, paths)
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
    """The real side of a suite in one feature space; a `UserError` where its data or weights are not there."""
    spec, manifest = params.suites[suite], _manifest(params, paths, suite)
    _check_data(spec, suite, space, manifest, paths)
    split, threads = spec.evaluation.split, spec.evaluation.threads
    code, execution = fingerprint.code_of(*fingerprint.REFERENCE, tokens=[space]), spec.execution.model_dump()
    side, data = manifest["resolution"], manifest["digest"]
    identity = [data, space, extractor_digest(space, paths), split, threads, code]
    key = f"{spec.dataset}-{split}-{space.replace(':', '-')}-{digest(identity, 10)}"
    return Reference(key, spec.dataset, side, data, space, split, threads, code, execution)


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
    first, last = manifest["splits"].get(asked.split, (0, manifest["count"]))  # that one is missing, its reader says
    if last - first < (least := least_images(space)):
        problem = f"{data} {last - first} such images, and FID in {space!r} needs {least}"
        raise UserError(f"{place}.split = {asked.split!r}: {problem}")


def _image(params: Params, suite: str, name: str, manifest: Json, paths: Paths) -> Image:
    """What a variant makes of a suite's dataset."""
    condition, classes = params.variants[name].condition, None
    if condition is not None:
        try:
            classes = class_names(manifest, condition)
        except UserError as error:
            raise UserError(f"{paths.params}: variants.{name}.{error} (suite {suite!r} asks for it)") from None
    return Image(channels=manifest["channels"], resolution=manifest["resolution"], classes=classes)


def _run(suite: Suite, name: str, config: RunConfig, manifest: Json, keys: dict[str, str], paths: Paths) -> Run:
    """One run of a variant; its key is the one among `keys` that ends as it does, or a new one, which is added."""
    code, _ = run_code(config, paths, _place(name, paths))
    identity = f"s{config.seed}-{digest([config.identity(), manifest['digest'], code], 10)}"
    key, execution = keys.setdefault(identity, f"{name}-{identity}"), suite.execution.model_dump()
    return Run(key, name, config.seed, suite.dataset, manifest["digest"], code, config.model_dump(), execution)


def _evaluation(suite: Suite, run: Run, reference: Reference) -> Evaluation:
    space = {"extractor": reference.extractor, "curve": suite.evaluation.curve.get(reference.extractor, 0)}
    settings = suite.evaluation.model_dump(exclude={"also"}) | space
    identity = {**switched_on(suite.evaluation), "also": [], **space}
    code = fingerprint.code_of(*fingerprint.EVALUATION, tokens=[reference.extractor])
    names = [key.rpartition("-")[2] for key in (run.key, reference.key)]
    key = f"{run.key}.{digest([*names, identity, code], 10)}"
    return Evaluation(key, run.key, reference.key, settings, code, suite.execution.model_dump())


def _keys_on_disk(paths: Paths) -> Iterator[tuple[str, str]]:
    """Of results that are there: what identifies the run, and its key. The last one counts: finished here if any is."""
    # What experiments made beside the workspace, or the workspace beside one, is used under its name too.
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
    if sources.roles and config.variant.condition is not None:
        raise UserError(f"{sources.place}: own networks are not told of classes; say condition: null")
    if "discriminator" in sources.roles and config.variant.regularisers.feature_matching:
        problem = "of an own discriminator the features before its head are not known; say feature_matching: 0"
        raise UserError(f"{sources.place}: {problem}")
    try:
        own = fingerprint.extension_code(sources, tokens=config.tokens())
    except LookupError as error:
        raise UserError(f"{sources.place}: {first_line(error)}") from None
    return digest([code, own, _seen(config.variant, sources)]), sources


def _seen(variant: Recipe, sources: Sources) -> Json:
    """An own network sees each of its switches, also those that say nothing to the package's."""
    return {role: getattr(variant, role).model_dump(exclude_defaults=True) for role in sources.roles}


def check_code(spec: Run | Reference | Evaluation, paths: Paths) -> Sources | None:
    """Refuse to make what a plan of other code asks for; returns a run's own code as it was read.

    Once the code is imported, this says what was imported. A `UserError` where the code has changed since the plan was
    made, or the run's own code is wrong.
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
    found: dict[str, str] = {}
    for name in params.rows[suite]:
        variant, training = resolved(params, suite, name)
        if (extension := variant.extension) is None:
            continue
        sources = check_extension(paths.root / extension.file, _place(name, paths))
        dead = [key for needed, keys in REPLACED.items() if sources.defined.issuperset(needed) for key in keys]
        says = switched_on(variant) | _seen(variant, sources)
        rest = {key: value for key, value in says.items() if key not in dead}
        other = found.setdefault(canonical([rest, switched_on(training), fingerprint.extension_code(sources)]), name)
        if other != name:
            raise UserError(f"{paths.params}: suites.{suite}.variants: {one_recipe(params, other, name)}")


def check_own_networks(plan: Plan, paths: Paths) -> None:
    """Build the networks of own code that runs to come need; a `UserError` where one is not what is asked for."""
    to_come = [run for run in plan.runs.values() if read_run(run.key, paths).record is None]
    for run in {(run.variant, canonical(run.config["image"])): run for run in to_come}.values():
        config = run.typed
        _, sources = run_code(config, paths, _place(run.variant, paths))
        if sources is not None and sources.roles:
            from sagan.nn.attention import SelfAttention  # torch: others need not wait for it
            from sagan.nn.extension import PREFIX, own_network

            module = load_extension(sources)
            for role in sources.roles:
                for name, layer in own_network(role, config.networks(), module).named_modules():
                    if isinstance(layer, SelfAttention) and not re.search(r"\.attention\d+$", name):
                        told = f"{sources.place}: build_{role}: name its SelfAttention {name.removeprefix(PREFIX)!r}"
                        raise UserError(f"{told} by the side of its feature map, such as attention14")


def _place(variant: str, paths: Paths) -> str:
    return f"{paths.params}: variants.{variant}.extension.file"

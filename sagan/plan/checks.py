"""What is known to fail, or to say nothing, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping

from sagan.code.extensions import REPLACED, check_extension, load_extension
from sagan.code.fingerprint import extension_code
from sagan.data.conditions import class_names
from sagan.errors import UserError
from sagan.params import Params
from sagan.params.recipes import NETWORKS, what_runs
from sagan.params.suites import Suite
from sagan.params.variants import Variant
from sagan.plan.types import Plan
from sagan.store.paths import Paths
from sagan.store.reading import read_run
from sagan.store.records import Json, canonical


def check_conditions(name: str, variants: Mapping[str, Variant], manifest: Json, paths: Paths) -> None:
    """Say where a condition is written that a suite's dataset does not have."""
    for variant, recipe in variants.items():
        if recipe.condition is None:
            continue
        try:
            class_names(manifest, recipe.condition)
        except UserError as error:
            raise UserError(f"{paths.params}: variants.{variant}.{error} (suite {name!r} asks for it)") from None


def check_classes(suite: Suite, name: str, manifest: Json, paths: Paths) -> None:
    """Refuse a feature space that is to be learnt from classes which the dataset does not have."""
    labels, asked = manifest.get("labels"), suite.evaluation
    if labels and labels["kind"] != "classes" and "classifier" in asked.spaces:
        key = "extractor" if asked.extractor == "classifier" else f"also[{asked.also.index('classifier')}]"
        raise UserError(
            f"{paths.params}: suites.{name}.evaluation.{key} = 'classifier': dataset {suite.dataset!r} has no classes "
            "to train one on; use 'inception'"
        )


def check_own_code(params: Params, suite: str, paths: Paths) -> None:
    """Refuse variants that differ only in what their own code replaces, or in the name of the file that it is in."""
    found: dict[str, str] = {}
    for name in params.rows[suite]:
        extension = params.variants[name].extension
        if extension is None:
            continue
        runs = what_runs(params, suite, name)
        sources, functions = check_extension(paths.root / extension.file, _place(name, paths))
        dead = [key for needed, keys in REPLACED.items() if functions.issuperset(needed) for key in keys]
        rest = {key: value for key, value in runs["variant"].items() if key not in dead}
        other = found.setdefault(canonical([rest, runs["training"], extension_code(sources)]), name)
        if other == name:
            continue
        before = what_runs(params, suite, other)["variant"]
        differs = [key for key in dead if before.get(key) != runs["variant"].get(key)]
        why = f"{' and '.join(differs)} differ alone, which it replaces" if differs else "the code is the same"
        raise UserError(
            f"{paths.params}: suites.{suite}.variants: {other!r} and {name!r} are one recipe by their own code, "
            f"{extension.file}: {why}; let them differ in something else, or list one alone"
        )


def check_own_networks(plan: Plan, paths: Paths) -> None:
    """Build the networks of own code that runs to come need, and hold their shapes to what is asked for.

    Raises:
        UserError: one cannot be built, or gives another shape.
    """
    to_come = {run.variant: run for run in plan.runs.values() if read_run(run.key, paths).record is None}
    for name, run in to_come.items():
        config = run.typed
        if config.variant.extension is None:
            continue
        file, place = paths.root / config.variant.extension.file, _place(name, paths)
        sources, functions = check_extension(file, place)
        roles = [role for role in NETWORKS if f"build_{role}" in functions]
        if roles:
            from sagan.nn.extension import own_network  # torch: others need not wait for it

            module = load_extension(sources, f"{place} = {file.as_posix()!r}")
            for role in roles:
                own_network(role, config.networks(), module)


def _place(variant: str, paths: Paths) -> str:
    return f"{paths.params}: variants.{variant}.extension.file"

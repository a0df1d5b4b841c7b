"""What is known to fail, or to say nothing, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sagan.code.extensions import REPLACED, check_extension, load_extension
from sagan.code.fingerprint import extension_code
from sagan.data.prepared import class_names
from sagan.errors import UserError
from sagan.params import Params
from sagan.params.recipes import NETWORKS, what_runs
from sagan.params.suites import LEAST_IMAGES, Suite, features_of
from sagan.params.variants import Variant
from sagan.plan.types import Plan
from sagan.store.paths import Paths
from sagan.store.reading import read_run
from sagan.store.records import Json, canonical


def check_data(suite: Suite, name: str, variants: Mapping[str, Variant], manifest: Json, paths: Paths) -> None:
    """Refuse what a suite asks for and its dataset does not have: conditions, classes, real images enough for FID."""
    asked, labels = suite.evaluation, manifest.get("labels")
    place, data = f"{paths.params}: suites.{name}.evaluation", f"dataset {suite.dataset!r} has"
    for variant, recipe in variants.items():
        try:
            if recipe.condition is not None:
                class_names(manifest, recipe.condition)
        except UserError as error:
            raise UserError(f"{paths.params}: variants.{variant}.{error} (suite {name!r} asks for it)") from None
    if labels and labels["kind"] != "classes" and "classifier" in asked.spaces:
        key = "extractor" if asked.extractor == "classifier" else f"also[{asked.also.index('classifier')}]"
        raise UserError(f"{place}.{key} = 'classifier': {data} no classes to train one on; use 'inception'")
    # Which splits there are, `PreparedDataset.split` says.
    first, last = manifest.get("splits", {}).get(asked.split, (0, math.inf))
    for space in asked.spaces:
        if last - first < (least := max(features_of(space), LEAST_IMAGES)):
            problem = f"{data} {last - first} such images, and FID in {space!r} needs {least}"
            raise UserError(f"{place}.split = {asked.split!r}: {problem}")


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

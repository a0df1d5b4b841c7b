"""A against B: two reports (the workspace's, an experiment's, a commit's, a folder's), or two variants."""

import subprocess
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path

import pandas as pd

from sagan.analysis.build import Analysis, read_analysis, read_report
from sagan.analysis.design import differing
from sagan.analysis.effects import all_effects
from sagan.analysis.foreign import analyse_results
from sagan.analysis.model import Design, Factor
from sagan.analysis.words import change_with_interval
from sagan.errors import UserError, did_you_mean
from sagan.metrics.table import METRICS
from sagan.store.paths import Paths

WORKSPACE = "workspace"
SAME = "the recipes are the same"


def compare(a: str, b: str, suite: str, paths: Paths) -> list[str]:
    """What B does instead of A, in words: settings that differ, what does not count and why, the answer in a sentence,
    and further metrics that differ surely.

    Args:
        a, b: `workspace`, an experiment, a commit, a report's folder; or two variants of the suite.

    Raises:
        UserError: a side is not known, or is no report of this version.
    """
    here = read_report(paths.report(suite))
    if here is not None and {a, b} <= (known := here.design.rows).keys():
        found, levels = read_analysis(paths.report(suite)), (known[a], known[b])
        differs = _differences(*(_recipe(found.design, variant) for variant in levels)) or [SAME]
        of = found.tables
        return [*differs, *_answered(of.runs, of.snapshots, of.costs, "variant", levels, [], found.design)]
    return list(compare_reports((a, _report(a, suite, paths)), (b, _report(b, suite, paths))))


def compare_reports(a: tuple[str, Analysis], b: tuple[str, Analysis]) -> Iterator[str]:
    """As `compare`, over the variants that both have, by any of their names, with the side as a factor.

    What both measured in the same runs says nothing of the other side, and is left out.
    """
    (name_a, one), (name_b, other) = a, b
    if name_a == name_b:
        raise UserError(f"{name_a}: compared with itself")
    designs = one.design, other.design
    theirs, shared = designs[1].rows, {}  # a name that both have -> each side's row of it; a pair of rows once
    for name, row in designs[0].rows.items():
        pair = row, theirs.get(name)
        if name in theirs and pair not in shared.values():
            shared[name] = pair
    lines = {name: _differences(*map(_recipe, designs, pair)) for name, pair in shared.items()}
    count = Counter(line for of in lines.values() for line in of)
    differs = [f"{line} (all variants)" for line, times in count.items() if times == len(shared)]
    differs += [f"{line} ({v})" for v, of in lines.items() for line in of if count[line] < len(shared)]
    for part in ("training", "evaluation"):
        differs += [f"{part}.{line}" for line in _differences(*(getattr(design, part) for design in designs))]
    yield from differs or [SAME] * bool(shared)
    pairs = shared.values()
    if only := [v for i, of in enumerate(designs) for v in of.variants if all(pair[i] != v for pair in pairs)]:
        yield f"not in both: {', '.join(only)}"
    if not shared:
        yield "no runs to compare"
        return
    if _measured_with(one) != _measured_with(other):
        yield "not comparable: other data, or measured differently"
        return
    runs, snapshots, costs = (_joined((a, b), shared, table) for table in ("runs", "snapshots", "costs"))
    count = runs[runs["fid"].notna()].groupby(["variant", "run"])["side"].nunique()
    twice = set(count[count > 1].index.get_level_values("variant"))
    if same := [variant for variant in shared if variant in twice]:
        yield f"the same runs on both sides, so left out: {', '.join(same)}"
    compared, rows = [], set()
    for name in (name for name in shared if name not in same):
        if rows.isdisjoint(sides := {*enumerate(shared[name])}):  # a row with two names is one
            compared.append(name)
            rows |= sides
    runs, snapshots = (table[table["variant"].isin(compared)] for table in (runs, snapshots))
    if compared and designs[0].steps != designs[1].steps:
        known = snapshots[snapshots["fid"].notna() & (snapshots["step"] > 0)].groupby("step")["side"].nunique()
        steps = max(known[known == 2].index, default=None)
        if steps is None:
            yield "no common step at which both were measured"
            return
        yield f"budgets differ: compared at step {steps}"
        snapshots = snapshots[snapshots["step"] <= steps]
        there = snapshots.loc[snapshots["step"] == steps, ["variant", "seed", "space", "fid"]]
        runs = runs.drop(columns=list(METRICS), errors="ignore").merge(there, how="left").assign(steps=steps)
    design = designs[0].model_copy(update={"no_shorter": designs[0].no_shorter or designs[1].no_shorter})
    yield from _answered(runs, snapshots, costs, "side", (name_a, name_b), compared, design)


def _measured_with(of: Analysis) -> list:
    """What figures must have in common to be compared: data, real images, feature space, protocol."""
    told = {fact["what"]: fact["value"] for fact in of.report.provenance.facts}
    design = of.design
    return [design.dataset, design.resolution, told.get("reference"), design.space, design.evaluation]


def _report(name: str, suite: str, paths: Paths) -> Analysis:
    """The report that a name stands for, made anew from its tables."""
    here = (paths if name == WORKSPACE else paths.experiment(name)).report(suite)
    for folder in (here, Path(name)):
        if (folder / "report.json").exists():
            return read_analysis(folder)
    command = ["git", "-C", str(paths.root), "archive", name, f"reports/{suite}"]
    if not name.startswith("-") and (found := subprocess.run(command, capture_output=True).stdout):
        with tempfile.TemporaryDirectory() as place, tarfile.open(fileobj=BytesIO(found)) as archive:
            archive.extractall(place, filter="data")
            if ((there := Paths(Path(place)).report(suite)) / "report.json").exists():
                return read_analysis(there)
    known = did_you_mean(name, [WORKSPACE, *paths.experiments()])
    raise UserError(f"{name}: no experiment, commit or folder with a report of {suite}, and no variant of it{known}")


def _answered(
    runs: pd.DataFrame,
    snapshots: pd.DataFrame,
    costs: pd.DataFrame | None,
    factor: str,
    levels: tuple[str, str],
    variants: list[str],
    design: Design,
) -> Iterator[str]:
    """The answer of a factor with two levels, over the variants for cells where there are several."""
    # An experiment may be on its way: what is there is compared.
    runs = runs[runs[factor].isin(levels) & (runs["status"] != "missing")]
    if runs.empty:
        yield "no runs to compare"
        return
    factors = {factor: Factor(title="", levels={level: level for level in levels})}
    if len(variants) > 1:
        factors["variant"] = Factor(title="variant", levels={variant: variant for variant in variants})
    steps = int(runs["steps"].max()) if runs["steps"].notna().any() else design.steps
    asked = {"questions": [factor], "factors": factors, "variants": {}, "looks": [], "steps": steps}
    made = all_effects(design.model_copy(update=asked), runs, snapshots, costs)
    yield from made.sentences()
    for row in made.rows:
        if row.direction and (row.metric, row.space) != (design.metric, design.space) and not row.given:
            yield f"{change_with_interval(row)} ({row.space}{', per second' if row.at == 'time' else ''})"


def _recipe(design: Design, variant: str) -> dict[str, str]:
    return {**design.recipe, **design.variants[variant].differs}


def _differences(a: dict[str, str], b: dict[str, str]) -> list[str]:
    return [f"{name}: {mine}, {b.get(name, 'none')}" for name, mine in differing(a, b).items()]


def _joined(sides: Iterable[tuple[str, Analysis]], shared: Mapping[str, tuple], table: str) -> pd.DataFrame | None:
    """Both sides' rows under the names that they share; None where neither has the table."""
    parts = [  # equal seeds of two sides are two runs
        rows[rows["variant"] == pair[place]].assign(variant=name, side=side, seed=2 * rows["seed"] + place)
        for place, (side, of) in enumerate(sides)
        if (rows := getattr(of.tables, table)) is not None
        for name, pair in shared.items()
    ]
    return pd.concat(parts, ignore_index=True) if parts else None


def compare_variants(table: pd.DataFrame, a: str, b: str, metric: str, source: str) -> list[str]:
    """One variant instead of another, from a table with a column `variant`: recipe, effect and cost in words.

    Columns in which each of the two has one value, and not the same, are told as the recipe's differences.
    """
    for name in (a, b):
        if name not in set(table["variant"]):
            raise UserError(f"{source}: no run of variant {name!r}{did_you_mean(name, set(table['variant']))}")
    both = table[table["variant"].isin([a, b])].dropna(axis="columns", how="all")
    lower = None if metric in METRICS else True
    effects, notes = analyse_results(both, source, [f"variant={a}"], metric, lower_is_better=lower)
    lines = []
    for name in both.columns.difference(["variant", "run", metric]):
        values = [both.loc[both["variant"] == of, name].astype(str).unique() for of in (a, b)]
        is_setting = not name.startswith(("mlflow.", "sagan.")) and not pd.api.types.is_numeric_dtype(both[name])
        if is_setting and all(len(of) == 1 for of in values) and values[0][0] != values[1][0]:
            lines.append(f"{name}: {values[0][0]}, {values[1][0]}")
    return [*lines, *notes, *effects.sentences()]

"""A against B: two reports (the workspace's, an experiment's, a commit's, a folder's), or two variants of a report."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sagan.analysis.build import Analysis, read_analysis, read_report
from sagan.analysis.effects import all_effects
from sagan.analysis.model import Design, Factor, Question
from sagan.analysis.words import change_with_interval, sentence
from sagan.errors import UserError, did_you_mean
from sagan.store.paths import Paths

WORKSPACE = "workspace"
_FILES = ("report.json", "results.csv", "curves.csv", "training.csv", "costs.csv")


@dataclass(frozen=True)
class Comparison:
    """What B does instead of A.

    Attributes:
        differs: a line for each setting that differs: "optimizer.lr_g: 0.002, 0.004 (all variants)".
        question: the answer; None where `notes` say why there is none.
        others: other metrics that differ surely, in words.
    """

    differs: list[str]
    question: Question | None
    design: Design | None
    others: list[str]
    notes: list[str]

    def lines(self) -> Iterator[str]:
        """In words: the recipe's differences, what does not count, the answer in one sentence, further metrics."""
        yield from self.differs or ["the recipes are the same"]
        yield from self.notes
        if self.question is not None:
            yield sentence(self.question, self.design)
        yield from self.others


def compare(a: str, b: str, suite: str, paths: Paths) -> Comparison:
    """Two sides by name: `workspace`, an experiment, a commit, a report's folder; or two variants of the suite.

    Raises:
        UserError: a side is not known, or is no report of this version.
    """
    if (here := read_report(paths.report(suite))) is not None:
        known = {name: row for row, facts in here.design.variants.items() for name in (row, *facts.aliases)}
        if {a, b} <= known.keys():
            return _of_variants(known[a], known[b], read_analysis(paths.report(suite)))
    return compare_reports((a, _report(a, suite, paths)), (b, _report(b, suite, paths)))


def _report(name: str, suite: str, paths: Paths) -> Analysis:
    """The report that a name stands for, made anew from its tables."""
    here = paths.report(suite) if name == WORKSPACE else Paths(paths.experiment(name)).report(suite)
    for folder in (here, Path(name)):
        if (folder / "report.json").exists():
            return read_analysis(folder)
    with tempfile.TemporaryDirectory() as folder:
        if _from_commit(name, suite, paths, Path(folder)):
            return read_analysis(Path(folder))
    known = [WORKSPACE, *(found.name for found in sorted(paths.experiment("").glob("*")))]
    raise UserError(
        f"{name}: no experiment, commit or folder with a report of {suite}, and no variant of it"
        f"{did_you_mean(name, known)}"
    )


def _from_commit(name: str, suite: str, paths: Paths, folder: Path) -> bool:
    """Write the report of a commit into a folder; False where there is no such commit or no report in it."""
    if name.startswith("-"):
        return False
    for file in _FILES:
        command = ["git", "-C", str(paths.root), "show", f"{name}:./reports/{suite}/{file}"]
        done = subprocess.run(command, capture_output=True)
        if done.returncode == 0:
            (folder / file).write_bytes(done.stdout)
    return (folder / "report.json").exists()


def _of_variants(a: str, b: str, found: Analysis) -> Comparison:
    """Two variants of one report, as a pair."""
    design = found.design
    differs = _differences(_recipe(design, a), _recipe(design, b), "")
    return _compared(found.tables.runs, found.tables.snapshots, "variant", (a, b), [], design, differs, [])


def compare_reports(a: tuple[str, Analysis], b: tuple[str, Analysis]) -> Comparison:
    """The runs of the variants that both have, as a factor with the two sides for levels, over these variants.

    What both measured in the same runs says nothing of the other side, and is left out.
    """
    (name_a, one), (name_b, other) = a, b
    if name_a == name_b:
        raise UserError(f"{name_a}: compared with itself")
    shared = [variant for variant in one.design.variants if variant in other.design.variants]
    recipes = {v: _differences(_recipe(one.design, v), _recipe(other.design, v), "") for v in shared}
    everywhere = (
        [line for line in recipes.get(shared[0], []) if all(line in of for of in recipes.values())] if shared else []
    )
    differs = [f"{line} (all variants)" for line in everywhere]
    differs += [f"{line} ({v})" for v, lines in recipes.items() for line in lines if line not in everywhere]
    for part in ("training", "evaluation"):
        differs += _differences(getattr(one.design, part), getattr(other.design, part), f"{part}.")
    notes = [f"not in both: {', '.join(only)}" for only in [_only(one, other) + _only(other, one)] if only]
    if one.design.space != other.design.space or one.design.evaluation != other.design.evaluation:
        return Comparison(differs, None, None, [], [*notes, "not comparable: measured differently"])
    same = [v for v in shared if set(_runs_of(one, v)) & set(_runs_of(other, v))]
    notes += [f"the same runs on both sides, so left out: {', '.join(same)}"] if same else []
    compared = [variant for variant in shared if variant not in same]
    if not compared:
        return Comparison(differs, None, None, [], [*notes, "no runs to compare"])
    runs = _joined(a, b, "runs", compared)
    snapshots = _joined(a, b, "snapshots", compared)
    if one.design.steps != other.design.steps:
        steps = _common_step(snapshots, min(one.design.steps, other.design.steps))
        if steps is None:
            return Comparison(differs, None, None, [], [*notes, "no common step at which both were measured"])
        runs, snapshots = _cut(runs, snapshots, steps)
        notes.append(f"budgets differ: compared at step {steps}")
    return _compared(runs, snapshots, "side", (name_a, name_b), compared, one.design, differs, notes)


def _compared(
    runs, snapshots, factor: str, levels: tuple[str, str], variants, design: Design, differs, notes
) -> Comparison:
    factors = {factor: Factor(title="", levels={level: level for level in levels})}
    if len(variants) > 1:
        factors["variant"] = Factor(title="variant", levels={variant: variant for variant in variants})
    asked = design.model_copy(
        update={
            "questions": [factor],
            "factors": factors,
            "variants": {},
            "looks": [],
            "steps": int(runs["steps"].max()) if runs["steps"].notna().any() else design.steps,
        }
    )
    # An experiment may be on its way: what is there is compared.
    runs = runs[runs[factor].isin(levels) & (runs["status"] != "missing")]
    if runs.empty:
        return Comparison(differs, None, None, [], [*notes, "no runs to compare"])
    made = all_effects(asked, runs, snapshots)
    others = [
        f"{change_with_interval(row)} ({row.space})"
        for row in made.rows
        if row.direction and (row.metric, row.space) != (design.metric, design.space) and not row.given
    ]
    return Comparison(differs, made.questions[0], asked, others, notes)


def _recipe(design: Design, variant: str) -> dict[str, str]:
    return {**design.recipe, **design.variants[variant].differs}


def _differences(a: dict[str, str], b: dict[str, str], prefix: str) -> list[str]:
    names = [name for name in {**a, **b} if a.get(name) != b.get(name)]
    return [f"{prefix}{name}: {a.get(name, 'none')}, {b.get(name, 'none')}" for name in names]


def _only(one: Analysis, other: Analysis) -> list[str]:
    return [variant for variant in one.design.variants if variant not in other.design.variants]


def _runs_of(found: Analysis, variant: str) -> list[str]:
    runs = found.tables.runs
    return runs.loc[(runs["variant"] == variant) & runs["fid"].notna(), "run"].tolist()


def _joined(a: tuple[str, Analysis], b: tuple[str, Analysis], table: str, variants: list[str]) -> pd.DataFrame:
    """Both sides' rows, the side being a column; a run's seed is of its own side."""
    parts = []
    for place, (name, found) in enumerate((a, b)):
        of = getattr(found.tables, table)
        of = of[of["variant"].isin(variants)].assign(side=name)
        # Equal seeds of two sides are two runs.
        parts.append(of.assign(seed=2 * of["seed"] + place))
    return pd.concat(parts, ignore_index=True)


def _common_step(snapshots: pd.DataFrame, most: int) -> int | None:
    """The last step that all of these runs have measured."""
    known = snapshots[snapshots["fid"].notna() & (snapshots["step"] > 0) & (snapshots["step"] <= most)]
    sides = known.groupby("side")["step"].unique()
    common = set.intersection(*(set(steps) for steps in sides)) if len(sides) == 2 else set()
    return int(max(common)) if common else None


def _cut(runs: pd.DataFrame, snapshots: pd.DataFrame, steps: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables up to a step, with each run's figure there and no other metric."""
    keys = ["variant", "seed", "space"]
    there = snapshots[snapshots["step"] == steps][[*keys, "fid"]]
    kept = runs[[*keys, "side", "status", "lost", "run", "device", "threads"]].merge(there, on=keys, how="left")
    return kept.assign(steps=steps), snapshots[snapshots["step"] <= steps]

"""`compare`: two reports, or two variants of one."""

import math
import re
from dataclasses import replace

import pandas as pd
import pytest

from sagan.analysis.build import Analysis, analysis_of, write_analysis
from sagan.analysis.model import ReportProvenance, Space, VariantFacts
from sagan.analysis.tables import Tables
from sagan.comparing import compare, compare_reports
from sagan.errors import UserError
from sagan.store.paths import Paths
from tests import commit
from tests.analysis.made import design, tables

ONE = {"variant": ("a", "b")}


def report(
    name, by=1.0, seed=0, cost=1.0, recipe=None, steps=(200, 400, 600, 800), seeds=3, quiet=None, names=ONE, **changes
) -> Analysis:
    """Two variants, whose FID is `by` times another report's and whose steps take `cost` times the time; `quiet`: the
    seconds of each step in costs.csv."""
    runs, snapshots = tables({}, seeds, 0.02, factors=names, seed=seed, steps=steps)
    for table in (runs, snapshots):
        table["fid"] *= by
    snapshots[["seconds", "step_seconds"]] *= cost
    runs = runs.assign(run=[f"{name}-{i}" for i in range(len(runs))], steps=steps[-1])
    settings = {"factors": {}, "questions": [], "grid": "", "recipe": recipe or {"lr": "0.1"}, "steps": steps[-1]}
    variants = {"a": VariantFacts(), "b": VariantFacts(differs={"norm": "layer"})}
    asked = design(seeds, ONE).model_copy(update={**settings, "variants": variants, **changes})
    log, costs = (runs[["variant", "seed"]].assign(**more) for more in ({"step": 1}, {"step_seconds": quiet}))
    runs, snapshots = (
        pd.concat([of.assign(space=s) for s in asked.spaces], ignore_index=True) for of in (runs, snapshots)
    )
    spaces = [Space(name=name) for name in asked.spaces]
    return analysis_of(asked, Tables(runs, snapshots, log, costs if quiet else None), ReportProvenance(), spaces)


def lines(a, b):
    return list(compare_reports(("A", a), ("B", b)))


def test_a_recipe_that_differs_in_all_variants_is_one_line_and_they_answer_together():
    found = lines(report("x"), report("y", by=0.75, seed=1, cost=1.5, recipe={"lr": "0.2"}))
    assert found[0] == "lr: 0.1, 0.2 (all variants)"
    assert found[1].startswith("B instead of A: per step helps: FID \N{MINUS SIGN}2")
    assert "a step takes 1.50 times the time" in found[1]
    # Per second it is read off the dearer side's curve.
    told = re.search(r"per second helps: FID \N{MINUS SIGN}(.*?) %", found[1])
    assert float(told[1]) == pytest.approx(100 * (1 - 0.75 * math.sqrt(1.5)), abs=4)


def test_runs_that_both_sides_share_say_nothing():
    one, other = report("x"), report("x", recipe={"lr": "0.2"})
    assert lines(one, other)[-2:] == ["the same runs on both sides, so left out: a, b", "no runs to compare"]


def test_a_variant_that_is_another_name_on_one_side_is_compared_by_it():
    """As README's "Try one value": a row of its own in the experiment, and a combination of the grid here."""
    here = report("x", variants={"a": VariantFacts(aliases=["tried"]), "b": VariantFacts()})
    facts = {"a": VariantFacts(), "b": VariantFacts(), "tried": VariantFacts(differs={"lr": "0.2"})}
    there = report("x", names={"variant": ("a", "b", "tried")}, variants=facts)
    there.tables.runs.loc[there.tables.runs["variant"] == "tried", "fid"] *= 0.7
    for found, recipe, said in ((lines(here, there), "0.1, 0.2", "helps"), (lines(there, here), "0.2, 0.1", "hurts")):
        assert found[:2] == [f"lr: {recipe} (tried)", "the same runs on both sides, so left out: a, b"]
        assert found[-1].startswith(f"B instead of A: per step {said}")


@pytest.mark.parametrize(
    ("here", "there", "said"),
    [
        ({"quiet": 0.01}, {"quiet": 0.03}, "a step takes 3.00 times the time"),
        ({"quiet": 0.01}, {}, "a step takes 1.50 times the time"),
        ({}, {"no_shorter": "networks grow"}, "per second cannot be said, since a snapshot is no shorter training"),
        ({"no_shorter": "networks grow"}, {}, "per second cannot be said, since a snapshot is no shorter training"),
    ],
)
def test_per_second_is_as_both_reports_have_it(here, there, said):
    """Costs of quiet runs count where both sides have them."""
    assert said in lines(report("x", **here), report("y", seed=1, cost=1.5, **there))[-1]


def test_what_another_space_says_per_second_is_told_apart():
    spaces = {"spaces": ["classifier", "inception"]}
    found = lines(report("x", **spaces), report("y", seed=1, cost=1.8, by=0.8, **spaces))
    assert [line.partition(") (")[2] for line in found[-2:]] == ["inception)", "inception, per second)"]


def test_other_budgets_are_compared_where_both_were_measured():
    *_, note, answer = lines(report("x"), report("y", by=2.0, seed=1, steps=(400, 600, 1200)))
    assert note == "budgets differ: compared at step 600"
    # At its step 600 of 1200 the other side is where a straight curve has it, and twice as far.
    assert answer.startswith(f"B instead of A: per step hurts: FID +1{'4' if '+14' in answer else ''}")
    assert "no common step" in lines(report("x"), report("y", seed=1, steps=(100, 1200)))[-1]


def test_what_was_measured_differently_is_not_compared():
    found = lines(report("x"), report("y", evaluation={"samples": "500"}))
    told = "not comparable: other data, or measured differently"
    assert found[-1] == told and "evaluation.samples: none, 500" in found
    other = report("y", seed=1)
    facts = [{"what": "reference", "value": "mnist5k-train-digits-0123456789"}]
    provenance = other.report.provenance.model_copy(update={"facts": facts})
    elsewhere = replace(other, report=other.report.model_copy(update={"provenance": provenance}))
    assert lines(report("x"), elsewhere)[-1] == told, "the same recipe on other images"


def folder_of(root, analysis):
    root.mkdir(parents=True, exist_ok=True)
    write_analysis(analysis, root)


def test_names_are_the_workspace_experiments_commits_folders_and_variants(tmp_path):
    paths = Paths(tmp_path)
    folder_of(paths.report("s"), report("x"))
    commit(tmp_path)
    folder_of(paths.report("s"), report("y", by=1.3, seed=1))
    folder_of(paths.experiment("wide").report("s"), report("z", by=0.7, seed=2))
    for a, b, said in (
        ("HEAD", "workspace", "hurts"),
        ("workspace", "wide", "helps"),
        (str(paths.report("s")), "wide", "helps"),
        ("a", "b", ""),
    ):
        last = compare(a, b, "s", paths)[-1]
        assert last.startswith(f"{b} instead of {a}: per step {said}"), (a, b)
    quiet = pd.read_csv(paths.report("s") / "results.csv")[["variant", "seed", "run"]]
    quiet.assign(step_seconds=quiet.pop("variant").map({"a": 1, "b": 4})).to_csv(paths.report("s") / "costs.csv")
    assert "a step takes 4.00 times the time" in compare("a", "b", "s", paths)[-1]
    with pytest.raises(UserError, match=r"wid: no experiment, commit or folder .*did you mean 'wide'"):
        compare("wid", "workspace", "s", paths)
    with pytest.raises(UserError, match="compared with itself"):
        compare("HEAD", "HEAD", "s", paths)


def test_runs_that_are_still_to_come_are_left_out():
    one, other = report("x"), report("y", by=0.75, seed=1)
    other.tables.runs.loc[0, ["status", "fid"]] = ["missing", float("nan")]
    assert "per step helps" in lines(one, other)[-1]
    other.tables.runs["status"], one.tables.runs["status"] = "missing", "missing"
    assert lines(one, other)[-1] == "no runs to compare"

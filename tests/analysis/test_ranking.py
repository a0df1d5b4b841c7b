"""Which variant, which level is steadier, and what several suites say together."""

import math

import numpy as np
import pytest
from scipy import stats

from sagan.analysis.budget import rankings, step_costs
from sagan.analysis.contrasts import replay
from sagan.analysis.model import Answer, Effect, VariantFacts
from sagan.analysis.spreads import across_suites, steadier
from tests.analysis.made import design, tables

ONE = {"variant": ("a", "b", "c")}


def ranked(runs, snapshots, **changes):
    asked = design(factors=ONE, questions=[], **changes)
    return {of.at: of for of in rankings(asked, runs, snapshots, step_costs(runs, snapshots))}


def variants(**settings):
    return tables({}, factors=ONE, **settings)


def scale(table, variant, by):
    return table.assign(fid=table["fid"].where(table["variant"] != variant, table["fid"] * by))


def test_what_is_surely_worse_than_any_other_may_not_be_best():
    runs, snapshots = variants(seeds=4, spread=0.03)
    runs = scale(scale(runs, "b", 1.01), "c", 1.5)
    found = ranked(runs, snapshots)["steps"]
    assert {of.variant: of.may_be_best for of in found.standings} == {"a": True, "b": True, "c": False}
    facts = {name: VariantFacts(ranked=name != "c") for name in "abc"}
    without = ranked(runs, snapshots, variants=facts)["steps"]
    assert without.left_out == ["c"] and len(without.standings) == 2
    best = found.standings[0]
    mean = math.exp(np.log(runs.loc[runs["variant"] == best.variant, "fid"]).mean())
    assert found.standings[-1].variant == "c" and best.mean == pytest.approx(mean)


def test_the_best_is_rarely_excluded():
    excluded = 0
    for seed in range(100):
        runs, snapshots = variants(seeds=3, spread=0.1, seed=seed)
        excluded += not all(of.may_be_best for of in ranked(runs, snapshots)["steps"].standings if of.variant == "a")
    assert excluded / 100 < 0.1


def test_at_equal_time_a_dear_variant_is_read_off_its_curve():
    runs, snapshots = variants(cost={"variant": 1.5}, spread=0.001)
    found = ranked(runs, snapshots)
    means = {of.variant: of.mean for of in found["time"].standings}
    assert means["c"] / means["a"] == pytest.approx(1.5**0.5, rel=0.01)
    assert "time" not in ranked(runs, snapshots, no_shorter="networks grow")


def test_a_level_that_spreads_less_is_steadier():
    runs, _ = tables({}, seeds=12, spread=0.05)
    on = runs["attention"] == "on"
    centre = runs.groupby("variant")["fid"].transform(lambda y: np.exp(np.log(y).mean()))
    runs.loc[on, "fid"] = (centre * (runs["fid"] / centre) ** 0.2)[on]
    found = {of["question"]: of for of in steadier(replay(design(12), runs))}
    assert found["attention"]["answer"] == "steadier" and found["attention"]["ratio"] == pytest.approx(0.2, rel=0.4)
    assert found["norm"]["answer"] == "not decided"
    assert steadier(replay(design(12), runs.assign(lost=[1] + [0] * (len(runs) - 1)))) == []


def answer(estimate, error):
    effect = Effect(
        question="q", level="on", instead_of="off", metric="fid", space="s", at="steps", budget=1, scale="ratio",
        estimate=100 * math.expm1(estimate),
    )  # fmt: skip
    return Answer(effect=effect, error=error)


def test_suites_that_agree_predict_what_they_say_and_two_predict_nothing():
    found = across_suites([answer(0.1, 0.02)] * 4)
    assert found["mean"] == pytest.approx(100 * math.expm1(0.1)) and found["suites"] == 4
    reach = [np.log1p(found[high] / 100) - 0.1 for high in ("high", "new_high")]
    assert reach == pytest.approx([stats.t.isf(0.025, freedom) * 0.01 for freedom in (3, 2)])
    assert across_suites([answer(0.1, 0.02)] * 2) is None


@pytest.mark.parametrize(
    ("percents", "ends"),
    [((-2.63, 0.79, -11.67), (-16, 9)), ((20.84, 18.94, -6.83), (-15, 44)), ((5.2, -4.9, 18.58), (-16, 33))],
)
def test_suites_that_differ_by_more_than_their_errors_predict_little(percents, ends):
    """Attention, spectral norm and ratio in three suites: others worked out these intervals by the normal."""
    errors = (0.02445, 0.01818, 0.0337)
    found = across_suites([answer(math.log1p(p / 100), error) for p, error in zip(percents, errors, strict=True)])
    mean, *reach = (math.log1p(found[name] / 100) for name in ("mean", "new_low", "new_high"))
    by_normal = [mean + (end - mean) * stats.norm.isf(0.025) / stats.t.isf(0.025, 1) for end in reach]
    assert [100 * math.expm1(end) for end in by_normal] == pytest.approx(ends, abs=0.5)

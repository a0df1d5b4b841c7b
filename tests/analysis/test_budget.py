"""Equal time, along the budget, and worth in steps, on curves that are known."""

import math

import numpy as np
import pandas as pd
import pytest

from sagan.analysis import budget
from sagan.analysis.contrasts import Contrast, effect_weights
from sagan.analysis.effects import all_effects
from sagan.analysis.words import qualifiers
from sagan.metrics.table import METRICS
from tests.analysis.made import FACTORS, design, tables


def attention(runs, snapshots, quiet=None, **changes):
    return all_effects(design(**changes), runs, snapshots, quiet).questions[0]


@pytest.mark.parametrize(
    ("effect", "ratio", "per_step", "per_second"), [(-0.1, 2.0, "helps", "hurts"), (0.1, 0.5, "hurts", "helps")]
)
def test_the_dearer_level_is_where_its_curve_was_at_equal_time(effect, ratio, per_step, per_second):
    """Twice the cost is the curve at half the steps, whichever level is asked for."""
    found = attention(*tables({"attention": effect}, cost={"attention": ratio}, slope=-0.5, spread=0.01))
    assert (found.steps.effect.answer, found.time.effect.answer) == (per_step, per_second)
    assert found.cost.ratio == pytest.approx(ratio, rel=0.01)
    assert found.time.effect.estimate == pytest.approx(100 * math.expm1(effect + 0.5 * math.log(ratio)), abs=1)
    assert found.time.effect.budget == pytest.approx(8 * min(ratio, 1), rel=0.01)


def test_a_straight_curve_is_interpolated_without_error_and_a_bent_one_is_not():
    steps = np.array([100.0, 200.0, 400.0, 800.0])
    straight, bent = -0.5 * np.log(steps), 0.1 * np.log(steps) ** 2
    assert budget.interpolated(steps, straight, 300) == pytest.approx((-0.5, 0), abs=1e-12)
    truth = abs(np.interp(math.log(300), np.log(steps), bent) - 0.1 * math.log(300) ** 2)
    assert budget.interpolated(steps, bent, 300)[1] == pytest.approx(truth)
    assert budget.interpolated(steps, bent, 400)[1] == 0
    two = budget.interpolated(steps[-2:], straight[-2:], 800 / math.sqrt(2))
    assert two[1] == pytest.approx(0.07 / 4), "a gap of a factor 4 errs by 7 %, one of 2 by a quarter of that"


def test_the_delta_method_agrees_with_drawing_cost_ratios():
    runs, snapshots = tables({}, spread=0.0005, slope=-0.7)
    of = budget.curves(runs, snapshots, list(FACTORS), METRICS["fid"])
    weights = effect_weights(list(of.figures(of.y[:, -1])), 0, "on", "off")
    found = budget.at_time(of, weights, Contrast(math.log(1.5), ((0.1**2, 1000.0),)), 800)
    drawn = [
        budget.at_time(of, weights, Contrast(log, ((0.0, 1.0),)), 800).found.estimate
        for log in np.random.default_rng(0).normal(math.log(1.5), 0.1, 150)
    ]
    assert found.found.error == pytest.approx(np.std(drawn), rel=0.2)


@pytest.mark.parametrize(
    ("steps", "ratio", "why"),
    [
        ((800,), 1.5, "too few snapshots"),
        ((300, 800), 1.5, "too few snapshots"),
        ((400, 800), 1.5, None),
        ((100, 300, 800), 1.5, "too few snapshots"),  # 533 lies between two that are 2.7 apart
        ((400, 600, 800), 2.5, "too few snapshots"),  # 320 was not measured
        ((200, 400, 800), 1.5, None),
    ],
)
def test_nothing_is_said_beyond_what_was_measured(steps, ratio, why):
    found = attention(*tables({}, cost={"attention": ratio}, steps=steps))
    assert found.time.why == why and (found.time.effect is None) == (why is not None)
    assert found.cost.ratio == pytest.approx(ratio, rel=0.02)


@pytest.mark.parametrize("why", ["learning rates decay", "networks grow"])
def test_where_a_snapshot_is_no_shorter_training_nothing_is_said_per_second(why):
    made = all_effects(design(no_shorter=why), *tables({}, cost={"attention": 1.5}))
    found = made.questions[0]
    assert found.time.why == why and found.worth_in_steps is None and found.cost is not None
    assert not [row for row in made.rows if row.at == "time"]


def test_runs_of_several_machines_give_no_cost_unless_one_has_all_cells():
    runs, snapshots = tables({}, cost={"attention": 1.5})
    runs.loc[runs["attention"] == "on", "device"] = "cpu (B)"
    found = attention(runs, snapshots)
    assert found.time.why == "several machines" and found.cost is None
    runs["device"] = np.where(runs["seed"] == 2, "cpu (B)", "cpu (A)")
    assert attention(runs, snapshots).cost.machine == "cpu (A), 1 thread"


def test_a_disturbed_stretch_does_not_count_and_quiet_runs_replace_all():
    runs, snapshots = tables({}, cost={"attention": 1.5}, spread=0.001)
    snapshots.loc[snapshots["step"] >= 600, "step_seconds"] += 5.0
    assert budget.step_costs(runs, snapshots)["step_seconds"].max() == pytest.approx(0.015, rel=0.01)
    quiet = runs[["variant", "seed"]].assign(step_seconds=np.where(runs["attention"] == "on", 0.03, 0.01))
    assert attention(runs, snapshots, quiet).cost.ratio == pytest.approx(3)
    assert attention(runs, snapshots, quiet[6:]).cost.ratio == pytest.approx(1.5, rel=0.01)


def test_an_effect_that_still_moves_is_said_to():
    runs, snapshots = tables({}, spread=0.05)
    assert not attention(runs, snapshots).steps.still_changing
    snapshots["fid"] *= np.exp(np.random.default_rng(1).normal(0, 0.002, len(snapshots)))
    for factor, word in ((0.9, "falling"), (0.9**-2, "rising")):
        snapshots.loc[(snapshots["attention"] == "on") & (snapshots["step"] == 800), "fid"] *= factor
        answer = attention(runs, snapshots).steps
        assert answer.still_changing and (answer.changes[1] < 0) == (word == "falling")
        assert qualifiers(answer) == [f"still changing ({word})"]


@pytest.mark.parametrize(("size", "times"), [(-0.5, 1.6), (0.5, 1 / 1.6), (-4.0, None)])
def test_worth_is_the_horizontal_distance_of_the_curves(size, times):
    found = attention(*tables({"attention": size * math.log(1.6)}, slope=-0.5, spread=0.001)).worth_in_steps
    assert found == (pytest.approx(times, rel=0.01) if times else None)


def test_another_space_that_says_the_opposite_is_named():
    runs, snapshots = tables({"attention": math.log(0.8)}, spread=0.01)
    other = runs.assign(space="inception")
    for factor, said in ((1.0, []), (1.6, ["inception"])):
        other.loc[other["attention"] == "on", "fid"] *= factor
        both = pd.concat([runs, other], ignore_index=True)
        assert attention(both, snapshots, spaces=["classifier", "inception"]).steps.contradicted_by == said

"""One interval decides: what it says, of which family, at which look."""

import math

import pytest

from sagan.analysis.contrasts import doubling_looks, replay, verdict
from sagan.analysis.effects import all_effects
from sagan.analysis.model import Look, Report
from sagan.analysis.words import qualifiers
from tests.analysis.made import design, tables


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-20, -6, "helps"),
        (0.1, 30, "hurts"),
        (-4, 4.9, "no difference worth having"),
        (-4, -0.1, "helps, by less than is worth having"),
        (0.1, 4, "hurts, by less than is worth having"),
        (-4, 5.1, "not decided"),
        (-5.1, 4, "not decided"),
        (-30, 0.1, "not decided"),
    ],
)
def test_what_an_interval_says(low, high, said):
    assert verdict(low, high, True, 5.0) == said
    turned = said.replace("helps", "@").replace("hurts", "helps").replace("@", "hurts")
    assert verdict(low, high, False, 5.0) == turned
    assert "worth having" not in verdict(low, high, True, 0.0)


def test_looks_halve_the_level_and_take_no_look_at_two_seeds():
    levels = {3: 0.025, 6: 0.0125, 12: 0.00625}
    assert doubling_looks(3, 12, 0.05) == [Look(seeds=seeds, level=level) for seeds, level in levels.items()]
    assert doubling_looks(3, 10, 0.05) == doubling_looks(3, 6, 0.05)
    assert doubling_looks(2, 4, 0.05) == [Look(seeds=4, level=0.05)]
    assert doubling_looks(2, 2, 0.05) == [Look(seeds=2, level=0.05)]


def at_end(asked, runs, snapshots):
    rows = all_effects(asked, runs, snapshots).rows
    [row] = [r for r in rows if (r.question, r.budget, r.at, r.given) == ("attention", 800, "steps", "")]
    return row


def test_the_questions_share_the_level_and_the_interval_says_so():
    made = tables({"attention": math.log(1.3)})
    row = at_end(design(), *made)
    assert row.answer == "hurts" and row.decide_low < row.low < row.estimate < row.high < row.decide_high
    single = at_end(design(questions=["attention"]), *made)
    assert (single.decide_low, single.decide_high) == pytest.approx((single.low, single.high))


def test_a_difference_has_no_size_that_is_worth_having():
    row = at_end(design(scale="linear"), *tables({}, spread=1e-6))
    assert row.scale == "difference" and row.answer == "not decided" and row.decide_high < 1e-3


def test_a_lost_run_counts_as_the_worst_and_is_counted():
    runs, snapshots = tables({"attention": math.log(0.8)}, spread=0.01)
    before = all_effects(design(), runs, snapshots).questions[0].steps
    runs.loc[runs["attention"] == "on", "lost"] = [1] + [0] * 11
    after = all_effects(design(), runs, snapshots).questions[0].steps
    assert before.effect.answer == "helps" and (before.lost, after.lost) == (0, 1)
    assert after.effect.estimate > before.effect.estimate


def test_a_sure_interaction_is_told_with_the_effect_at_each_level():
    """And an average of two opposite effects is no small one."""
    runs, snapshots = tables({"attention": math.log(0.9)}, spread=0.001)
    runs.loc[(runs["attention"] == "on") & (runs["norm"] == "spectral"), "fid"] /= 0.9**2
    made = all_effects(design(), runs, snapshots)
    [sure] = [found for found in made.state.interactions if found["sure"]]
    assert (sure["question"], sure["by"]) == ("attention", "norm") and sure["estimate"] == pytest.approx(23.5, abs=1)
    answer = made.questions[0].steps
    assert answer.depends_on == ["norm"] and answer.effect.answer == "not decided"
    assert max(-answer.effect.decide_low, answer.effect.decide_high) < 5
    at = {row.given: row.answer for row in made.rows if row.question == "attention" and row.given.startswith("norm")}
    assert at == {"norm=batch": "helps", "norm=spectral": "hurts"}
    assert qualifiers(answer) == ["depends on norm"]
    assert qualifiers(made.questions[0].time)[0] == "depends on norm (per step)", "it is tested per step alone"
    for question, told in (("norm", [("norm", "spectral", "attention")]), ("ratio", [])):  # of which something is asked
        made = all_effects(of := design(questions=[question]), runs, snapshots)
        report = Report.model_construct(design=of, interactions=made.state.interactions)
        assert [(one["question"], one["level"], one["by"]) for one in report.dependences] == told


def test_first_answers_stand_and_sizes_are_of_the_last_look():
    runs, _ = tables({"attention": math.log(1.3)}, seeds=6, spread=0.03)
    runs.loc[(runs["seed"] >= 3) & (runs["attention"] == "on"), "fid"] /= 1.3
    state = replay(design(looks=doubling_looks(3, 6, 0.05)), runs)
    _, row, answered_at = state.answers["attention", "on", "off"]
    assert state.look.seeds == 6 and answered_at == 3
    assert row.answer == "hurts" and row.decide_low > 0 and row.estimate < 20 and row.runs == 48

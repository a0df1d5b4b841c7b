"""Three answers, the effect that seeds find, and the seeds that an effect takes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from sagan.analysis.answers import answers, detectable, negligible_p, seeds_needed
from sagan.analysis.factorial import Effect


def effect(estimate=0.0, standard_error=0.01, p=0.5, **changes):
    of_estimate = {"improvement": int(-np.sign(estimate)), "spread": 0.075, "freedom": 88, "cells": 8, "fewest": 12}
    known = {"factor": "f", "levels": ("a", "b"), "exact": True, "lost": 0, **of_estimate, **changes}
    return Effect(estimate=estimate, standard_error=standard_error, p=p, **known)


def only(found, **options):
    return answers({"q": found}, **options)["q"]


def test_a_sure_difference_helps_or_hurts_by_its_sign():
    assert only(effect(-0.2, p=0.001)).direction == "helps"
    assert only(effect(0.2, p=0.001)).direction == "hurts"
    assert only(effect(0.2, p=0.06)).direction is None


def test_no_difference_worth_having_is_the_90_percent_interval_within_the_smallest_effect():
    margin = math.log(1.05)
    for estimate in (0.03, -0.03):
        reach = margin - 0.03
        error = reach / stats.t.ppf(0.95, 88)
        inside, outside = effect(estimate, error * 0.999), effect(estimate, error * 1.001)
        assert only(inside).negligible and not only(outside).negligible
        assert max(map(abs, inside.interval(0.9))) < margin < max(map(abs, outside.interval(0.9)))
        assert negligible_p(effect(estimate, error)) == pytest.approx(0.05)
    assert not only(effect(0.2)).negligible
    assert only(effect(0.03, 0.03), smallest_effect=0.2).negligible


def test_both_can_be_sure():
    both = only(effect(-0.02, 0.005, p=0.001))
    assert (both.direction, both.negligible, both.seeds_needed) == ("helps", True, None)


def test_lost_runs_refuse_no_difference():
    assert only(effect(0.0)).negligible
    assert not only(effect(0.0, lost=1)).negligible


def test_too_few_runs_of_a_single_comparison_decide_nothing():
    found = effect(-0.001, p=0.001, cells=2, fewest=4)
    assert not only(found).decided
    assert only(replace(found, fewest=5)).decided


def test_questions_are_corrected_together_and_count_until_both_of_their_nulls_fall():
    small = effect(0.0, 0.012, p=0.9)
    given = answers({"a": effect(-0.2, p=0.001), "b": effect(0.1, p=0.02), "c": small})
    assert [a.p_difference for a in given.values()] == pytest.approx([0.003, 0.06, 1])
    assert [a.decided for a in given.values()] == [True, False, True]
    assert given["c"].p_negligible == pytest.approx(3 * negligible_p(small))
    given = answers({"a": effect(-0.02, 0.001, p=0.001), "b": effect(0.1, p=0.02), "c": small})
    assert given["b"].p_difference == pytest.approx(0.04), "a is settled in both ways"


def test_what_an_earlier_look_settled_no_longer_counts():
    effects = {"a": effect(-0.2, p=0.9), "b": effect(0.1, p=0.03)}
    assert answers(effects, different={"a"})["b"].p_difference == pytest.approx(0.06)
    given = answers(effects, different={"a"}, negligible={"a"})
    assert (given["b"].p_difference, given["b"].direction) == (0.03, "hurts")
    assert given["a"].direction == "helps"


def test_an_open_question_says_the_seeds_at_its_share_of_the_level():
    given = answers({"a": effect(-0.04, 0.03, p=0.2), "b": effect(0.1, 0.03, p=0.03)}, level=0.025)
    assert given["a"].seeds_needed == seeds_needed(math.log(1.05), 0.075, 8, 0.0125)
    assert only(effect(-0.04, None, p=0.2, spread=None)).seeds_needed is None


def test_the_detectable_effect_is_found_in_80_percent_of_cases():
    size, n = detectable(0.075, 2, 6, 0.05), 6
    rng = np.random.default_rng(0)
    a, b = (rng.normal(scale=0.075, size=(8000, n)) + shift for shift in (0, size))
    assert np.mean(stats.ttest_ind(a, b, axis=1).pvalue <= 0.05) == pytest.approx(0.8, abs=0.02)


def test_seeds_needed_is_the_fewest_that_find_it():
    seeds = seeds_needed(math.log(1.05), 0.075, 8, 0.05 / 3)
    assert detectable(0.075, 8, seeds, 0.05 / 3) <= math.log(1.05) < detectable(0.075, 8, seeds - 1, 0.05 / 3)
    assert seeds_needed(1.0, 0.01, 8, 0.05) == seeds_needed(1.0, 0.0, 8, 0.05) == 2
    assert seeds_needed(1.0, 0.01, 2, 0.05) == 5

"""Contrasts of cell means, against scipy and against sums by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sagan.analysis.contrasts import contrast, effect_weights, figures_of, interactions
from sagan.analysis.model import metric_of
from sagan.metrics.table import METRICS
from tests.analysis.made import design


def test_two_cells_are_welchs_test():
    rng = np.random.default_rng(0)
    one, other = rng.normal(0, 1, 4), rng.normal(1, 3, 6)
    found = contrast({("a",): one, ("b",): other}, {("a",): 1.0, ("b",): -1.0})
    welch = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.9)
    assert found.interval(0.1) == pytest.approx((welch.low, welch.high))
    assert found.runs == 10


def test_a_setting_that_lacks_a_cell_does_not_count():
    cells = [("on", "a"), ("off", "a"), ("on", "b")]
    assert effect_weights(cells, 0, "on", "off") == {("on", "a"): 1.0, ("off", "a"): -1.0}
    assert effect_weights(cells, 1, "b", "a") == {("on", "b"): 1.0, ("on", "a"): -1.0}
    assert effect_weights(cells[::2], 0, "on", "off") == {}


def test_an_interaction_is_a_difference_of_effects_and_none_without_all_four_cells():
    asked = design(factors={"attention": ("off", "on"), "norm": ("a", "b")}, scale="linear")
    cells = {("on", "a"): 1.0, ("off", "a"): 2.0, ("on", "b"): 4.0, ("off", "b"): 3.0}
    figures = {cell: np.array([y - 0.1, y + 0.1]) for cell, y in cells.items()}
    [found] = interactions(asked, figures, 0.05)
    assert found["estimate"] == pytest.approx((4 - 3) - (1 - 2)) and found["low"] == found["decide_low"]
    assert interactions(asked, dict(list(figures.items())[:3]), 0.05) == []


def test_a_lost_run_takes_the_worst_figure_and_a_missing_one_is_left_out():
    runs = pd.DataFrame(
        {"arm": list("aaabbb"), "lost": [0, 0, 1, 0, 0, 0], "fid": [1.0, 2.0, np.nan, 3.0, 5.0, np.nan]}
    )
    figures = figures_of(runs, ["arm"], metric_of("fid", scale="linear"))
    assert figures["a",].tolist() == [1, 2, 5] and figures["b",].tolist() == [3, 5]
    figures = figures_of(runs, ["arm"], metric_of("fid", "higher", "linear"))
    assert figures["a",].tolist() == [1, 2, 1]
    logs = figures_of(runs, ["arm"], METRICS["fid"])
    assert logs["a",].tolist() == pytest.approx([0, math.log(2), math.log(5)])


def test_a_cell_with_one_figure_makes_no_answer_and_one_without_spread_an_interval_of_one_point():
    assert contrast({("a",): np.array([1.0]), ("b",): np.array([1.0, 2.0])}, {("a",): 1.0, ("b",): -1.0}) is None
    assert contrast({}, {}) is None
    assert contrast({("a",): np.ones(3), ("b",): np.zeros(3)}, {("a",): 1.0, ("b",): -1.0}).interval() == (1.0, 1.0)

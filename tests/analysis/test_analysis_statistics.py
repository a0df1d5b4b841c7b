import math

import numpy as np
import pytest
from scipy import stats

from sagan.analysis import statistics as st


def test_estimate_of_few_seeds_claims_no_interval():
    assert st.estimate([]) is None
    one = st.estimate([3.0])
    assert (one.mean, one.sd, one.low, one.count) == (3.0, None, None, 1)
    two = st.estimate([3.0, 5.0])
    assert two.sd == pytest.approx(math.sqrt(2))
    assert two.low is two.high is None
    assert (two.minimum, two.maximum) == (3.0, 5.0)


def test_the_interval_is_students():
    values = [3.0, 4.0, 8.0, 5.0, 4.5]
    found = st.estimate(values)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 4, np.mean(values), stats.sem(values)))


def test_a_spread_ratio_is_that_of_the_distances_and_knows_no_scale():
    narrow, wide = (
        {s: 5.0 + v for s, v in enumerate([1, -1, 2, -2])},
        {s: 9.0 + 3 * v for s, v in enumerate([1, -1, 2, -2])},
    )
    found = st.spread_ratio([(wide, narrow)])
    assert (found.ratio, found.p, found.count) == (pytest.approx(3), None, 4)
    assert st.spread_ratio([(narrow, wide)]).ratio == pytest.approx(1 / 3)
    larger = [{s: 100 * v for s, v in side.items()} for side in (narrow, wide)]
    assert st.spread_ratio([(wide, narrow), tuple(larger)]).ratio == pytest.approx(1)
    assert st.spread_ratio([({0: 1.0, 1: 2.0, 2: 3.0}, {0: 1.0, 1: 2.0})]) is None
    assert st.spread_ratio([(dict.fromkeys(range(8), 2.0), dict(enumerate(range(8))))]) is None


def share_of_spreads_found(times_as_wide, cells=1, suites=400):
    """How often the test says, of made-up suites of eight seeds, that spreads differ; each cell has its own scale."""
    rng, found = np.random.default_rng(5), 0
    for _ in range(suites):
        shared = rng.normal(size=8)
        sides = [
            [dict(enumerate(20 + 6**cell * times * (shared + rng.normal(size=8)))) for times in (times_as_wide, 1)]
            for cell in range(cells)
        ]
        found += st.spread_ratio(sides).p <= 0.05
    return found / suites


def test_equal_spreads_are_called_unequal_about_as_often_as_the_level_says():
    assert 0.02 < share_of_spreads_found(1) < 0.075
    assert 0.02 < share_of_spreads_found(1, cells=2) < 0.075


def test_a_tripled_spread_is_found_more_often_than_not():
    assert share_of_spreads_found(3) > 0.5
    assert share_of_spreads_found(3, cells=2) > 0.75


def test_pareto_front_leaves_out_what_is_beaten_in_both():
    points = {"slow-good": (10, 1), "fast-bad": (1, 10), "beaten": (11, 2), "middle": (5, 5), "slower-equal": (12, 1)}
    assert st.pareto_front(points) == ["fast-bad", "middle", "slow-good"]

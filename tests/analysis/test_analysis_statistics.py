import itertools
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


def test_interval_lies_within_the_range_and_is_the_same_again():
    values = [3.0, 4.0, 8.0, 5.0, 4.5]
    low, high = st.bootstrap_interval(values)
    assert min(values) <= low < np.mean(values) < high <= max(values)
    assert st.bootstrap_interval(values) == (low, high)
    shifted = st.bootstrap_interval([v + 10 for v in values])
    assert shifted == pytest.approx((low + 10, high + 10))


def test_expanded_interval_approaches_the_t_interval():
    values = list(np.random.default_rng(0).normal(5, 2, 60))
    expected = stats.t.interval(0.95, 59, np.mean(values), stats.sem(values))
    assert st.bootstrap_interval(values) == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("count", [3, 4, 5])
def test_coverage_is_what_the_report_says_it_is(count, monkeypatch):
    monkeypatch.setattr(st, "RESAMPLES", 1000)
    rng = np.random.default_rng(7)
    intervals = [st.bootstrap_interval(rng.normal(0, 1, count)) for _ in range(600)]
    assert np.mean([low <= 0 <= high for low, high in intervals]) == pytest.approx(st.COVERAGE[count], abs=0.045)


def test_sign_flip_p_is_the_count_of_sign_patterns():
    assert st.sign_flip_p([1.0, 2.0, 3.0, 4.0]) == pytest.approx(2 / 16)
    assert st.sign_flip_p([-1.0, -2.0, -3.0, -4.0, -5.0]) == pytest.approx(2 / 32)
    assert st.sign_flip_p([0.0, 0.0, 0.0, 0.0]) == 1
    values = [0.3, -1.2, 2.5, 0.7, 1.1]
    sums = [abs(np.dot(signs, values)) for signs in itertools.product((1, -1), repeat=5)]
    assert st.sign_flip_p(values) == pytest.approx(np.mean([s >= abs(sum(values)) - 1e-12 for s in sums]))
    assert st.sign_flip_p([1.0] * 30) < 0.001


def test_permutation_p_is_the_count_of_divisions():
    assert st.permutation_p([1, 2, 3, 4, 5], [11, 12, 13, 14, 15]) == pytest.approx(2 / 252)
    first, second = [1.0, 2.0, 3.5, 3.0, 4.2], [4.0, 5.0, 3.2, 6.0, 7.0]
    pooled = first + second
    halves = [set(chosen) for chosen in itertools.combinations(range(10), 5)]
    gaps = [abs(sum(v if i in half else -v for i, v in enumerate(pooled))) for half in halves]
    observed = abs(sum(first) - sum(second))
    assert st.permutation_p(first, second) == pytest.approx(np.mean([g >= observed - 1e-9 for g in gaps]))
    assert st.permutation_p([2.0] * 4, [2.0] * 5) == 1


def test_holm_by_hand_and_with_gaps():
    assert st.holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    assert st.holm([0.6, 0.7]) == [1.0, 1.0]
    assert st.holm([]) == []


def test_a_contrast_within_seeds_is_their_mean():
    found = st.difference_by_seed({1: 2.0, 2: 1.0})
    assert found.by_seed == {1: 2.0, 2: 1.0}
    assert found.estimate.mean == 1.5
    assert found.p is None
    assert st.difference_by_seed({}) is None


def test_difference_without_pairs_compares_means():
    treated, control = {s: float(s) for s in range(4)}, {s: 10.0 + s for s in range(5)}
    found = st.difference(treated, control)
    assert found.estimate.mean == -10.5
    assert not found.paired
    assert found.p == pytest.approx(1 / math.comb(9, 4))  # the other extreme is less far off, the sides being unequal
    assert found.estimate.low < -10.5 < found.estimate.high
    assert st.difference({}, control) is None


def made_grid():
    """y = 10 + 3 [a = on] - 2 [b = x] + 1 [both] + seed."""
    cells = {f"{a}-{b}": {"a": a, "b": b} for a in ("on", "off") for b in ("x", "y")}
    figures = {
        name: {s: 10 + 3 * (c["a"] == "on") - 2 * (c["b"] == "x") + (name == "on-x") + s for s in range(4)}
        for name, c in cells.items()
    }
    return figures, cells


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


def test_factorial_effects_are_recovered():
    figures, cells = made_grid()
    a, b, both = st.factorial_contrasts(figures, cells, {"a": "on", "b": "x"})
    assert a.by_seed == dict.fromkeys(range(4), 3.5)
    assert b.by_seed == dict.fromkeys(range(4), -1.5)
    assert both.factors == ("a", "b")
    assert both.by_seed == dict.fromkeys(range(4), 1.0)


def test_factorial_uses_only_seeds_with_every_cell():
    figures, cells = made_grid()
    del figures["off-y"][2]
    assert list(st.factorial_contrasts(figures, cells, {"a": "on", "b": "x"})[0].by_seed) == [0, 1, 3]


def test_three_levels_are_each_compared_with_the_reference():
    cells = {level: {"ratio": level} for level in ("1", "2", "4")}
    figures = {level: {0: float(level)} for level in cells}
    contrasts = st.factorial_contrasts(figures, cells, {"ratio": "4"})
    assert {c.others: c.by_seed[0] for c in contrasts} == {("1",): 3.0, ("2",): 2.0}


def test_pareto_front_leaves_out_what_is_beaten_in_both():
    points = {"slow-good": (10, 1), "fast-bad": (1, 10), "beaten": (11, 2), "middle": (5, 5), "slower-equal": (12, 1)}
    assert st.pareto_front(points) == ["fast-bad", "middle", "slow-good"]


def test_beyond_enumeration_the_sampled_p_is_that_of_scipy():
    rng = np.random.default_rng(3)
    for shift in (0.0, 0.3, 1.0):
        differences = list(rng.normal(shift, 1.0, 40))
        expected = stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
        ).pvalue
        assert st.sign_flip_p(differences) == pytest.approx(expected, abs=0.02)

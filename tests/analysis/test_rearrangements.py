"""p-values against brute force, scipy and what a null promises."""

import itertools

import numpy as np
import pytest
from scipy import stats

from sagan.analysis import rearrangements
from sagan.analysis.rearrangements import rearrangement_p


def brute_force(strata):
    """Every division of every stratum, one after another."""
    observed = sum(np.mean(a) - np.mean(b) for a, b in strata)
    choices = []
    for a, b in strata:
        pooled = [*a, *b]
        divisions = []
        for chosen in itertools.combinations(range(len(pooled)), len(a)):
            rest = [pooled[i] for i in range(len(pooled)) if i not in chosen]
            divisions.append(np.mean([pooled[i] for i in chosen]) - np.mean(rest))
        choices.append(divisions)
    sums = np.array([sum(picked) for picked in itertools.product(*choices)])
    return np.mean(np.abs(sums) >= abs(observed) - 1e-9)


@pytest.mark.parametrize("sizes", [[(2, 2)], [(3, 1)], [(2, 2), (1, 3)], [(2, 3), (2, 1), (1, 1)], [(2, 2)] * 3])
def test_exact_p_is_that_of_all_divisions(sizes):
    rng = np.random.default_rng(len(sizes))
    for _ in range(5):
        strata = [(rng.normal(size=a), rng.normal(size=b) + 1) for a, b in sizes]
        p = rearrangement_p(strata)
        assert p.exact
        assert p.value == pytest.approx(brute_force(strata), abs=1e-12)


def test_one_stratum_is_scipys_permutation_test():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=6), rng.normal(size=5) + 1

    def size(x, y, axis):
        return np.abs(x.mean(axis=axis) - y.mean(axis=axis))

    # Of |difference|: with sides of unequal size, scipy's own two-sided p doubles the smaller tail instead.
    theirs = stats.permutation_test((a, b), size, n_resamples=np.inf, vectorized=True, alternative="greater")
    assert rearrangement_p([(a, b)]).value == pytest.approx(theirs.pvalue, abs=1e-12)


def test_three_a_side_that_do_not_overlap():
    assert rearrangement_p([([1, 2, 3], [4, 5, 6])]).value == 0.1


def test_ties_count_as_extreme_and_equal_values_show_nothing():
    assert rearrangement_p([([0.1, 0.1, 0.3], [0.1, 0.3, 0.3])]).value == 1.0
    assert rearrangement_p([([7.3] * 3, [7.3] * 3)]).value == 1.0


def test_drawn_p_is_close_to_the_exact_one(monkeypatch):
    rng = np.random.default_rng(2)
    strata = [(rng.normal(size=4), rng.normal(size=4) + 0.8) for _ in range(2)]
    exact = rearrangement_p(strata)
    monkeypatch.setattr(rearrangements, "ENUMERATED", 10)
    drawn = rearrangement_p(strata)
    assert exact.exact and not drawn.exact
    assert drawn.value == pytest.approx(exact.value, abs=0.005)
    assert rearrangement_p(strata) == drawn


def test_five_seeds_of_a_cube_are_exact_and_twelve_are_drawn():
    rng = np.random.default_rng(3)
    assert rearrangement_p([(rng.normal(size=5), rng.normal(size=5)) for _ in range(4)]).exact
    far = rearrangement_p([(rng.normal(size=12), rng.normal(size=12) + 9) for _ in range(4)])
    assert (far.value, far.exact) == (1e-5, False)


def test_p_is_uniform_under_the_null():
    rng = np.random.default_rng(4)
    p = [rearrangement_p([(rng.normal(size=3), rng.normal(size=3)) for _ in range(2)]).value for _ in range(2000)]
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 2000))


def test_order_within_a_side_and_a_swap_of_all_sides_change_nothing():
    rng = np.random.default_rng(5)
    for size in (3, 12):
        strata = [(rng.normal(size=size), rng.normal(size=size)) for _ in range(4)]
        swapped = [(b[::-1], a[::-1]) for a, b in strata]
        assert rearrangement_p(strata) == rearrangement_p(swapped)

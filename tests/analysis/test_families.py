"""Holm's correction."""

import numpy as np
import pytest

from sagan.analysis.families import holm, holm_of_groups


def test_by_hand():
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_a_family_is_falsely_rejected_in_no_more_than_the_level():
    p = np.random.default_rng(0).uniform(size=(4000, 5))
    assert np.mean([min(holm(dict(enumerate(row))).values()) <= 0.05 for row in p]) == pytest.approx(0.05, abs=0.014)


def test_groups_by_hand():
    # Three groups have a null left until b has lost both; its 0.04 then is the last that counts three.
    adjusted = holm_of_groups({"a": [0.5, 0.03], "b": [0.04, 0.001], "c": [0.2, 0.9]})
    assert adjusted["a"] == pytest.approx([1.0, 0.09])
    assert adjusted["b"] == pytest.approx([0.12, 0.003])
    assert adjusted["c"] == pytest.approx([0.4, 1.0])


def test_groups_of_one_true_and_one_false_null_err_in_no_more_than_the_level():
    p = np.random.default_rng(0).uniform(size=(4000, 4))
    false = [
        min(of[0] for of in holm_of_groups({i: [q, 1e-9 if i else 1] for i, q in enumerate(row)}).values()) for row in p
    ]
    assert np.mean(np.array(false) <= 0.05) == pytest.approx(0.05, abs=0.014)

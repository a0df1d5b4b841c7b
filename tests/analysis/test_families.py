"""Holm's correction."""

import numpy as np
import pytest

from sagan.analysis.families import holm


def test_by_hand():
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_a_family_is_falsely_rejected_in_no_more_than_the_level():
    p = np.random.default_rng(0).uniform(size=(4000, 5))
    assert np.mean([min(holm(dict(enumerate(row))).values()) <= 0.05 for row in p]) == pytest.approx(0.05, abs=0.014)

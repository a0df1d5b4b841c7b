"""The simulated table of docs/statistics.md: its program agrees with `sagan.analysis`, and gives its figures again."""

import itertools
import math
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest

from benchmarks import power
from sagan.analysis.answers import negligible_p
from sagan.analysis.factorial import Factorial, effect, interactions
from sagan.analysis.families import holm, holm_of_groups
from sagan.analysis.looks import doubling_looks, replay

PAGE = Path("docs/statistics.md").read_text(encoding="utf-8")
FACTORS = dict.fromkeys("abc", ("-1", "1"))


def design(y_LN):
    cells = itertools.product(("-1", "1"), repeat=3)
    return Factorial(FACTORS, {cell: dict(enumerate(y)) for cell, y in zip(cells, y_LN, strict=True)})


def some_figures(draws, effects=(0.1, 0.05, 0.0)):
    return power.figures("normal", effects, draws, np.random.default_rng(0))


def test_its_tests_are_those_of_the_analysis():
    y = some_figures(6)[:, :, :3]
    sizes, different, negligible = power.tests(y, np.random.default_rng(1))
    for draw, (place, factor) in itertools.product(range(6), enumerate("abc")):
        theirs = effect(design(y[draw]), factor)
        assert sizes[draw, place] == pytest.approx(theirs.estimate)
        assert negligible[draw, place] == pytest.approx(negligible_p(theirs))
        assert different[draw, place] == pytest.approx(theirs.p, abs=4.5 * math.sqrt(0.25 / power.REARRANGED))


def test_its_corrections_are_those_of_the_analysis():
    p = np.random.default_rng(0).uniform(size=(200, 3, 2)) ** 4
    nothing = np.zeros((200, 3, 2), dtype=bool)
    groups = power.by_groups(p[:, :, 0], p[:, :, 1], 0.05, nothing)
    apart = power.by_holm(p[:, :, 0], 0.05, nothing[:, :, 0])
    for draw in range(200):
        adjusted = holm_of_groups(dict(enumerate(p[draw])))
        assert (np.array(list(adjusted.values())) <= 0.05).tolist() == groups[draw].tolist()
        adjusted = holm(dict(enumerate(p[draw, :, 0])))
        assert (np.array(list(adjusted.values())) <= 0.05).tolist() == apart[draw].tolist()


def test_its_interactions_are_those_of_the_analysis():
    y = power.figures("crossing", (0.1, 0.05, 0.0), 20, np.random.default_rng(0))[:, :, :3]
    sure = power.sure_interactions(y)
    for draw in range(20):
        adjusted = holm({place: found.p for place, found in enumerate(interactions(design(y[draw])))})
        assert [p <= 0.05 for p in adjusted.values()] == sure[draw].tolist()
    assert {True, False} == set(sure[:, 0].tolist())


def test_its_looks_are_those_of_the_analysis():
    # With the exact p, since 1,999 rearrangements may decide a near thing otherwise.
    y, looks = some_figures(12), doubling_looks(3, 12)
    designs = [design(of) for of in y]
    effects = {n: [[effect(d.first(n), f) for f in "abc"] for d in designs] for n in power.SEEDS}
    by_seeds = {
        n: tuple(
            np.array([[number(e) for e in of] for of in found])
            for number in (attrgetter("estimate"), attrgetter("p"), negligible_p)
        )
        for n, found in effects.items()
    }
    mine = power.new_rule(by_seeds, looks)
    for draw, whole in enumerate(designs):
        theirs = replay({factor: (whole, factor) for factor in "abc"}, looks)
        directions = [given.answer.direction for given in theirs.given.values()]
        assert directions == [{1: "hurts", -1: "helps", 0: None}[sign] for sign in mine.direction[draw]]
        assert [given.answer.negligible for given in theirs.given.values()] == mine.negligible[draw].tolist()
        assert theirs.seeds == mine.seeds[draw]


def test_noise_has_the_spread_that_is_said():
    for noise in {*power.NOISES, *power.OF_INTERACTIONS}:
        y = power.figures(noise, (0.0, 0.0, 0.0), 4000, np.random.default_rng(0))
        assert y.mean() == pytest.approx(3, abs=0.002)
        assert math.sqrt(y.var(axis=(0, 2)).mean()) == pytest.approx(0.075, rel=0.05)


@pytest.mark.parametrize("noise", ["normal", "crossing"])
def test_a_small_part_of_the_table_comes_out_again(noise):
    shown = {tuple(row[:3]): row[3:] for row in table()}
    for name, rule, seeds, *shares, mean in power.simulate(noise, draws=500, seed=1):
        *expected, expected_mean = map(float, shown[name, rule, seeds])
        for share, percent in zip(shares, expected, strict=True):
            p = percent / 100
            assert share == pytest.approx(p, abs=4.5 * math.sqrt(p * (1 - p) / 500) + 0.01), (rule, seeds)
        assert mean == pytest.approx(expected_mean, abs=0.6)


def test_the_page_shows_every_rule_under_every_noise_and_no_false_answers_beyond_alpha():
    rows = table()
    assert len(rows) == 6 * len(power.NOISES)
    for noise, rule, seeds, none, one, *_ in rows:
        if rule.startswith("new") and noise in ("normal", "crossing"):
            assert max(float(none), float(one)) <= 6, (noise, seeds)


def test_the_page_shows_the_figures_of_interactions():
    shown = table(power.OF_INTERACTIONS, power.INTERACTION_COLUMNS)
    found = [row for noise in power.OF_INTERACTIONS for row in power.simulate_interactions(noise, draws=10_000)]
    assert [power.line(row) for row in shown] == [power.line(row) for row in found]


def table(noises=power.NOISES, columns=power.COLUMNS):
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")
    ]
    return [row for row in lines if row[0] in noises and len(row) == len(columns)]

"""Looks and their replay: what is asked for, first answers, and that a lower `most` only truncates."""

import itertools

import numpy as np
import pytest

from sagan.analysis.factorial import Factorial
from sagan.analysis.looks import Look, doubling_looks, one_look, replay

FACTORS = {"a": ("0", "1"), "b": ("0", "1"), "c": ("0", "1")}


def questions(seeds=12, rng=0, spread=0.075, lost=(), missing=(), factors=FACTORS, **shifts):
    rng = np.random.default_rng(rng)
    runs = {}
    for cell in itertools.product(*factors.values()):
        mean = 3 + sum(shifts.get(f, 0) * (level == "1") for f, level in zip(factors, cell, strict=True))
        runs[cell] = dict(enumerate(mean + spread * rng.normal(size=seeds)))
    for cell, seed in lost:
        runs[cell][seed] = None
    for cell, seed in missing:
        del runs[cell][seed]
    design = Factorial(factors, runs)
    return {factor: (design, factor) for factor in factors}


def said(replayed):
    return {q: (g.seeds, g.answer.direction, g.answer.negligible) for q, g in replayed.given.items()}


def test_looks_double_and_their_levels_halve():
    assert doubling_looks(3, 12, 0.05) == (Look(3, 0.025), Look(6, 0.0125), Look(12, 0.00625))
    assert one_look(3) == (Look(3, 0.05),)
    assert doubling_looks(3, 3) == (Look(3, 0.025),)
    with pytest.raises(ValueError, match="from 4 to 3"):
        doubling_looks(4, 3)


def test_a_lower_most_is_a_truncation_of_the_looks():
    longest = doubling_looks(3, 100)
    for most in range(3, 100):
        looks = doubling_looks(3, most)
        assert looks == longest[: len(looks)]
        assert looks[-1].seeds <= most < 2 * looks[-1].seeds
    assert sum(look.level for look in longest) <= 0.05


def test_what_is_clear_at_the_first_look_asks_for_no_more():
    found = replay(questions(a=0.5, b=-0.5, c=0.5), doubling_looks(3, 12))
    assert (found.seeds, found.complete, len(found.taken)) == (3, True, 1)
    assert said(found) == {"a": (3, "hurts", False), "b": (3, "helps", False), "c": (3, "hurts", False)}


def test_an_open_question_asks_for_whole_seeds_of_the_next_look():
    found = replay(questions(seeds=3, a=0.5, b=-0.5), doubling_looks(3, 12))
    assert (found.seeds, found.complete) == (6, False)
    assert found.given["c"].answer.seeds_needed > 3
    assert replay(questions(seeds=0), doubling_looks(3, 12)) == type(found)(3, False, (), {})


def test_a_look_waits_for_its_last_run():
    last = [(("1", "0", "1"), 5)]
    found = replay(questions(missing=last), doubling_looks(3, 6))
    assert (found.seeds, found.complete, [look.seeds for look in found.taken]) == (6, False, [3])
    assert replay(questions(lost=last), doubling_looks(3, 6)).complete


def test_first_answers_stand():
    steady = questions(seeds=3, a=0.5)
    runs = {}
    for cell, by_seed in questions(seeds=12, rng=1, a=-2)["a"][0].runs.items():
        runs[cell] = {**by_seed, **steady["a"][0].runs[cell]}
    design = Factorial(FACTORS, runs)
    found = replay({f: (design, f) for f in FACTORS}, doubling_looks(3, 12))
    assert said(found)["a"] == (3, "hurts", False)
    assert found.given["a"].answer.effect.estimate == pytest.approx(0.5, abs=0.1)
    assert found.effects["a"].estimate < -1, "the size is of all runs"


def test_a_look_sees_no_seed_beyond_it():
    few, many = questions(seeds=3, b=-0.5), questions(seeds=3, b=-0.5)
    extended = {c: {**r, 3: 99.0, 7: -99.0} for c, r in many["a"][0].runs.items()}
    design = Factorial(FACTORS, extended)
    assert replay({f: (design, f) for f in FACTORS}, one_look(3)) == replay(few, one_look(3))


@pytest.mark.parametrize("draw", range(12))
def test_a_lower_most_only_leaves_later_answers_out(draw):
    asked = questions(rng=draw, a=0.1, b=0.06, lost=[(("0", "0", "1"), 4)] if draw % 3 == 0 else [])
    full = replay(asked, doubling_looks(3, 12))
    for most in (3, 4, 6, 11):
        cut = replay(asked, doubling_looks(3, most))
        assert cut.seeds <= most and cut.complete
        assert cut.taken == full.taken[: len(cut.taken)]
        for question, (seeds, *answer) in said(full).items():
            if any(answer) and seeds <= cut.seeds:
                assert said(cut)[question] == (seeds, *answer)
            else:
                assert not cut.given[question].answer.decided


@pytest.mark.parametrize("draw", range(4))
def test_the_plan_grows_as_runs_come_and_ends_as_if_they_had_always_been_there(draw):
    everything = questions(rng=draw, a=0.1)
    design, there, rounds = everything["a"][0], 0, []
    while True:
        found = replay({f: (design.first(there), f) for f in FACTORS}, doubling_looks(3, 12))
        if found.complete:
            break
        assert found.seeds > there
        there = found.seeds
        rounds.append(there)
    assert rounds == [3, 6, 12][: len(rounds)]
    assert found == replay(everything, doubling_looks(3, 12))


def test_no_difference_worth_having_is_an_answer_and_lost_runs_refuse_it():
    steady = {"spread": 0.01, "factors": {"a": ("0", "1")}}
    assert said(replay(questions(**steady), one_look(12))) == {"a": (12, None, True)}
    assert said(replay(questions(**steady, lost=[(("0",), 3)]), one_look(12))) == {"a": (12, None, False)}


def test_variants_against_a_baseline_are_questions_with_designs_of_their_own():
    rng = np.random.default_rng(0)
    runs = {
        name: dict(enumerate(mean + 0.05 * rng.normal(size=10))) for name, mean in (("base", 3), ("u", 2), ("v", 3))
    }
    asked = {
        name: (Factorial({"variant": ("base", name)}, {("base",): runs["base"], (name,): runs[name]}), "variant")
        for name in ("u", "v")
    }
    found = replay(asked, doubling_looks(5, 10))
    assert said(found)["u"] == (5, "helps", False)
    assert found.seeds == 10


def test_a_question_answered_one_way_still_counts_at_later_looks():
    found = replay(questions(rng=2, a=0.5, b=0.05), doubling_looks(3, 6))
    assert [found.given[question].seeds for question in "abc"] == [3, 6, 6]
    raw = {q: found.given[q].answer.effect.p for q in "bc"}
    smaller = min(raw, key=raw.get)
    assert raw[smaller] < 0.33
    assert found.given[smaller].answer.p_difference == pytest.approx(3 * raw[smaller])


def test_false_answers_are_rarer_than_alpha():
    false = 0
    for draw in range(150):
        found = replay(questions(seeds=4, rng=draw), doubling_looks(2, 4, alpha=0.2))
        false += any(given.answer.direction for given in found.given.values())
    assert false / 150 < 0.2 + 0.07

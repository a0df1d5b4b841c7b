"""Effects, intervals and interactions of factorial designs."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from sagan.analysis.factorial import Factorial, effect, interactions

CUBE = {"attention": ("off", "on"), "sn": ("d", "both"), "ratio": ("1", "4")}


def cube(seeds=3, spread=0.075, rng=0, **shifts):
    """y = 3 + shift of each factor at its second level + noise."""
    rng = np.random.default_rng(rng)
    runs = {}
    for cell in itertools.product(*CUBE.values()):
        mean = 3 + sum(shifts.get(f, 0) * (level == CUBE[f][1]) for f, level in zip(CUBE, cell, strict=True))
        runs[cell] = dict(enumerate(mean + spread * rng.normal(size=seeds)))
    return Factorial(CUBE, runs)


def two_groups(a, b, **options):
    runs = {("a",): dict(enumerate(a)), ("b",): dict(enumerate(b))}
    return Factorial({"variant": ("a", "b")}, runs, **options)


def by_hand():
    runs = {("x", "p"): [1, 3], ("x", "q"): [2, 4], ("y", "p"): [5, 7], ("y", "q"): [10, 12]}
    return Factorial({"f": ("x", "y"), "g": ("p", "q")}, {cell: dict(enumerate(y)) for cell, y in runs.items()})


def test_an_effect_by_hand():
    # Cell means 2, 3, 6, 11: f does 4 at p and 8 at q, g does 1 at x and 5 at y. Each cell's variance is 2.
    found = effect(by_hand(), "f")
    assert found.estimate == pytest.approx(6)
    assert effect(by_hand(), "g").estimate == pytest.approx(3)
    assert found.spread == pytest.approx(math.sqrt(2))
    assert found.standard_error == pytest.approx(2 * math.sqrt(2) / math.sqrt(4 * 2))
    assert found.freedom == 4
    low, high = found.interval(0.95)
    assert high - 6 == pytest.approx(6 - low) == pytest.approx(stats.t.ppf(0.975, 4) * found.standard_error)
    # At p and at q the second level's two runs are the largest: 2 of 6 * 6 rearrangements are as extreme.
    assert found.p == pytest.approx(2 / 36)
    assert (found.improvement, found.cells, found.fewest, found.lost) == (-1, 4, 2, 0)


def test_an_interaction_by_hand():
    # f does 4 at p and 8 at q; each cell's variance is 2.
    (found,) = interactions(by_hand())
    assert (found.factors, found.estimate, found.freedom) == (("f", "g"), pytest.approx(4), 4)
    assert found.standard_error == pytest.approx(4 * math.sqrt(2) / math.sqrt(4 * 2))
    assert found.p == pytest.approx(2 * stats.t.sf(4 / 2, 4))
    assert [at.estimate for at in found.at] == pytest.approx([4, 8])
    # Of two cells with two runs each.
    assert found.at[0].standard_error == pytest.approx(math.sqrt(2 / 2 + 2 / 2)) and found.at[0].freedom == 2


def test_an_interaction_is_how_one_effect_changes_with_the_other_factor():
    design = cube(seeds=5, attention=0.3)
    found = {i.factors: i for i in interactions(design)}[("attention", "ratio")]
    at = []
    for ratio in CUBE["ratio"]:
        half = {cell[:2]: runs for cell, runs in design.runs.items() if cell[2] == ratio}
        at.append(effect(Factorial({f: CUBE[f] for f in ("attention", "sn")}, half), "attention").estimate)
    assert [c.estimate for c in found.at] == pytest.approx(at) and found.estimate == pytest.approx(at[1] - at[0])


def test_an_interactions_p_is_that_of_an_analysis_of_variance():
    """F of the model with all interactions, by least squares; runs of unequal number in the cells."""
    design = cube(seeds=4, attention=0.2, sn=0.1, rng=3)
    cells = list(design.runs)
    design = Factorial(CUBE, {**design.runs, cells[2]: {0: 3.1, 1: 3.3}})
    rows = [(cell, y) for cell, runs in design.runs.items() for y in runs.values()]
    signs = np.array([[1 if level == CUBE[f][1] else -1 for f, level in zip(CUBE, c, strict=True)] for c, _ in rows])
    subsets = [s for n in range(4) for s in itertools.combinations(range(3), n)]
    terms = np.stack([signs[:, list(subset)].prod(axis=1) for subset in subsets], axis=1)
    y = np.array([y for _, y in rows])

    def squares(columns):
        left = y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]
        return left @ left

    freedom = len(y) - len(subsets)
    for found in interactions(design):
        place = subsets.index(tuple(list(CUBE).index(f) for f in found.factors))
        f = (squares(np.delete(terms, place, axis=1)) - squares(terms)) / (squares(terms) / freedom)
        assert found.p == pytest.approx(stats.f.sf(f, 1, freedom))


def test_two_groups_are_students_t():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=7), rng.normal(size=5) + 1
    found, theirs = effect(two_groups(a, b), "variant"), stats.ttest_ind(b, a)
    assert found.estimate / found.standard_error == pytest.approx(theirs.statistic)
    assert found.freedom == theirs.df
    assert found.interval(0.9) == pytest.approx(tuple(theirs.confidence_interval(0.9)))


def test_a_swap_of_levels_flips_the_sign_and_nothing_else():
    design = cube(attention=-0.1)
    swapped = Factorial({**CUBE, "attention": ("on", "off")}, design.runs)
    one, other = effect(design, "attention"), effect(swapped, "attention")
    assert other.estimate == pytest.approx(-one.estimate)
    assert (other.p, other.improvement) == (one.p, -one.improvement) == (one.p, -1)
    assert other.standard_error == pytest.approx(one.standard_error)


def test_the_order_of_cells_and_of_seeds_does_not_matter():
    design = cube(sn=0.1)
    shuffled = Factorial(
        CUBE, {cell: dict(reversed(design.runs[cell].items())) for cell in reversed(list(design.runs))}
    )
    for factor in CUBE:
        assert effect(design, factor) == effect(shuffled, factor)
    assert interactions(design) == interactions(shuffled)


def test_a_constant_factor_of_the_figures_is_a_shift_of_logs():
    design = cube(ratio=-0.1)
    shifted = Factorial(CUBE, {c: {s: y + math.log(7) for s, y in runs.items()} for c, runs in design.runs.items()})
    assert effect(shifted, "ratio").ratio == pytest.approx(effect(design, "ratio").ratio)
    assert effect(shifted, "ratio").p == effect(design, "ratio").p


def test_the_interval_holds_the_truth_as_often_as_it_says():
    hits = 0
    for draw in range(1000):
        low, high = effect(cube(seeds=2, rng=draw, sn=0.13), "sn").interval(0.9)
        hits += low <= 0.13 <= high
    assert hits / 1000 == pytest.approx(0.9, abs=0.04)


def test_a_lost_run_counts_as_the_worst_in_p_and_not_in_the_estimate():
    a, b = [1.0, 2, 3, 4, 5], [1.1, 2.1, 3.1, 4.1]
    lost = effect(two_groups(a, [*b, None]), "variant")
    assert (lost.lost, lost.fewest, lost.freedom) == (1, 5, 7)
    assert lost.estimate == pytest.approx(2.6 - 3)
    assert lost.p == effect(two_groups(a, [*b, 5.0]), "variant").p
    assert lost.improvement == -1, "its survivors are better, and it lost one"
    higher = effect(two_groups(a, [*b, None], lower_is_better=False), "variant")
    assert higher.p == effect(two_groups(a, [*b, 1.0]), "variant").p


def test_a_cell_without_a_finished_run_has_p_and_no_estimate():
    found = effect(two_groups([1.0, 2, 3, 4, 5], [None] * 5), "variant")
    assert (found.estimate, found.ratio, found.interval(), found.improvement) == (None, None, None, -1)
    assert effect(two_groups([None] * 5, [None] * 5), "variant").p == 1


def test_one_run_a_cell_has_no_interval():
    found = effect(two_groups([1.0], [2.0]), "variant")
    assert (found.estimate, found.standard_error, found.interval()) == (1, None, None)


def test_a_single_comparison_needs_five_a_side():
    assert not effect(two_groups(range(4), range(9)), "variant").decidable
    assert effect(two_groups(range(5), range(5)), "variant").decidable
    assert effect(cube(seeds=3), "sn").decidable


def test_an_interaction_with_lost_runs_is_shown_and_never_sure():
    design = cube(seeds=5, spread=0.001)
    cells = list(design.runs)
    crossed = {**design.runs, cells[0]: {seed: y + 1 for seed, y in design.runs[cells[0]].items()}}
    assert max(i.p for i in interactions(Factorial(CUBE, crossed))) < 1e-9
    lost = interactions(Factorial(CUBE, {**crossed, cells[1]: {**crossed[cells[1]], 1: None}}))
    assert len(lost) == 3 and {i.p for i in lost} == {1.0} and all(i.interval() for i in lost)
    assert interactions(Factorial(CUBE, {**design.runs, cells[0]: {}})) == []


def test_a_block_is_one_more_factor():
    factors = {**CUBE, "lr_g": ("1e-3", "4e-3")}
    low, high = cube(seeds=2, sn=0.1), cube(seeds=2, rng=1, sn=0.1)
    runs = {(*c, "1e-3"): r for c, r in low.runs.items()}
    runs |= {(*c, "4e-3"): {s: y - 0.5 for s, y in r.items()} for c, r in high.runs.items()}
    design = Factorial(factors, runs)
    both = [effect(half, "sn").estimate for half in (low, high)]
    assert effect(design, "sn").estimate == pytest.approx(np.mean(both))
    assert effect(design, "sn").exact
    assert ("sn", "lr_g") in {i.factors for i in interactions(design)}


@pytest.mark.parametrize(
    ("factors", "runs", "words"),
    [
        ({"f": ("a", "b", "c")}, {("a",): {}, ("b",): {}, ("c",): {}}, "factor 'f' has 3 levels"),
        ({"f": ("a", "b")}, {("a",): {0: 1.0}}, r"missing \[\('b',\)\]"),
        ({"f": ("a", "b")}, {("a",): {0: 1.0}, ("b",): {0: math.nan}}, "seed 0: nan is no figure"),
    ],
)
def test_what_is_no_design_is_refused(factors, runs, words):
    with pytest.raises(ValueError, match=words):
        Factorial(factors, runs)


def test_an_effect_needs_a_run_in_each_cell():
    with pytest.raises(ValueError, match="needs a run in each cell"):
        effect(two_groups([1.0], []), "variant")

"""The simulation of size and power computes what `sagan.analysis` does, and `plan` tells what it simulates."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import power as simulated
from sagan.analysis.contrasts import contrast, effect_weights
from sagan.analysis.spreads import detectable, power, power_lines, seeds_needed, within
from tests.analysis.made import design

SIGNS = simulated.SIGNS


def test_the_simulated_interval_is_the_analysis_own():
    rng = np.random.default_rng(0)
    y_DLN = simulated.figures("as on faces (16)", "skewed", 5, rng)[:, :, :3]
    low, high = simulated.intervals(y_DLN, 0.05 / 3)
    names = [tuple("lo" if sign < 0 else "hi" for sign in row) for row in SIGNS]
    for draw in range(5):
        cells = dict(zip(names, y_DLN[draw], strict=True))
        for factor in range(3):
            found = contrast(cells, effect_weights(names, factor, "hi", "lo")).interval(0.05 / 3)
            assert found == pytest.approx((low[draw, factor], high[draw, factor]))


def test_no_more_intervals_miss_than_alpha():
    rng = np.random.default_rng(1)
    for spreads in simulated.SPREADS:
        y_DLN = simulated.figures(spreads, "normal", 4000, rng)
        assert simulated.misses(y_DLN, 3) < 0.06, spreads


def test_power_before_training_is_what_is_simulated():
    y_DLN = simulated.figures("equal", "normal", 4000, np.random.default_rng(2))
    for seeds in (3, 4, 6):
        shares, _ = simulated.found(y_DLN, [(seeds, 0.05)])
        for share, size in zip(shares, simulated.EFFECTS, strict=True):
            assert power(abs(size), 0.075, 8, seeds, 0.05 / 3) == pytest.approx(share, abs=0.03)


def test_seeds_needed_find_the_effect_and_fewer_do_not():
    size = math.log(1.05)
    needed = seeds_needed(size, 0.06, 8, 0.05 / 3)
    assert power(size, 0.06, 8, needed, 0.05 / 3) >= 0.8 > power(size, 0.06, 8, needed - 1, 0.05 / 3)
    assert power(detectable(0.06, 8, 4, 0.05 / 3), 0.06, 8, 4, 0.05 / 3) == pytest.approx(0.8, abs=1e-6)


def test_the_spread_is_of_runs_within_their_cells():
    cells = {("a",): np.array([1.0, 3.0]), ("b",): np.array([10.0, 12.0, 14.0]), ("c",): np.array([5.0])}
    assert within(cells) == pytest.approx(math.sqrt((2 + 8) / 3))
    assert within({("c",): np.array([5.0])}) is None


@pytest.mark.parametrize(
    ("seeds", "changes", "snapshots", "said"),
    [
        (3, {}, [0, 200, 400, 600, 800], ["finds effects of 13 % in 4 of 5 cases (8 cells, 3 seeds,"]),
        (2, {}, [0, 400, 600, 800], ["finds effects of 24 % in 4 of 5 cases (8 cells, 2 seeds,"]),
        (2, {"questions": []}, [0, 400, 600, 800], ["can answer nothing: 2 seeds are too few"]),
        (3, {}, [0, 800], ["finds", "no answer per second: 1 snapshot; it takes 2"]),
        (3, {}, [0, 100, 200, 800], ["finds", "no answer per second: 3 snapshots; it takes 2, and the last no later"]),
        (3, {"no_shorter": "networks grow"}, [0, 400, 600, 800], ["finds", "no answer per second: networks grow"]),
    ],
)
def test_a_design_that_cannot_answer_is_told_so(seeds, changes, snapshots, said):
    lines = list(power_lines(design(seeds, **changes), 2 if "questions" in changes else 8, snapshots, None))
    assert len(lines) == len(said) and all(line.startswith(begins) for line, begins in zip(lines, said, strict=True))


def test_the_spread_of_the_last_report_counts():
    measured = SimpleNamespace(power=[{"spread": 0.2}])
    [line] = power_lines(design(3), 8, [0, 400, 600, 800], measured)
    assert "a spread of 20.0 % within cells, as measured" in line and "finds effects of 37 %" in line

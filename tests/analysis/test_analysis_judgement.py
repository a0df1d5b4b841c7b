import itertools
import json

import pandas as pd
import pytest

from sagan.analysis import judgement, statistics
from sagan.analysis.build import analyse
from sagan.analysis.effects import baseline_effects, ingredient_effects
from sagan.analysis.rows import collect
from sagan.analysis.statistics import difference_by_seed
from sagan.report import render
from sagan.report.document import readme
from tests.report.outcomes import lose

LOWER = [-3.0, -4.0, -5.0, -3.5, -3.0, -4.0, -5.0, -3.5]


@pytest.mark.parametrize(
    ("values", "comparisons", "judged"),
    [
        (LOWER, 6, "better"),
        (LOWER, 7, "likely better"),
        (LOWER[:4], 1, "likely better"),
        ([-v for v in LOWER], 6, "worse"),
        ([-v for v in LOWER[:5]], 1, "likely worse"),
        ([-3.0, 4.0, 5.0, 3.5], 1, "not decided"),
        ([3.0, 4.0, 5.0], 1, "too few seeds"),
        ([0.0, 0.0], 1, "same"),
        ([], 1, "no data"),
    ],
)
def test_judgements_among_so_many_comparisons(values, comparisons, judged):
    found = difference_by_seed(dict(enumerate(values)))
    p_holm = found and found.p and statistics.holm([found.p] + [1.0] * (comparisons - 1))[0]
    assert judgement.judge(found, p_holm, any_lost=False) == judged
    assert judgement.judge(found, p_holm, any_lost=True) == "runs lost"


@pytest.mark.parametrize("seeds", [4, 5, 6])
def test_the_smallest_p_is_that_of_the_clearest_figures(seeds):
    low, high = [1.0 + s for s in range(seeds)], [100.0 + s for s in range(seeds)]
    differences = [a - b for a, b in zip(low, high, strict=True)]
    assert judgement.smallest_p(seeds, paired=True) == pytest.approx(statistics.sign_flip_p(differences))
    assert judgement.smallest_p(seeds, paired=False) == pytest.approx(statistics.permutation_p(low, high))


def test_how_many_seeds_it_takes_to_be_sure_of_so_many_comparisons():
    assert {m: judgement.seeds_to_be_sure([True] * m) for m in (1, 2, 3, 6, 7)} == {1: 6, 2: 7, 3: 7, 6: 8, 7: 9}
    assert judgement.seeds_to_be_sure([False] * 6) == 5
    assert judgement.can_be_sure(5, [True, False]) == [False, True]
    assert judgement.can_be_sure(3, [True, False]) == [False, False]


@pytest.fixture
def report(make_library, tmp_path):
    """The suite `eight` with other mean FIDs and without the runs (variant, seed) that diverged; text and records."""

    def make(fid=None, lost=()):
        library = make_library(tmp_path, ["eight"], fid, pictures=False)
        for variant, seed in lost:
            lose(library.paths, library.cell("eight", variant, seed))
        text = render("eight", library.plan, library.params, library.paths).read_text()
        return text, collect("eight", library.plan, library.params, library.paths), library.paths.report("eight")

    return make


def test_eight_seeds_are_sure_where_all_agree(report):
    text, records, folder = report()
    assert "**Attention, at 14 instead of off: helps.**" in text and "8 seeds a side" in text
    assert baseline_effects(records)["no-attention"].judgement == "worse"
    assert "is the most that can be said" not in text
    table = pd.read_csv(folder / "effects.csv").set_index("compared")
    assert table.loc["sagan against no-attention", "judged"] == "better"


def test_five_seeds_a_side_can_be_sure_and_four_say_how_many_would_do(library):
    def text(suite):
        return readme(analyse(suite, library.plan, library.params, library.paths), [])

    assert "is the most that can be said" not in text("made-up") and "at 14 instead of off: helps." in text("made-up")
    line = next(line for line in text("factorial").splitlines() if "is the most that can be said" in line)
    assert line.startswith('- **With 4 seeds, "likely" is the most') and "seeds would be enough." in line


def test_a_variant_does_not_win_by_losing_its_bad_runs(report):
    """Without attention the four survivors are far better; the other four diverged."""
    text, records, folder = report({"no-attention": 6.0}, [("no-attention", seed) for seed in range(4)])
    [attention] = [e for e in ingredient_effects(records) if e.ingredient == "attention"]
    assert attention.difference.estimate.low > 0 and attention.judgement == "runs lost"
    headline = next(line for line in text.splitlines() if line.startswith("- **Attention"))
    assert "at 14 instead of off: runs lost" in headline and "hurts" not in headline
    assert "0 of 8 runs were lost with it, 4 of 8 without; the survivors alone are no fair comparison" in headline
    assert "4 seeds a side" in headline
    assert "Lowest mean FID: no-attention" in text and "; it lost 4 runs, and its survivors" in text
    for cells in (line.split("|") for line in text.splitlines() if line.startswith("| no-attention")):
        assert not any(cell.strip().startswith("**") for cell in cells)
    assert "| runs lost: 4 of 8, against 0 of 8 |" in text and "| runs lost: 0 of 8, against 4 of 8 |" in text
    table = pd.read_csv(folder / "effects.csv").set_index(["table", "compared"])
    row = table.loc[("ingredient", "sagan against no-attention")]
    assert (row["judged"], row["runs_lost"], row["runs_lost_other"]) == ("runs lost", 0, 4)
    assert row["low"] > 0
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["no-attention.diverged"] == 4 and summary["no-attention.fid_difference"] < 0


def test_a_variant_that_lost_all_its_runs_is_said_to_have(report):
    text, _, _ = report(lost=[("no-attention", seed) for seed in range(8)])
    headline = next(line for line in text.splitlines() if line.startswith("- **Attention"))
    assert "0 of 8 runs were lost with it, 8 of 8 without" in headline


def test_levels_are_named_where_nothing_is_switched_off(report):
    text, _, _ = report(lost=[("two-d-steps", 3)])
    assert "1 of 8 runs were lost with 2, 0 of 8 with 1; the survivors" in text


def test_in_a_grid_lost_runs_of_one_cell_leave_what_it_takes_part_in_unjudged(make_library, tmp_path):
    library = make_library(tmp_path, ["factorial"], pictures=False)
    lose(library.paths, library.cell("factorial", "grid-off-d", 2))
    found = ingredient_effects(collect("factorial", library.plan, library.params, library.paths))
    assert {e.judgement for e in found} == {"runs lost"}
    main, interaction = found[0], next(e for e in found if e.interaction)
    assert (main.lost.treated, main.lost.treated_runs, main.lost.control, main.lost.control_runs) == (0, 8, 1, 8)
    assert (interaction.lost.treated, interaction.lost.treated_runs) == (1, 16)


def test_figures_that_are_not_finite_are_lost_and_too_few_images_are_not(make_library, tmp_path):
    library = make_library(tmp_path, ["few"], pictures=False)
    statuses = (
        "not finite: the features of 3 of 4000 generated images",
        "too few images: 9, and 128 features need 128",
    )
    cells = itertools.compress(library.plan.suites["few"], [1, 1, 0, 0])
    for cell, status in zip(cells, statuses, strict=True):
        path = library.paths.evaluation(cell.evaluation) / "metrics.json"
        record = json.loads(path.read_text())
        record["metrics"]["fid"] |= {"value": None, "status": status}
        path.write_text(json.dumps(record))
    rows = collect("few", library.plan, library.params, library.paths).rows
    assert [row.lost for row in rows] == [True, False, False, False]

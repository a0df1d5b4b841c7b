"""Single variants against the baseline, and what separates them."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sagan.analysis.build import analyse
from sagan.analysis.comparisons import against_baseline, single_ingredients
from sagan.analysis.differences import differing, level_of
from sagan.analysis.rows import collect
from sagan.analysis.wording import verdict
from sagan.report import render
from sagan.report.document import readme
from tests.report.outcomes import edited, lose


@pytest.fixture(scope="module")
def records(library):
    return lambda suite: collect(suite, library.plan, library.params, library.paths)


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


def test_pairs_that_differ_in_one_ingredient_are_found_and_oriented(records):
    found = {(c.name, c.level, c.other): c for c in single_ingredients(records("made-up"))}
    assert list(found) == [
        ("attention", "at 14x14", "off"),
        ("spectral norm in the generator", "on", "off"),
        ("learning-rate ratio", "4", "1"),
        ("discriminator steps per generator step", "2", "1"),
        ("init", "normal", "xavier"),
    ]
    attention = found["attention", "at 14x14", "off"]
    assert (attention.treated, attention.control) == (("sagan",), ("no-attention",))
    assert attention.percent < 0 and verdict(attention) == "helps"


def test_a_variant_that_is_told_of_the_class_is_compared_with_one_that_is_not(make_library, tmp_path):
    library = make_library(tmp_path, ["few"], pictures=False)
    for seed in (0, 1):
        told, not_told = (library.plan.runs[library.cell("few", name, seed).run] for name in ("no-attention", "sagan"))
        told.config["variant"] = not_told.config["variant"] | {"condition": "class"}
    [found] = single_ingredients(collect("few", library.plan, library.params, library.paths))
    assert (found.treated, found.control) == (("no-attention",), ("sagan",))
    assert (found.level, found.other) == ("class", "none")


def test_a_change_is_of_the_geometric_mean_and_either_way_round_the_same(records):
    suite = records("made-up")
    versus = against_baseline(suite)["no-attention"]
    [attention] = [c for c in single_ingredients(suite) if c.name == "attention"]
    logs = [np.log(list(suite.figures(name).values())).mean() for name in ("no-attention", "sagan")]
    assert versus.percent == pytest.approx(100 * math.expm1(logs[0] - logs[1]))
    assert (1 + versus.percent / 100) * (1 + attention.percent / 100) == pytest.approx(1)
    assert versus.answer.p_difference == attention.answer.p_difference
    assert versus.answer.effect.p == pytest.approx(2 / math.comb(10, 5))
    assert versus.low < versus.percent < versus.high


def test_the_interval_is_from_the_spread_within_all_variants(records):
    suite = records("eight")
    logs = [np.log(list(suite.figures(name).values())) for name in suite.variants]
    spread = math.sqrt(np.mean([np.var(y, ddof=1) for y in logs]))
    reach = stats.t.ppf(0.975, 4 * 7) * spread * math.sqrt(2 / 8)
    found = against_baseline(suite)["no-attention"]
    assert math.log1p(found.high / 100) - math.log1p(found.percent / 100) == pytest.approx(reach)


def test_few_seeds_a_side_decide_nothing_and_the_page_says_so(library, records):
    found = against_baseline(records("made-up"))
    assert verdict(found["two-d-steps"]) == "not decided"
    assert verdict(found["ttur-1"]) == "too few seeds" and found["ttur-1"].seeds == 3
    text = readme(analyse("few", library.plan, library.params, library.paths), {})
    assert "Two variants are compared from 5 seeds a side on." in text
    assert "at 14x14 instead of off: too few seeds" in text


def test_eight_seeds_are_sure_where_all_agree(report):
    text, records, folder = report()
    assert "**Attention, at 14x14 instead of off: helps.**" in text and "*(sagan against no-attention)*" in text
    assert verdict(against_baseline(records)["no-attention"]) == "hurts"
    table = pd.read_csv(folder / "effects.csv").set_index("name")
    assert table.loc["no-attention", "answer"] == "hurts" and table.loc["no-attention", "seeds"] == 8


def test_a_variant_does_not_win_by_losing_its_bad_runs(report):
    """Without attention the four survivors are far better; the other four diverged."""
    text, records, folder = report({"no-attention": 6.0}, [("no-attention", seed) for seed in range(4)])
    [attention] = [c for c in single_ingredients(records) if c.ingredient == "attention"]
    assert attention.low > 0 and verdict(attention) == "not decided"
    headline = next(line for line in text.splitlines() if line.startswith("- **Attention"))
    assert "at 14x14 instead of off: not decided" in headline
    assert "of finished runs: 4 were lost, and counts as the worst in p" in headline
    assert "Lowest mean FID: no-attention" in text and "; it lost 4 runs, and its survivors" in text
    for cells in (line.split("|") for line in text.splitlines() if line.startswith("| no-attention")):
        assert not any(cell.strip().startswith("**") for cell in cells)
    assert "| not decided (4 lost) |" in text
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["no-attention.diverged"] == 4 and summary["no-attention.fid_percent"] < 0


def test_a_variant_that_lost_all_its_runs_surely_hurts(report):
    _, records, _ = report(lost=[("no-attention", seed) for seed in range(8)])
    lost = against_baseline(records)["no-attention"]
    assert lost.percent is None and verdict(lost) == "hurts"


def test_a_variant_without_any_run_is_compared_with_nothing(make_library, tmp_path):
    library = make_library(tmp_path, ["empty"])
    found = against_baseline(collect("empty", library.plan, library.params, library.paths))
    assert found["dcgan"].answer is None and verdict(found["dcgan"]) == "no answer yet"


def test_attention_costs_what_the_steps_say(records):
    [attention] = [c for c in single_ingredients(records("made-up")) if c.name == "attention"]
    assert attention.cost.percent == pytest.approx(100 * (1000 / 820 - 1), abs=0.5)
    assert attention.cost.low < attention.cost.percent < attention.cost.high and attention.cost.doubt is None


def test_runs_on_other_hardware_are_not_compared_in_speed(make_library, tmp_path):
    library = make_library(tmp_path, ["few"])
    for seed in (0, 1):
        with edited(library.paths.run(library.cell("few", "no-attention", seed).run) / "run.json") as record:
            record["provenance"]["device"] = "cuda (Another)"
    [found] = single_ingredients(collect("few", library.plan, library.params, library.paths))
    assert found.cost is None


def test_settings_of_both_networks_are_one_ingredient(records):
    config = records("few").config("sagan")
    assert level_of(config, "attention") == "at 14x14"
    config = {**config, "discriminator": {**config["discriminator"], "attention_at": [], "power_iterations": 5}}
    assert level_of(config, "attention") == "G at 14x14, D off"
    assert level_of(config, "power iterations") == "G 1, D 5"
    assert level_of(config, "optimizer.betas") == "0.0, 0.9"
    assert level_of(config, "learning-rate ratio") == "4"


def test_own_code_is_one_ingredient_whatever_its_options():
    plain = {"objective": "hinge", "extension": None}
    one, other = ({**plain, "extension": {"file": "extensions/mine.py", "options": o}} for o in ({}, {"a": 1, "b": 2}))
    assert differing(plain, one) == differing(one, other) == {"extension"}
    assert level_of(plain, "own code") == "none" and level_of(other, "own code") == "extensions/mine.py, a 1, b 2"


def test_figures_that_are_not_finite_are_lost_and_too_few_images_are_not(make_library, tmp_path):
    library = make_library(tmp_path, ["few"], pictures=False)
    statuses = (
        "not finite: the features of 3 of 4000 generated images",
        "too few images: 9, and 128 features need 128",
    )
    cells = itertools.compress(library.plan.suites["few"], [1, 1, 0, 0])
    for cell, status in zip(cells, statuses, strict=True):
        with edited(library.paths.evaluation(cell.evaluation) / "metrics.json") as record:
            record["metrics"]["fid"] |= {"value": None, "status": status}
    rows = collect("few", library.plan, library.params, library.paths).rows
    assert [row.lost for row in rows] == [True, False, False, False]

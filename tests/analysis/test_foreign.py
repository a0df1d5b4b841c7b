"""Runs of any code base, from a CSV file."""

import math

import numpy as np
import pandas as pd
import pytest

from sagan.analysis.foreign import analyse_results, read_results
from sagan.analysis.words import MINUS
from sagan.comparing import compare_variants
from sagan.errors import UserError


def table(seeds=6, norms=("batch", "layer", "none"), **changes):
    """Attention costs half as much again and changes nothing; layer norm adds 10 %; four snapshots a run."""
    rng, rows = np.random.default_rng(0), []
    for attention in ("off", "on"):
        for norm in norms:
            for seed in range(seeds):
                noise = rng.normal(0, 0.01)
                for step in (100, 200, 400, 800):
                    rows.append(
                        {
                            "attention": attention,
                            "norm": norm,
                            "seed": seed,
                            "step": step,
                            "seconds": 0.01 * step * (1.5 if attention == "on" else 1.0),
                            "fid": math.exp(3 - 0.5 * math.log(step / 800) + 0.1 * (norm == "layer") + noise),
                        }
                    )
    return pd.DataFrame(rows).assign(**changes)


def at_end(**changes):
    return table(**changes).query("step == 800").drop(columns=["step", "seconds"])


def analysed(of, *factors, metric="fid", **columns):
    effects, effects.notes = analyse_results(of, "results.csv", factors, metric, **columns)
    return effects


def answers(found):
    return {(of.question, of.level): of.steps.effect and of.steps.effect.answer for of in found.questions}


def test_each_level_against_the_first_per_step_and_per_second():
    found = analysed(table(), "attention", "norm", time="seconds", step="step")
    assert answers(found)["attention", "on"] == "no difference worth having"
    assert answers(found)["norm", "layer"] == "hurts" and ("norm", "none") in answers(found)
    attention = found.questions[0]
    assert attention.time.effect.answer == "hurts" and attention.cost.ratio == pytest.approx(1.5)
    assert attention.time.effect.estimate == pytest.approx(100 * (1.5**0.5 - 1), abs=3)
    assert {row.given for row in found.rows if row.question == "attention"} >= {"norm=batch", "norm=none"}


def test_missing_cells_are_said_and_leave_the_rest():
    rows = at_end()
    found = analysed(rows[~((rows["attention"] == "on") & (rows["norm"] == "layer"))], "attention", "norm")
    assert answers(found)["norm", "layer"] == "hurts" and answers(found)["attention", "on"]
    assert found.notes == [
        "no run of attention=on, norm=layer: settings of the other factors without a pair are left out"
    ]


@pytest.mark.parametrize("nothing", [np.nan, np.inf])
def test_rows_without_a_figure_are_left_out_and_counted(nothing):
    rows = at_end()
    rows.loc[rows.index[:2], "fid"] = nothing
    found = analysed(rows, "attention", "norm")
    assert found.notes == ["2 rows without a figure left out"]
    assert found.questions[0].steps.effect.runs == 34


@pytest.mark.parametrize(
    ("seeds", "factors", "is_enough"),
    [
        (1, ["attention", "norm"], False),
        (2, ["attention", "norm"], True),
        (2, ["attention"], False),
        (3, ["attention"], True),
    ],
)
def test_one_run_a_cell_says_nothing_nor_do_two_of_two_cells(seeds, factors, is_enough):
    rows = at_end(seeds=seeds, norms=("batch", "layer")[: len(factors)])
    found = analysed(rows, *factors).questions[0]
    assert (found.steps.effect is not None, found.steps.why) == (is_enough, None if is_enough else "too few runs")
    assert not is_enough or analysed(rows.assign(fid=12.3), *factors).questions[0].time.why == "no spread"


def test_runs_of_other_lengths_are_compared_at_the_last_step_that_all_have():
    data = table(norms=("batch",))
    short = data[(data["attention"] == "on") | (data["step"] < 800)]
    found, notes = analyse_results(short, "r.csv", ["attention"], "fid", "seconds", "step", "seed")
    assert notes == ["compared at step 400, the last at which all runs have a figure"]
    assert found.questions[0].steps.effect.budget == 400 and abs(found.questions[0].steps.effect.estimate) < 5
    apart = data[(data["attention"] == "on") == (data["step"] < 300)]
    with pytest.raises(UserError, match=r"r\.csv: no step at which all runs have a figure under 'fid'"):
        analyse_results(apart, "r.csv", ["attention"], "fid", "seconds", "step", "seed")


def test_a_metric_of_which_more_is_better_is_a_difference():
    rows = at_end().assign(accuracy=lambda of: 1 - of["fid"] / 100)
    found = analysed(rows, "norm", metric="accuracy", lower_is_better=False)
    layer = found.questions[0].steps.effect
    assert (layer.answer, layer.scale) == ("hurts", "difference") and layer.estimate == pytest.approx(-0.02, abs=0.01)
    assert f"accuracy {MINUS}0.0" in found.sentences()[0]


def test_levels_are_as_the_file_has_them_and_the_one_that_others_replace_may_be_named(tmp_path):
    """Numbers also beside an empty field, which makes floats of a column of integers."""
    at_end().assign(depth=lambda of: of["norm"].map({"layer": "4", "batch": "2"})).to_csv(tmp_path / "a.csv")
    found = analysed(read_results(tmp_path / "a.csv"), "depth=4")
    assert [(of.level, of.instead_of) for of in found.questions] == [("2", "4")]


@pytest.mark.parametrize(
    ("change", "columns", "message"),
    [
        ({}, {"factors": ("atention",)}, r"results\.csv: no column 'atention', did you mean 'attention'\?"),
        ({"norm": "batch"}, {"factors": ("norm",)}, r"norm has one level \(batch\)"),
        ({"fid": "good"}, {}, r"fid, line 2: 'good' is no number"),
        ({"fid": np.inf}, {}, r"no figure under 'fid'"),
        ({"loss": 1.0}, {"metric": "loss"}, r"--metric loss: say --lower-is-better or --higher-is-better"),
        (
            {"device": "a"},
            {"factors": ("device",)},
            r"column 'device' cannot be a factor: the analysis uses that name; rename it",
        ),
        ({}, {"factors": ("norm=nne",)}, r"--factor norm=nne: no such level, did you mean 'none'\?"),
        ({"seed": 0}, {"step": "step"}, r"two rows of one run at step 100"),
        ({"seed": None}, {"step": "step"}, r"--run COLUMN tells runs apart"),
    ],
)
def test_what_is_wrong_is_one_line(change, columns, message):
    settings = {"factors": ("attention",), "metric": "fid"} | columns
    with pytest.raises(UserError, match=message):
        analyse_results(table(seeds=2).assign(**change).dropna(axis=1, how="all"), "results.csv", **settings)


def test_a_file_that_is_none_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_results(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(UserError, match="no CSV"):
        read_results(tmp_path / "empty.csv")
    (tmp_path / "words.csv").write_text("norm,fid\nnone,1\nNA,2\n,nan\n")
    assert read_results(tmp_path / "words.csv")["norm"].tolist()[:2] == ["none", "NA"]


def test_two_variants_of_a_table_of_runs():
    """As an MLflow experiment gives them: settings are words, figures numbers."""
    rows = at_end().assign(variant=lambda of: of["norm"], lr="0.1", run=lambda of: [f"r{i}" for i in range(len(of))])
    rows.loc[rows["variant"] == "layer", "lr"] = "0.2"
    lines = compare_variants(rows.drop(columns=["attention"]), "batch", "layer", "fid", "mlflow")
    assert "lr: 0.1, 0.2" in lines and lines[-1].startswith("variant, layer instead of batch: per step hurts: FID +1")
    with pytest.raises(UserError, match=r"no run of variant 'layr', did you mean 'layer'"):
        compare_variants(rows, "batch", "layr", "fid", "mlflow")

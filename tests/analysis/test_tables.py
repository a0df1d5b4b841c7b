"""Records to tidy tables, and tables to files and back."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from sagan.analysis.build import analyse, read_analysis, read_report, summary, write_analysis
from sagan.analysis.design import design_of
from sagan.analysis.tables import collect, read_effects, read_suite, read_tables
from sagan.errors import UserError
from sagan.params import loading
from sagan.params.loading import load_params
from tests.report.conftest import PARAMS
from tests.report.outcomes import edited


def tables(library, suite="made-up"):
    return read_suite(suite, library.plan, library.params, library.paths)[2]


@pytest.fixture(scope="module")
def asking(library):
    """The library, whose factorial suite asks about both factors."""
    suites = library.params.suites
    asks = suites["factorial"].model_copy(update={"questions": ["attention", "sn"]})
    return replace(library, params=library.params.model_copy(update={"suites": {**suites, "factorial": asks}}))


@pytest.fixture(scope="module")
def made_up(library):
    return tables(library).runs.set_index(["variant", "seed"])


def changed_record(library, change):
    """The row of a run of suite `few` after a change of its metrics.json."""
    with edited(library.paths.evaluation(library.cell("few", "sagan", 1).evaluation) / "metrics.json") as record:
        change(record)
    runs = tables(library, "few").runs
    return runs[(runs["variant"] == "sagan") & (runs["seed"] == 1) & (runs["space"] == "classifier")].iloc[0]


def test_status_tells_missing_diverged_and_unevaluated_apart(made_up):
    assert made_up.loc[("ttur-1", 2), "status"] == "missing" and pd.isna(made_up.loc[("ttur-1", 2), "seconds"])
    assert made_up.loc[("ttur-1", 4), "status"] == "missing" and made_up.loc[("ttur-1", 4), "seconds"] > 0
    assert made_up.loc[("dcgan", 3), ["status", "lost", "diverged_at"]].tolist() == ["diverged", 1, 230]
    assert made_up.loc[("sagan", 0), ["status", "lost"]].tolist() == ["measured", 0]
    assert made_up.index[made_up["collapsed"] == 1].tolist() == [("sn-d-only", 4)]


def end_far_from_its_best(record):
    record["curve"][-2]["fid"] = 0.4 * record["curve"][-1]["fid"]


def end_no_better_than_untrained(record):
    """The untrained generator of seed 0 stands for its recipe."""
    record["untrained"]["fid"]["value"] = None
    record["metrics"]["fid"]["value"] = 400.0


def fid_is(**changes):
    return lambda record: record["metrics"]["fid"].update(changes)


@pytest.mark.parametrize(
    ("change", "fate"),
    [
        (fid_is(value=None, status="too few images: 100, and 2048 features need 2048"), [0, 0, 0]),
        (fid_is(value=None, status="features are not finite"), [1, 0, 0]),
        (fid_is(status="the generator is constant"), [0, 1, 1]),
        (end_far_from_its_best, [0, 0, 1]),
        (end_no_better_than_untrained, [0, 0, 1]),
    ],
)
def test_a_run_is_lost_collapsed_or_went_wrong(make_library, tmp_path, change, fate):
    row = changed_record(make_library(tmp_path, ["few"], pictures=False), change)
    assert row[["lost", "collapsed", "went_wrong"]].tolist() == fate and row["fid_untrained"] in (210.0, 211.0)


def test_no_factor_may_be_named_as_a_column(asking):
    found = tables(asking, "factorial")
    columns = {*found.runs, *found.snapshots} - {"attention", "sn"}
    assert {name for name in columns if not name.startswith(("gamma.", "entropy"))} <= set(loading._COLUMNS)


def test_a_grids_runs_have_their_levels(asking):
    found = tables(asking, "factorial")
    for table in (found.runs, found.snapshots):
        assert set(map(tuple, table[["attention", "sn"]].to_numpy())) == {
            ("on", "gd"), ("on", "d"), ("off", "gd"), ("off", "d"),
        }  # fmt: skip
    assert list(found.runs.columns[:5]) == ["variant", "seed", "attention", "sn", "space"]


def test_seconds_between_log_lines_are_interpolated(library):
    row = collect("made-up", library.plan, library.params, library.paths)[0]
    assert row.at_step(0) == {"images": 0, "seconds": 0, "step_seconds": 0}
    expected = {"images": 480, "seconds": 480 / 820, "step_seconds": 0.9 * 480 / 820}
    assert row.at_step(15) == pytest.approx(expected)


def test_copies_are_told_only_where_an_image_can_be_nearer_than_held_out_ones(make_library, tmp_path):
    library, told = make_library(tmp_path, ["few"], pictures=False), []
    for held_out in ({"held_out_p01": 0.5}, {"held_out_p01": 0.0}):
        told.append(changed_record(library, lambda record, more=held_out: record["memorisation"].update(more)))
    assert told[0]["nearer_than_held_out"] == 0.01 and pd.isna(told[1]["nearer_than_held_out"])


def test_figures_of_another_classifier_than_the_references_do_not_count(make_library, tmp_path):
    library = make_library(tmp_path, ["few"], pictures=False)
    reference = library.paths.reference(next(iter(library.plan.references))) / "reference.json"
    reference.write_text(json.dumps(json.loads(reference.read_text()) | {"weights_digest": "1" * 64}))
    for cell, digest in zip(library.plan.suites["few"], "1211", strict=True):
        with edited(library.paths.evaluation(cell.evaluation) / "metrics.json") as record:
            record |= {"curve_protocol": {"weights_digest": digest * 64}}
    found = analyse("few", library.plan, library.params, library.paths)
    runs = found.tables.runs[found.tables.runs["space"] == "classifier"]
    assert runs["status"].tolist() == ["measured", "missing", "measured", "measured"]
    [told] = [line for line in found.report.provenance.warnings if "other weights" in line]
    assert told.startswith("sagan, seed 1, classifier: measured with other weights (222222222222) than the reference")
    assert f"delete results/evaluations/{library.plan.suites['few'][1].evaluation} and run" in told


@pytest.mark.parametrize("suite", ["factorial", "made-up", "few", "empty"])
def test_a_report_is_the_same_from_its_records_and_from_its_tables(asking, tmp_path, suite):
    found = analyse(suite, asking.plan, asking.params, asking.paths)
    write_analysis(found, tmp_path)
    again = read_analysis(tmp_path)
    assert read_report(tmp_path) == found.report == again.report
    assert read_effects(tmp_path) == found.effects == again.effects
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_analysis(again, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert {"effects.csv", "results.csv", "curves.csv", "training.csv", "report.json", "summary.json"} == files.keys()


def test_records_of_quiet_runs_beside_a_report_say_what_a_step_costs(make_library, tmp_path, capsys):
    """All of their rounds, of which there may be more than seeds; and the report keeps them."""
    library = make_library(tmp_path, ["few"], pictures=False)
    folder = library.paths.report("few")
    folder.mkdir(parents=True)
    seconds = {"sagan": (1, 1, 1), "no-attention": (1, 1, 8)}
    # What stands before a key's hash is a label.
    keys = {cell.variant: f"other-{cell.run.rpartition('-')[2]}" for cell in library.plan.suites["few"]}
    rows = [f"{keys[name]},{place},{of}" for name, rounds in seconds.items() for place, of in enumerate(rounds)]
    (folder / "costs.csv").write_text("\n".join(["run,seed,step_seconds", *rows]))
    found = analyse("few", library.plan, library.params, library.paths)
    assert found.report.pairs[0].cost.ratio == pytest.approx(2)
    write_analysis(found, folder)
    assert read_analysis(folder).report == found.report
    # Of runs that the suite has no more.
    (folder / "costs.csv").write_text("\n".join(["run,seed,step_seconds", *(row.replace("-", "-0") for row in rows)]))
    assert read_analysis(folder).report.pairs[0].cost.ratio == pytest.approx(0.82, rel=0.01)
    (folder / "costs.csv").write_text("run,seed,seconds\nx,0,1\n")
    assert read_analysis(folder).report.pairs[0].cost.ratio == pytest.approx(0.82, rel=0.01)
    assert "costs.csv: has no column 'step_seconds', and does not count" in capsys.readouterr().err
    for broken in ("", "run,seed,step_seconds\nx,0,1\nx,0,1,2\n", "run,seed,step_seconds\nx,0,soon\n"):
        (folder / "costs.csv").write_text(broken)
        with pytest.raises(UserError, match=r"costs\.csv: not a valid table .+; correct it"):
            read_analysis(folder)


def test_levels_that_look_like_nothing_are_words(tmp_path):
    (tmp_path / "results.csv").write_text("variant,seed,norm,space\na,0,none,s\nb,0,NA,s\nc,0,,s\n")
    for name in ("curves.csv", "training.csv"):
        (tmp_path / name).write_text("variant,seed,norm,space\n")
    runs = read_tables(tmp_path, ["norm"]).runs
    assert runs["norm"].tolist()[:2] == ["none", "NA"] and pd.isna(runs["norm"][2])


def test_a_suites_questions_are_answered_from_its_records_and_the_summary_is_flat_and_short(asking):
    found = analyse("factorial", asking.plan, asking.params, asking.paths)
    attention = found.report.questions[0]
    assert (attention.instead_of, attention.steps.effect.answer) == ("off", "helps")
    assert found.design.factors["attention"].title == "attention" and found.report.seeds == 4
    assert found.design.factors["sn"].title == "spectral norm in the generator"
    assert list(found.design.factors["sn"].levels) == ["d", "gd"], "more of it instead of less"
    assert attention.cost.ratio == pytest.approx(1000 / 820, rel=0.01)
    assert {"variant", "attention", "sn"} == {row.question for row in found.effects}
    flat = summary(found.report)
    assert all(isinstance(value, int | float) for value in flat.values()) and len(flat) <= 12
    assert flat["runs.measured"] == 16 and flat["grid-on-gd.fid"] < flat["grid-off-gd.fid"]
    assert flat["question/attention.percent_per_step"] < 0


def test_a_factor_of_training_is_in_the_recipes(tmp_path):
    text = PARAMS.replace(
        "suites:\n",
        "  sizes: {like: sagan, grid: {batch: {small: {}, large: {training: {batch_size: 64}}}}}\nsuites:\n"
        '  training: {<<: &t {title: "", dataset: digits, seeds: 2, training: {steps: 400, batch_size: 32, '
        "ema: {decay: 0.99}, snapshots: 2}, evaluation: {extractor: classifier, split: train, samples: 4000, "
        "curve_samples: 1000}}, variants: [sizes], baseline: sagan, questions: [batch]}\n",
        1,
    )
    (tmp_path / "params.yaml").write_text(text)
    params = load_params(tmp_path / "params.yaml")
    plan = SimpleNamespace(suites={"training": [SimpleNamespace(variant=name) for name in params.rows["training"]]})
    design = design_of("training", plan, params)
    assert design.variants["sizes-large"].differs == {"training.batch_size": "64"}
    assert design.factors["batch"].levels == {"small": "32", "large": "64"}

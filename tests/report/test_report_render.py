import json
import shutil

import pandas as pd
import pytest

from sagan.analysis.build import analyse
from sagan.errors import UserError
from sagan.report import render, tables
from sagan.report.document import CHARTS, readme
from sagan.report.style import LIGHT
from tests.report.outcomes import contents, edited


def test_same_records_give_the_same_bytes_elsewhere(make_library, tmp_path):
    reports = []
    for name in ("here", "there"):
        library = make_library(tmp_path / name, ["few"])
        reports.append(contents(render("few", library.plan, library.params, library.paths).parent))
    assert reports[0].keys() == reports[1].keys()
    assert [name for name in reports[0] if reports[0][name] != reports[1][name]] == []
    assert not any(str(tmp_path).encode() in data for data in reports[0].values())


def test_every_cell_is_a_row_whatever_became_of_it(rendered):
    results = pd.read_csv(rendered("made-up") / "results.csv")
    assert len(results) == 35
    assert results["status"].value_counts().to_dict() == {"measured": 31, "diverged": 2, "missing": 2}
    assert results.set_index(["variant", "seed"]).loc[("sn-d-only", 4), "collapsed"] == 1
    assert pd.isna(results.set_index(["variant", "seed"]).loc[("dcgan", 3), "fid"])


def test_summary_is_a_flat_metric_of_numbers(rendered):
    summary = json.loads((rendered("made-up") / "summary.json").read_text())
    assert all(isinstance(value, int | float) for value in summary.values())
    assert summary["dcgan.diverged"] == 2
    assert summary["sagan.fid"] == pytest.approx(13.788)
    assert summary["noise_floor.fid"] == 0.9


def test_a_further_space_has_a_table_a_file_and_names_of_its_own(rendered):
    folder = rendered("few")
    first, other = (pd.read_csv(folder / name) for name in ("results.csv", "results-inception.csv"))
    assert other["fid"].tolist() == pytest.approx((4 * first["fid"]).tolist())
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["inception/sagan.fid"] == pytest.approx(4 * summary["sagan.fid"])
    assert summary["inception/noise_floor.fid"] == 3.1
    assert "inception/sagan.images_per_second" not in summary and "inception/sagan.missing" not in summary
    text = (folder / "README.md").read_text()
    rank, space = text.index("Lowest mean FID: sagan"), text.index("## In other feature spaces")
    assert "13.78" not in text[space : text.index("## Claims")] and rank < space
    assert "fid4000_train.inception" in text[text.index("## Protocol") :]


def test_samples_by_class_are_shown_with_the_names_of_their_rows(make_library, tmp_path):
    library = make_library(tmp_path, ["few"])
    for seed in (0, 1):
        cell = library.cell("few", "sagan", seed)
        library.plan.runs[cell.run].config["image"]["classes"] = ["cat", "dog"]
        folder = library.paths.evaluation(cell.evaluation)
        shutil.copy(folder / "samples.png", folder / "samples-by-class.png")
    readme_path = render("few", library.plan, library.params, library.paths)
    assert "Rows, from the top: sagan: cat, dog." in readme_path.read_text()
    assert (readme_path.parent / "figures" / "samples-by-class.png").exists()


def test_curves_have_the_seconds_of_their_steps(rendered):
    curves = pd.read_csv(rendered("made-up") / "curves.csv").set_index(["variant", "seed", "step"])
    assert curves.loc[("sagan", 0, 0), "seconds"] == 0
    assert curves.loc[("sagan", 0, 400), "images"] == 400 * 32
    assert curves.loc[("sagan", 0, 400), "seconds"] == pytest.approx(400 * 32 / 820)
    assert curves.loc[("sagan", 0, 400), ["recall", "diversity"]].tolist() == [0.4, 0.9]


@pytest.fixture
def few_images(make_library, tmp_path):
    """The suite "few" where FID at snapshots, and every IS, could not be measured; nor the noise floor."""
    library = make_library(tmp_path, ["few"], pictures=False)
    for cell in library.plan.suites["few"]:
        with edited(library.paths.evaluation(cell.evaluation) / "metrics.json") as record:
            for point in record["curve"]:
                point |= {"fid": None, "status": "too few images: 20, and 128 features need 128"}
            record["metrics"]["is"] |= {"value": None, "status": "refused: no classifier layer"}
    with edited(library.paths.reference(next(iter(library.plan.references))) / "reference.json") as record:
        record["floor"] |= {"fid": None, "what": "one half of the train split against the other, 60 each"}
        record |= {"feature_dim": 128}
    return library


def test_what_could_not_be_measured_is_said_with_the_reason(few_images):
    text = render("few", few_images.plan, few_images.params, few_images.paths).read_text()
    assert "*Not measured: IS (refused: no classifier layer).*" in text
    assert "no best snapshot: too few images: 20, and 128 features need 128." in text
    assert text.index("## Claims") < text.index("## Training curves") < text.index("fid-against-cost.png")


def test_recall_and_diversity_are_kept_where_there_is_no_fid(few_images):
    _, lines = tables.curves(analyse("few", few_images.plan, few_images.params, few_images.paths))
    assert len(lines) == 4 * 5 and {line["fid"] for line in lines} == {None}
    assert [line["recall"] for line in lines[:2]] == [0.0, 0.1] and {line["diversity"] for line in lines} == {0.9}


def test_summary_leaves_out_what_was_not_measured(rendered):
    summary = json.loads((rendered("empty") / "summary.json").read_text())
    assert set(summary.values()) == {0, 3, 0.9}


def test_nothing_on_disk_is_a_report_that_says_so(rendered):
    text = (rendered("empty") / "README.md").read_text()
    assert "No run gave a figure" in text
    assert len(pd.read_csv(rendered("empty") / "results.csv")) == 6


def test_a_report_of_measured_runs_is_not_emptied_where_none_is_measured_here(make_library, tmp_path):
    library = make_library(tmp_path, ["few"])
    folder = render("few", library.plan, library.params, library.paths).parent
    before = contents(folder)
    shutil.rmtree(tmp_path / "results")
    with pytest.raises(UserError, match=r"4 measured runs.*`dvc repro`.*delete the folder"):
        render("few", library.plan, library.params, library.paths)
    assert contents(folder) == before
    shutil.rmtree(folder)
    assert "No run gave a figure" in render("few", library.plan, library.params, library.paths).read_text()


def test_runs_from_different_machines_are_said_to_be(make_library, tmp_path):
    library = make_library(tmp_path, ["few"], pictures=False)

    def text():
        return readme(analyse("few", library.plan, library.params, library.paths), {})

    assert "from different machines" not in text()
    with edited(library.paths.run(library.cell("few", "sagan", 1).run) / "run.json") as record:
        record["provenance"]["device"] = "cpu (Made-up 5000)"
    told = "(cpu (Made-up 3000), 1 thread(s) (3 runs); cpu (Made-up 5000), 1 thread(s) (1 runs))"
    assert f"- **The runs are from different machines** {told}: a seed gives other weights" in text()


@pytest.mark.parametrize("lost", ["diverged", "not finite"])
def test_a_suite_without_a_single_figure_is_reported(make_library, tmp_path, lost):
    library = make_library(tmp_path, ["few"], pictures=False)
    for cell in library.plan.suites["few"]:
        with edited(library.paths.evaluation(cell.evaluation) / "metrics.json") as record:
            if lost == "not finite":
                for metric in (*record["metrics"].values(), record["untrained"]["fid"]):
                    metric["value"] = None
            else:
                record |= {"status": lost, "metrics": {}, "attention": {}, "curve": []}
    assert "No run gave a figure" in readme(analyse("few", library.plan, library.params, library.paths), {})


@pytest.mark.parametrize("gone", ["runs", "logs", "reference", "evaluations"])
def test_what_is_not_on_disk_is_left_out(make_library, tmp_path, gone):
    library = make_library(tmp_path, ["few"], pictures=False)
    cells = library.plan.suites["few"]
    folders = {
        "runs": [library.paths.run(cell.run) for cell in cells],
        "evaluations": [library.paths.evaluation(cell.evaluation) for cell in cells],
        "reference": [library.paths.reference(key) for key in library.plan.references],
    }
    for folder in folders.get(gone, []):
        shutil.rmtree(folder)
    if gone == "logs":
        for folder in folders["runs"]:
            (folder / "log.jsonl").unlink()
    records = analyse("few", library.plan, library.params, library.paths)
    drawn = {name: "" for name, draw in CHARTS.items() if draw(records, LIGHT)}
    assert ("losses" in drawn) == (gone not in ("runs", "logs"))
    assert ("fid-by-variant" in drawn) == (gone != "evaluations")
    assert f"| no-attention | {0 if gone == 'evaluations' else 2} of 2" in readme(records, drawn)
    assert len(tables.results(records.space)[1]) == 4


def test_unknown_suite_and_broken_record_are_named(make_library, tmp_path, capsys):
    library = make_library(tmp_path, ["few"])
    with pytest.raises(UserError, match="no suite 'nope'"):
        render("nope", library.plan, library.params, library.paths)
    record = library.paths.run(library.cell("few", "sagan", 0).run) / "run.json"
    record.write_text("{")
    render("few", library.plan, library.params, library.paths)
    assert f"{record}: no whole record" in capsys.readouterr().err


def test_effects_shown_stand_in_a_table_with_all_their_digits(rendered):
    folder = rendered("made-up")
    table = pd.read_csv(folder / "effects.csv").set_index(["table", "name"])
    row = table.loc[("baseline", "no-attention")]
    text = (folder / "README.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("| no-attention | **+"))
    assert f"{row['fid_percent']:.1f} %" in line and f"{row['p_holm']:.2g}" in line and row["answer"] == "hurts"
    assert table.loc["baseline"].index.size == 6


def test_two_snapshots_are_no_curve(make_library, tmp_path):
    library = make_library(tmp_path, ["few"])
    for run in library.plan.runs.values():
        run.config["training"]["snapshots"] = [0, 400]
    page = render("few", library.plan, library.params, library.paths)
    drawn = {path.stem for path in (page.parent / "figures").iterdir()}
    assert not drawn & {"fid-against-step", "fid-against-time", "film"} and {"fid-against-cost", "samples"} <= drawn
    assert "too few points for a curve" in page.read_text()

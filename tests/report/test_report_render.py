"""A report from records: what its tables and its page say, and that nothing on disk is shown as nothing."""

import re
import shutil
from dataclasses import replace
from unittest.mock import Mock

import pandas as pd
import pytest
from PIL import Image

from sagan.analysis.build import current, write_analysis
from sagan.analysis.model import Answer, Effect
from sagan.analysis.words import title
from sagan.report import document, render, render_index
from sagan.report.charts import LIGHT, themed, training
from sagan.report.document import BEGIN, END, environment, put_in_place, readme, render_front
from tests.analysis.made import design
from tests.report.conftest import PARAMS, found, report
from tests.report.outcomes import FLOOR, contents, edited


def first_screen(text):
    return re.split(r"\n## |\n<details>", text)[0]


def test_same_records_give_the_same_bytes_elsewhere(make_library, tmp_path):
    reports = [contents(report(make_library(tmp_path / name, ["few"]))) for name in ("here", "there")]
    assert reports[0] == reports[1]
    assert not any(str(tmp_path).encode() in data for data in reports[0].values())


def test_a_report_is_made_anew_of_its_tables_where_the_runs_are_elsewhere(make_library, tmp_path):
    library = make_library(tmp_path, ["factorial"])
    folder = report(library, "factorial")
    before = contents(folder)
    shutil.rmtree(tmp_path / "results")
    render(current("factorial", library.params, library.paths), library.paths)
    assert contents(folder) == before
    assert any(name.startswith("figures/samples") for name in before)


def test_the_first_screen_answers_each_question_per_step_and_per_second(rendered, library):
    text = (rendered("factorial") / "README.md").read_text()
    screen = first_screen(text)
    analysis = found(library, "factorial")
    for question in analysis.report.questions:
        [line] = [line for line in screen.splitlines() if line.startswith(f"| {title(question, analysis.design)} |")]
        _, _, steps, time, cost, _ = line.split("|")
        assert question.steps.effect.answer in steps and question.time.effect.answer in time
        assert f"{abs(question.steps.effect.estimate):.1f} %" in steps
        assert f"{question.cost.ratio:.2f} times" in cost
    for said in ("digits", "400 steps", "4 seeds", "a minus is better", "cpu (Made-up 3000)", "figures/answers.png"):
        assert said in screen


def test_every_cell_is_a_row_whatever_became_of_it(rendered, library):
    results = pd.read_csv(rendered("made-up") / "results.csv")
    assert results["status"].value_counts().to_dict() == {"measured": 31, "diverged": 2, "missing": 2}
    text = (rendered("made-up") / "README.md").read_text()
    assert "**31 of 35 runs were measured**; 2 diverged, 1 collapsed, 0 ended badly, 2 missing" in first_screen(text)
    assert "- dcgan, seed 3: diverged at step 230" in text and "- ttur-1, seed 2: missing" in text
    assert "- sn-d-only, seed 4: collapsed at step 400; FID 61.50" in text
    # It asks nothing, so that variants are told against the baseline; and what a user writes stays text.
    assert re.search(r"\| no-attention instead of sagan \| \*\*hurts\*\*: \+\d", first_screen(text))
    assert "a name with \\| and \\<b\\>" in text
    assert "<b>" not in (library.paths.pages("made-up") / "report.html").read_text()


@pytest.mark.parametrize(("high", "told"), [(0.2, ", deciding interval \N{MINUS SIGN}9.8 to +0.2"), (-0.2, "")])
def test_what_is_not_decided_though_its_95_interval_is_clear_of_0_shows_the_one_that_decides(high, told):
    answer = "not decided" if high > 0 else "helps"
    interval = {"low": -8.5, "high": -1.1, "decide_low": -9.8, "decide_high": high, "answer": answer}
    what = {"question": "a", "level": "on", "instead_of": "off", "metric": "fid", "space": "x", "at": "steps"}
    effect = Effect(**what, **interval, budget=100, scale="ratio", estimate=-4.9)
    text = environment().get_template("macros.md.j2").module.verdict(Answer(effect=effect))
    assert text.replace("*", "") == f"{answer}: \N{MINUS SIGN}4.9 % (\N{MINUS SIGN}8.5 to \N{MINUS SIGN}1.1){told}"


def test_other_metrics_and_features_stand_beside(rendered, library):
    text = (rendered("few") / "README.md").read_text()
    assert "All metrics in features of inception" in text
    spaces = {space.name: space.means["sagan"]["fid"].mean for space in found(library, "few").report.spaces}
    assert spaces["inception"] == pytest.approx(4 * spaces["classifier"])
    assert f"| sagan | {spaces['inception']:.2f} |" in text


def test_real_images_stand_beside_as_many_generated_ones(rendered, library):
    text, report = (rendered("few") / "README.md").read_text(), found(library, "few").report
    best = report.ranking.standings[0].variant
    mean = report.spaces[0].means[best]["fid"].mean
    assert f"| *real images (500 test)* | {FLOOR + 1:.2f} |" in text
    assert f"| *{best}, as many images* | {mean + 2:.2f} | \N{EN DASH} |" in text
    assert text.count("as many images*") == 1, "not in the space in which nothing was matched"


def test_what_could_not_be_measured_is_said_with_the_reason(make_library, tmp_path):
    library = make_library(tmp_path, ["few"], pictures=False)
    for cell in library.plan.suites["few"]:
        with edited(library.paths.evaluation(cell.evaluation) / "metrics.json") as record:
            record["metrics"]["is"] |= {"value": None, "status": "refused: no classifier layer"}
            record["metrics"]["recall"]["value"] = 0.001
    text = readme(found(library), {})
    assert "Not measured: IS (refused: no classifier layer)." in text
    assert "recall ↑<br>uninformative at this budget" in text


def test_a_page_tells_what_there_is_and_at_which_alpha(library):
    analysis = found(library, "factorial")
    [space], [power], design = analysis.report.spaces, analysis.report.power, analysis.design
    means = space.means | {next(iter(space.means)): {}}
    changed = {"spaces": [space.model_copy(update={"means": means})], "power": [power | {"finds": None}]}
    changed |= {"design": design.model_copy(update={"alpha": 0.1})}
    text = readme(replace(analysis, report=analysis.report.model_copy(update=changed)), {})
    assert "<summary>All metrics" in text and "4 of 5 cases" not in text and "with 90 % the best one" in text


def test_samples_by_class_are_shown_with_the_names_of_their_rows(make_library, tmp_path):
    library = make_library(tmp_path, ["few"])
    for seed in (0, 1):
        cell = library.cell("few", "sagan", seed)
        with edited(library.paths.run(cell.run) / "run.json") as record:
            record["config"]["image"]["classes"] = ["cat", "dog"]
        folder = library.paths.evaluation(cell.evaluation)
        shutil.copy(folder / "samples.png", folder / "samples-by-class.png")
    folder = report(library)
    assert "sagan: cat, dog." in (folder / "README.md").read_text()
    assert (folder / "figures" / "samples-by-class.png").exists()


def test_a_broken_picture_costs_that_picture_alone(make_library, tmp_path, capsys):
    library = make_library(tmp_path, ["few"])
    pictures = [library.paths.evaluation(cell.evaluation) / "samples.png" for cell in library.plan.suites["few"]]
    for picture in pictures[:2]:
        picture.write_bytes(picture.read_bytes()[:200])
    folder = report(library)
    assert capsys.readouterr().err.count("samples.png: broken (OSError), and left out") >= 1
    with Image.open(folder / "figures" / "samples.png") as sheet:
        assert sheet.height < 2 * 448  # the other variant's


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        ({"status": "diverged", "metrics": {}, "attention": {}, "curve": []}, "No run gave a figure"),
        ({"metrics": {"fid": {"value": None}}, "untrained": {}}, "without a finite figure"),
    ],
)
def test_a_suite_without_a_single_figure_is_reported(make_library, tmp_path, lost, told):
    library = make_library(tmp_path, ["few"], pictures=False)
    for cell in library.plan.suites["few"]:
        with edited(library.paths.evaluation(cell.evaluation) / "metrics.json") as record:
            record |= lost
    assert told in readme(found(library), {})


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
    for cell in cells if gone == "logs" else []:
        (library.paths.run(cell.run) / "log.jsonl").unlink()
    analysis = found(library)
    with themed(LIGHT):
        panels = {ax.get_title(loc="left") for ax in training(analysis, LIGHT).axes}
    assert ("generator's loss" in panels) == (gone not in ("runs", "logs"))
    assert ("FID" in panels) == (gone != "evaluations")
    assert ("No run gave a figure" if gone == "evaluations" else "| 2 of 2 |") in readme(analysis, {})


def test_runs_from_different_machines_are_said_to_be(make_library, tmp_path):
    library = make_library(tmp_path, ["few"], pictures=False)
    assert "from different machines" not in readme(found(library), {})
    with edited(library.paths.run(library.cell("few", "sagan", 1).run) / "run.json") as record:
        record["provenance"]["device"] = "cpu (Made-up 5000)"
    assert "(cpu (Made-up 3000), 1 thread(s); cpu (Made-up 5000), 1 thread(s))" in readme(found(library), {})


def test_what_is_not_ranked_is_shown_and_compared_nowhere(make_library, tmp_path):
    text = PARAMS.replace("\nsuites:", "\n  matched: {like: sagan, ranked: false, n_dis: 3}\nsuites:")
    text = text.replace("variants: [sagan, no-attention]", "variants: [sagan, no-attention, matched]")
    library = make_library(tmp_path, ["few"], {"matched": 3.0}, pictures=False, text=text)
    page = readme(found(library), {})
    [line] = [line for line in page.splitlines() if line.startswith("| matched |") and "2 of 2" in line]
    assert "not ranked" in line
    assert "matched" not in first_screen(page)
    assert found(library).report.ranking.standings[0].variant == "sagan"


def test_a_level_at_which_an_effect_is_not_decided_shows_the_interval_that_says_so():
    row = Effect(
        **{"question": "attention", "level": "on", "instead_of": "off", "given": "norm=batch", "metric": "fid"},
        **{"space": "digits", "at": "steps", "budget": 800, "scale": "ratio", "answer": "not decided", "runs": 8},
        **{"estimate": 4.4, "low": 1.0, "high": 7.9, "decide_low": -1.9, "decide_high": 11.0},
    )
    one = {"question": "attention", "level": "on", "by": "norm"}
    dependence = environment().get_template("macros.md.j2").module.dependence
    told = dependence(one, design(), [row])
    assert "+4.4 % (+1.0 to +7.9) where it is batch (not decided: deciding interval \N{MINUS SIGN}1.9 to +11.0)" in told
    clear = dependence(one, design(), [row.model_copy(update={"low": -1.0})])
    assert "where it is batch (not decided)" in clear


def test_an_interrupted_report_leaves_the_former_one_whole(make_library, tmp_path, monkeypatch):
    library = make_library(tmp_path, ["few"])
    folder = report(library)
    before = contents(folder)
    assert any(name.startswith("figures/") for name in before)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(document, "readme", Mock(side_effect=KeyboardInterrupt))
        report(library)
    assert contents(folder) == before
    report(library)
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["few"]


def test_what_was_not_written_again_goes_and_a_users_file_stays(tmp_path):
    folder, fresh = tmp_path / "few", tmp_path / ".few.new"
    theirs = ("notes.txt", "costs.csv", "my-notes.csv", "talk.html", "figures/my-photo.png")
    for name in ("figures/samples.webp", "figures/answers-dark.png", "figures/film.png", *theirs):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("before")
    (fresh / "figures").mkdir(parents=True)
    (fresh / "figures/film.png").write_text("now")
    put_in_place(fresh, folder)
    assert contents(tmp_path) == {f"few/{name}": b"before" for name in theirs} | {"few/figures/film.png": b"now"}


def test_the_index_and_the_front_page_hold_the_answers_of_all_suites(make_library, tmp_path):
    library = make_library(tmp_path, ["factorial", "few"], pictures=False)
    for suite in ("factorial", "few"):
        library.paths.report(suite).mkdir(parents=True)
        write_analysis(found(library, suite), library.paths.report(suite))
    text = render_index(library.paths).read_text()
    assert "[factorial](factorial/README.md): digits, 400 steps, 16 runs" in text
    [steps] = [line for line in text.splitlines() if line.startswith("| attention, per step |")]
    assert found(library, "factorial").report.questions[0].steps.effect.answer in steps
    assert "| few |" not in text and "4 of 4 measured" in text
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}\nformer\n{END}\nafter\n")
    front = render_front(library.paths).read_text()
    assert steps in front and "(reports/factorial/README.md)" in front
    assert "former" not in front and front.startswith("before\n") and front.endswith("\nafter\n")

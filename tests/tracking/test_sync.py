"""Records to an SQLite store: what arrives, and that it arrives once."""

import dataclasses
import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sagan.store.paths import Paths
from sagan.tracking import TrackingUnavailable
from sagan.tracking.connection import runs_table
from tests.tracking.conftest import PARAMS, everything


def test_a_finished_run_arrives_whole(workspace):
    workspace.cells[0] = cell = dataclasses.replace(workspace.cells[0], levels={"attention": "on"})
    workspace.finish(cell)
    report = workspace.send()
    assert report.sent == [cell.run]
    assert report.missing == [other.run for other in workspace.cells[1:]]
    mirror = workspace.mirror(cell)
    assert mirror["experiment"] == "sagan-quick"
    assert mirror["status"] == "FINISHED"
    assert mirror["times"] == (round(workspace.start * 1000), 1760000600000)
    assert mirror["inputs"] == [("mnist5k-28", ("ab" * 32)[:36])]
    points = mirror["points"]
    assert points["train/loss_d"] == [
        (line["step"], round(line["time"] * 1000), line["loss_d"])
        for line in (workspace.line(cell, step) for step in range(10, 101, 10))
    ]
    without_null = [10, 20, *range(40, 101, 10)]
    assert [step for step, _, _ in points["gamma/discriminator.14"]] == without_null
    assert [(step, value) for step, _, value in points["fid"]] == [(0, 12.5)]
    assert [step for step, _, _ in points["curve/fid"]] == [0, 50, 100]
    assert points["attention/generator.14.entropy"][0][2] == 3.0
    files = {"config.json", "run.json", "metrics.json", "samples.png", "attention/generator-14.png"}
    assert files <= {name for name, _ in mirror["files"]}
    expected = {"variant": "sagan", "seed": "0", "attention": "generator 14, discriminator 14", "spectral_norm": "G+D"}
    expected |= {"lr_ratio": "4", "factor.attention": "on", "status": "finished", "device_kind": "cpu"}
    expected |= {"version.torch": "2.15.0", "protocol.fid": "fid4000_train.classifier", "plan": "current"}
    assert {name: mirror["tags"].get(f"sagan.{name}") for name in expected} == expected


def test_sending_twice_changes_nothing_and_no_record(workspace):
    for cell in workspace.cells[:2]:
        workspace.finish(cell)
    workspace.log(workspace.cells[2], range(10, 50, 10))
    results = [path for path in (workspace.paths.root / "results").rglob("*") if path.is_file()]
    bytes_before = {path: path.read_bytes() for path in results}
    workspace.send()
    assert {path: path.read_bytes() for path in results} == bytes_before
    before = everything(workspace.client)
    report = workspace.send()
    assert report.sent == [] and report.points == 0
    assert everything(workspace.client) == before


@pytest.mark.parametrize("requests", range(0, 11, 2))
def test_a_sending_that_broke_off_is_completed(make, monkeypatch, requests):
    """The connection is lost after so many requests that write."""
    monkeypatch.setattr("sagan.tracking.sending._BATCH", 30)
    workspace, whole = make("broken"), make("whole")
    workspace.finish(workspace.cells[0])
    whole.finish(whole.cells[0])
    whole.send()
    done = []

    def until_lost(write):
        def wrapped(*args, **kwargs):
            if len(done) == requests:
                raise ConnectionResetError("lost")
            done.append(write)
            return write(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patch:
        for name in ("create_run", "log_batch", "log_inputs", "log_dict", "log_artifacts", "set_terminated"):
            patch.setattr(MlflowClient, name, until_lost(getattr(MlflowClient, name)))
        with pytest.raises(TrackingUnavailable):
            workspace.send()
    workspace.send()
    assert list(everything(workspace.client).values()) == list(everything(whole.client).values())


def test_a_log_of_any_length_and_any_number_of_options_arrive(workspace):
    """MLflow takes at most 1,000 points and 100 parameters in a request."""
    cell = workspace.cells[0]
    options = {f"option-{number}": number for number in range(150)}
    workspace.plan.runs[cell.run].config["variant"]["extension"] = {"options": options}
    workspace.log(cell, range(10, 2501, 10))
    workspace.send()
    mirror = workspace.mirror(cell)
    points, lines = mirror["points"], [workspace.line(cell, step) for step in range(10, 2501, 10)]
    assert mirror["params"]["extension.options.option-149"] == "149"
    for name in ("loss_d", "loss_g", "logits_real"):
        assert [value for _, _, value in points[f"train/{name}"]] == [line[name] for line in lines]


def test_parameters_differ_only_where_variants_differ(workspace):
    for cell in workspace.cells:
        workspace.finish(cell)
    workspace.send()
    sagan, _, plain, _ = (workspace.mirror(cell)["params"] for cell in workspace.cells)
    assert sagan.keys() == plain.keys()
    assert {name for name in sagan if sagan[name] != plain[name]} == {
        "variant",
        "generator.attention_at",
        "discriminator.attention_at",
    }


def test_a_diverged_run_is_a_result_whose_long_reason_is_cut(workspace):
    cell = workspace.cells[0]
    workspace.log(cell, range(10, 31, 10))
    workspace.result(cell, diverged_at=30, reason="x" * 20_000)
    workspace.evaluation(cell, diverged=True)
    workspace.send()
    mirror = workspace.mirror(cell)
    assert mirror["status"] == "FINISHED"
    assert (mirror["tags"]["sagan.status"], mirror["tags"]["sagan.diverged_at"]) == ("diverged", "30")
    assert mirror["tags"]["sagan.reason"].startswith("xxx")
    assert "fid" not in mirror["points"]
    assert workspace.send().sent == []


def test_each_spaces_figures_have_names_of_their_own_whenever_they_come(make):
    workspace = make(text=PARAMS.replace("{extractor: classifier,", "{extractor: classifier, also: [inception],"))
    cell = workspace.cells[0]
    workspace.log(cell, range(10, 101, 10))
    workspace.result(cell)
    workspace.send()
    assert "fid" not in workspace.mirror(cell)["points"]
    workspace.evaluation(cell)
    workspace.send()
    before = workspace.mirror(cell)["points"]
    assert [value for _, _, value in before["fid"]] == [12.5]
    assert not any(name.startswith("inception/") for name in before)
    (run,) = everything(workspace.client)
    workspace.evaluation(cell, fid=40.0, extractor="inception")
    assert workspace.send().sent == [cell.run]
    mirror = workspace.mirror(cell)
    assert before.items() <= mirror["points"].items()
    assert [value for _, _, value in mirror["points"]["inception/fid"]] == [40.0]
    assert [step for step, _, _ in mirror["points"]["inception/curve/fid"]] == [0, 50, 100]
    assert mirror["tags"]["sagan.protocol.inception.fid"] == "fid4000_train.inception"
    assert {"metrics.json", "metrics-inception.json"} <= {name for name, _ in mirror["files"]}
    assert list(everything(workspace.client)) == [run]
    assert workspace.send().sent == []


@pytest.mark.parametrize("space", ["classifier", "inception"])
def test_a_run_measured_again_shows_the_new_figure_alone(make, space):
    workspace = make(text=PARAMS.replace("{extractor: classifier,", "{extractor: classifier, also: [inception],"))
    cell, name = workspace.cells[0], "fid" if space == "classifier" else f"{space}/fid"
    workspace.finish(cell)
    workspace.evaluation(cell, fid=40.0, extractor=space)
    workspace.send()
    workspace.evaluation(cell, fid=10.0, extractor=space, finished="2025-10-10T09:10:00+00:00")
    workspace.send()
    mirror = workspace.mirror(cell)
    assert [value for _, _, value in mirror["points"][name]] == [10.0]
    assert len(mirror["points"]["curve/fid"]) == 3
    assert workspace.send().sent == []


def test_a_mirror_that_was_deleted_comes_back(workspace):
    workspace.finish(workspace.cells[0])
    workspace.send()
    client = workspace.client
    client.delete_run(next(iter(everything(client))))
    workspace.send()
    assert workspace.mirror(workspace.cells[0])["status"] == "FINISHED"
    client.delete_experiment(client.get_experiment_by_name("sagan-quick").experiment_id)
    workspace.send()
    assert workspace.mirror(workspace.cells[0])["status"] == "FINISHED"


def test_the_experiment_tells_what_it_is_and_keeps_a_users_words(workspace):
    workspace.send()
    client = workspace.client
    experiment = client.get_experiment_by_name("sagan-quick")
    assert "reports/quick/README.md" in experiment.tags["mlflow.note.content"]
    client.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", "mine")
    workspace.send()
    assert client.get_experiment_by_name("sagan-quick").tags["mlflow.note.content"] == "mine"


def test_factors_that_mlflow_does_not_take_are_made_to_fit(make):
    text = PARAMS.replace("\n  grid:\n", "\n  lr+attention:\n").replace("      attention: {on", "      on $8x8^{$: {on")
    text = text.replace("variants: [sagan, plain]", "variants: [lr+attention]")
    workspace = make(text=text)
    workspace.finish(workspace.cells[0])
    workspace.send()
    assert workspace.mirror(workspace.cells[0])["tags"]["sagan.factor.on _8x8___"] == "on"
    assert workspace.send().sent == []


def test_a_suites_report_is_a_run_of_tables_and_pictures(workspace):
    folder = workspace.paths.report("quick")
    (folder / "figures").mkdir(parents=True)
    rows = "plain,0,None,digits,a,30.5 sagan,0,on,digits,b,20.5 plain,1,None,digits,c, sagan,0,on,random,b,0.5"
    (folder / "results.csv").write_text("\n".join(["variant,seed,attention,space,run,fid", *rows.split(), ""]))
    (folder / "effects.csv").write_text("question,estimate\nattention,-3.5\n")
    (folder / "figures" / "fid.png").write_bytes(b"picture")
    for _ in range(2):
        workspace.send()
    client = workspace.client
    experiment = client.get_experiment_by_name("sagan-quick").experiment_id
    [run] = client.search_runs([experiment], "tags.`sagan.report` = 'quick'")
    results = json.loads(Path(client.download_artifacts(run.info.run_id, "results.json")).read_text(encoding="utf-8"))
    assert results["columns"] == ["variant", "seed", "attention", "space", "fid", "run"]
    assert [row[4] for row in results["data"]] == [20.5, 30.5, None, 0.5]
    assert [row[2] for row in results["data"]] == ["on", "None", "None", "on"]
    assert [file.path for file in client.list_artifacts(run.info.run_id, "figures")] == ["figures/fid.png"]
    assert "effects.json" in [file.path for file in client.list_artifacts(run.info.run_id)]
    (folder / "effects.csv").write_text("question,estimate\nattention,-4.5\n")
    workspace.send()
    [again] = client.search_runs([experiment], "tags.`sagan.report` = 'quick'")
    assert again.info.run_id != run.info.run_id


def test_an_experiments_runs_reach_the_workspaces_store_and_bear_its_name(workspace, monkeypatch):
    kept, new = workspace.cells[:2]
    workspace.finish(kept)
    workspace.send()
    beside = dataclasses.replace(workspace, paths=Paths(workspace.paths.root / ".dvc/tmp/exps/tmpabc"))
    for cell in (kept, new):
        beside.finish(cell)
    with monkeypatch.context() as experiment:
        experiment.setenv("DVC_EXP_NAME", "wide")
        beside.plan = dataclasses.replace(workspace.plan, suites={"quick": [kept, new]})
        assert beside.send().sent == [new.run]
    assert not (beside.paths.root / "state/mlflow").exists()

    def marks(cell):
        tags = workspace.mirror(cell)["tags"]
        return tags["sagan.plan"], tags.get("sagan.experiment")

    assert (marks(kept), marks(new)) == (("current", None), ("experiment", "wide"))
    # The workspace asks for one of the two, then for both.
    both = workspace.plan
    workspace.plan = dataclasses.replace(both, suites={"quick": [kept]})
    workspace.send()
    assert marks(new) == ("experiment", "wide")
    workspace.plan = both
    workspace.finish(new)
    workspace.send()
    assert marks(new) == ("current", "wide")


def test_runs_that_are_asked_for_no_more_are_told_apart(workspace):
    for cell in workspace.cells:
        workspace.start -= 1000
        workspace.finish(cell)
    workspace.send()
    workspace.plan.suites["quick"].pop(0)
    workspace.send()
    runs = workspace.client.search_runs([workspace.client.get_experiment_by_name("sagan-quick").experiment_id])
    assert sorted(run.data.tags["sagan.plan"] for run in runs) == ["current"] * 3 + ["former"]
    report = workspace.client.create_run(runs[0].info.experiment_id, tags={"sagan.report": "quick"})
    workspace.client.set_terminated(report.info.run_id)
    for run in runs:
        workspace.client.set_tag(run.info.run_id, "sagan.variant", f"new {run.data.params['variant']}")
    # Neither the report nor the run of no plan, by their present names, the first that began first.
    table = runs_table("sagan-quick", workspace.params, workspace.paths)[["variant", "seed"]]
    assert table.values.tolist() == [["new plain", "1"], ["new plain", "0"], ["new sagan", "1"]]


def test_no_picture_is_taken_from_outside_the_evaluation(workspace, tmp_path_factory):
    cell = workspace.cells[0]
    workspace.finish(cell)
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    outside.write_bytes(b"not for MLflow")
    (workspace.paths.evaluation(cell.evaluation) / "leak.png").symlink_to(outside)
    (workspace.paths.evaluation(cell.evaluation) / "folder").symlink_to(outside.parent)
    workspace.send()
    names = [name for name, _ in workspace.mirror(cell)["files"]]
    assert "samples.png" in names
    assert not [name for name in names if "leak" in name or "secret" in name]

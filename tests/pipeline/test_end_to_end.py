"""`dvc repro` from nothing to the report: what is made, and above all what is not made again.

The tests share one clone and build on each other, in this order.
"""

import csv
import json
import shutil
import sqlite3
import sys

import pytest

from tests import commit

pytestmark = pytest.mark.pipeline

BREAKAGE = "raise RuntimeError('broken on purpose')\n        "


@pytest.fixture(scope="module")
def clone(make_clone):
    clone = make_clone()
    clone.first_output = clone.repro()
    return clone


def variant_of(key):
    return key.rsplit("-s", 1)[0]


def mlflow_runs(clone):
    with sqlite3.connect(clone.folder / "state/mlflow/mlflow.db") as database:
        return [key for (key,) in database.execute("select value from tags where key = 'sagan.run'")]


def test_the_first_repro_trains_measures_reports_and_tracks(clone):
    assert {variant_of(key) for key in clone.runs()} == {"sagan", "sagan-no-attention"}
    report = clone.folder / "reports/quick"
    rows = list(csv.DictReader((report / "results.csv").open()))
    assert {row["run"] for row in rows} == set(clone.runs())
    assert {row["variant"] for row in rows} == {"sagan", "sagan-no-attention"}
    assert all(float(row["fid"]) > 0 for row in rows)
    assert "sagan.fid" in json.loads((report / "summary.json").read_text())
    assert "reports/quick/README.md" in clone.first_output
    assert sorted(mlflow_runs(clone)) == sorted(clone.runs())
    evaluation = next(key for key in clone.evaluations() if variant_of(key) == "sagan")
    folder = clone.folder / "results/evaluations" / evaluation
    assert (folder / "samples.png").exists() and (folder / "attention/generator-14.png").exists()


def test_the_second_is_up_to_date(clone):
    before = clone.runs()
    clone.run(sys.executable, "-m", "workflow.unlock")  # as `make repro` begins
    assert "Data and pipelines are up to date." in clone.repro()
    assert clone.runs() == before


def test_rendering_again_gives_the_same_bytes(clone):
    def content():
        return {p.name: p.read_bytes() for p in (clone.folder / "reports/quick").rglob("*") if p.is_file()}

    before = content()
    clone.sagan("report")
    assert content() == before


def test_dvc_shows_metrics_params_and_plots(clone):
    shown = json.loads(clone.run("dvc", "metrics", "show", "--json"))
    assert "sagan.fid" in shown[""]["data"]["reports/quick/summary.json"]["data"]
    assert "report" in clone.run("dvc", "dag")
    assert "index.html" in clone.run("dvc", "plots", "show")
    clone.set_param("tracking.experiment_prefix", "other-")
    assert "tracking.experiment_prefix" in clone.run("dvc", "params", "diff")
    clone.set_param("tracking.experiment_prefix", "sagan-")


def test_a_learning_rate_trains_that_variant_alone_and_changing_back_nothing(clone):
    before = clone.runs()
    clone.set_param("variants.sagan-no-attention.optimizer", {"lr_ratio": 3.0})
    clone.repro()
    new = set(clone.runs()) - set(before)
    assert [variant_of(key) for key in new] == ["sagan-no-attention"]
    assert before.items() <= clone.runs().items()
    after = clone.runs()
    clone.set_param("variants.sagan-no-attention.optimizer", {"lr_ratio": 4.0})
    clone.repro()
    assert clone.runs() == after
    assert not any(key in (clone.folder / "reports/quick/results.csv").read_text() for key in new)


def test_a_comment_and_an_evaluation_setting_train_nothing_and_the_latter_measures_anew(clone):
    runs, evaluations = clone.runs(), clone.evaluations()
    clone.edit("sagan/training/ema.py", "class Ema:", "# a remark\nclass Ema:")
    clone.set_param("suites.quick.evaluation.seed", 5)
    clone.repro()
    assert clone.runs() == runs and len(clone.evaluations() - evaluations) == 2


def test_another_clone_that_pulled_makes_nothing_stale_and_nothing_needless(clone, tmp_path):
    clone.run("dvc", "remote", "add", "--default", "local", str(tmp_path / "remote"))
    clone.run("dvc", "push")
    commit(clone.folder)
    other = type(clone)(tmp_path / "other")
    clone.run("git", "clone", "-q", str(clone.folder), str(other.folder))
    other.run("dvc", "pull")
    assert not (other.folder / ".snakemake").exists()
    pulled = other.runs()
    assert set(pulled) == set(clone.runs())
    assert "up to date" in other.repro()
    other.set_param("variants.sagan-no-attention.optimizer", {"lr_ratio": 2.5})
    other.repro()
    assert [variant_of(key) for key in set(other.runs()) - set(pulled)] == ["sagan-no-attention"]
    assert pulled.items() <= other.runs().items()


def test_a_server_that_is_down_costs_a_warning_and_the_runs_can_be_sent_later(clone):
    nowhere = "http://127.0.0.1:9"
    shutil.rmtree(clone.folder / "state/mlflow")
    (clone.folder / "reports/quick/README.md").unlink()
    output = clone.repro(MLFLOW_TRACKING_URI=nowhere)
    assert (clone.folder / "reports/quick/README.md").exists()
    assert "python -m sagan track" in output and "Traceback" not in output
    for _ in range(2):
        clone.sagan("track")
        assert len(mlflow_runs(clone)) == len(set(mlflow_runs(clone))) == 2


def test_a_failed_run_does_not_stop_the_others_and_is_named(clone):
    clone.set_param("suites.quick.training.steps", 14)
    first = "by_products = x_BCHW.device"
    clone.edit("sagan/nn/attention.py", first, f"{BREAKAGE}{first}")
    output = clone.run("dvc", "repro", check=False)
    assert "broken on purpose" in output and "1 finished" in output and "state/logs/sagan-s0-" in output
    clone.edit("sagan/nn/attention.py", BREAKAGE, "")
    clone.repro()
    assert sum(clone.record(key)["steps"] == 14 for key in clone.runs()) >= 2


def test_experiments_change_a_parameter_and_say_so(clone):
    commit(clone.folder)
    clone.run("dvc", "exp", "run", "-S", "variants.sagan.optimizer.lr_ratio=1.5")
    shown = json.loads(clone.run("dvc", "exp", "show", "--json"))
    assert "1.5" in json.dumps(shown) and "sagan.fid" in json.dumps(shown)

"""`analyse`, `compare` and `where`, as somebody types them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sagan(sagan, tmp_path):
    """Runs a verb where the committed reports are, too."""
    for table in (ROOT / "reports").glob("*/*.[cj]s*"):
        place = tmp_path / "reports" / table.parent.name / table.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(table, place)
    return sagan


def runs(seeds=3):
    rng = np.random.default_rng(0)
    rows = [
        {"attention": a, "norm": n, "fid": 10 * (1.3 if a == "on" else 1) * np.exp(rng.normal(0, 0.03))}
        for a in ("off", "on")
        for n in ("batch", "layer")
        for _ in range(seeds)
    ]
    return pd.DataFrame(rows)


def test_analyse_prints_answers_and_writes_a_table_and_a_picture(sagan, tmp_path):
    runs().to_csv(tmp_path / "results.csv", index=False)
    done = sagan("analyse", "results.csv", "--factor", "attention", "--factor", "norm", "--metric", "fid")
    assert done.returncode == 0, done.stderr
    first, second, files = done.stdout.splitlines()
    assert first.startswith("attention, on instead of off: per step hurts: FID +")
    assert second.startswith("norm, layer instead of batch: per step not decided") or "no difference" in second
    assert files == "results-effects/effects.csv, results-effects/effects.png"
    table = pd.read_csv(tmp_path / "results-effects" / "effects.csv")
    assert {"question", "given", "at", "budget", "scale", "decide_low", "answer", "runs"} <= {*table.columns}
    assert (tmp_path / "results-effects" / "effects.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing.csv", "--factor", "attention", "--metric", "fid"), "nothing.csv: no such file"),
        (("--factor", "attention", "--metric", "fid"), "say a CSV file, or --mlflow NAME"),
    ],
)
def test_a_mistake_is_one_line(sagan, arguments, said):
    done = sagan("analyse", *arguments)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and said in done.stderr, done.stderr


def test_one_seed_gives_no_answer_and_no_error(sagan, tmp_path):
    runs(seeds=1).to_csv(tmp_path / "results.csv", index=False)
    done = sagan("analyse", "results.csv", "--factor", "attention", "--metric", "fid", "--lower-is-better")
    assert done.returncode == 0 and "per step no answer, too few runs" in done.stdout


def test_compare_two_variants_of_a_committed_report(sagan, tmp_path):
    design = json.loads((tmp_path / "reports" / "quick" / "report.json").read_text())["design"]
    places = {"generator.attention_at", "discriminator.attention_at"}
    [other] = [name for name, of in design["variants"].items() if set(of.get("differs", ())) == places]
    done = sagan("compare", design["baseline"], other, "--suite", "quick")
    differs = done.stdout.splitlines()
    assert differs[:2] == ["generator.attention_at: at 14x14, off", "discriminator.attention_at: at 14x14, off"]
    assert f"{other} instead of {design['baseline']}: per step" in done.stdout and "; per second" in done.stdout
    done = sagan("compare", design["baseline"], f"{other}x")
    assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_where_tells_the_answers_and_compares_an_experiment_with_the_workspace(sagan, tmp_path):
    assert "attention, at 14x14 instead of off: per step" in sagan("where").stdout
    left = tmp_path / "state" / "experiments" / "wide" / "reports" / "quick"
    shutil.copytree(tmp_path / "reports" / "quick", left)
    lines = sagan("where", "wide").stdout.splitlines()
    place = lines.index("wide instead of the workspace, quick:")
    assert lines[place + 1] == "  - the recipes are the same" and lines[-1] == "  - no runs to compare"


def test_runs_of_an_mlflow_experiment_are_another_source(sagan, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path}/store.db"
    client = mlflow.MlflowClient(uri)
    experiment = client.create_experiment("theirs")
    for row in runs().query("norm == 'batch'").to_dict("records"):
        run = client.create_run(experiment, run_name=f"net-{row['attention']}").info.run_id
        client.log_param(run, "attention", row["attention"])
        client.log_metric(run, "fid", row["fid"])
        client.set_terminated(run)
    environment = {"MLFLOW_TRACKING_URI": uri}
    done = sagan("compare", "net-off", "net-on", "--mlflow", "theirs", **environment)
    assert done.stdout.splitlines()[0] == "attention: off, on", done.stderr
    assert "net-on instead of net-off: per step hurts: FID +" in done.stdout
    done = sagan("analyse", "--mlflow", "theirs", "--factor", "attention=off", "--metric", "fid", **environment)
    assert "attention, on instead of off: per step hurts" in done.stdout, done.stderr
    done = sagan("compare", "net-off", "net-on", "--mlflow", "thiers", **environment)
    assert done.returncode == 2 and "did you mean 'theirs'" in done.stderr and done.stderr.count("\n") == 1

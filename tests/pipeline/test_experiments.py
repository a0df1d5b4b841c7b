"""DVC's experiments, beside the workspace and queued: right results, and nothing trained that was trained before."""

import json
import shutil
import sys

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.exhaustive

DVC = (sys.executable, "-m", "dvc")
RATIO = "variants.sagan.optimizer.lr_ratio={}"


@pytest.fixture(scope="module")
def clone(copy_finished):
    return copy_finished()


def shared(clone):
    return {path.name for path in (clone.folder / "state/shared/results/runs").glob("*")}


def variants_of(keys):
    return sorted(key.rsplit("-s", 1)[0] for key in keys)


def test_a_temporary_experiment_trains_what_is_new_and_the_workspace_uses_it(clone):
    before = clone.runs()
    clone.run(*DVC, "exp", "run", "--temp", "--name", "one", "-S", RATIO.format(3.0))
    assert clone.runs() == before
    # The other variant is like this one, and follows it.
    assert variants_of(shared(clone)) == ["sagan", "sagan-no-attention"]
    # Its runs are in the workspace's MLflow store, and its report can be read beside the workspace's.
    client = MlflowClient(tracking_uri=f"sqlite:///{clone.folder}/state/mlflow/mlflow.db")
    (experiment,) = (found for found in client.search_experiments() if found.name == "sagan-quick")
    made = client.search_runs([experiment.experiment_id], "tags.`sagan.experiment` = 'one'")
    assert {run.info.run_name for run in made} == shared(clone)
    page = clone.folder / "state/experiments/one/pages/quick/report.html"
    assert page.as_uri() in clone.sagan("where", "one")
    clone.run(*DVC, "exp", "apply", "one")
    assert (clone.folder / "pages/quick/report.html").read_bytes() == page.read_bytes()
    applied = set(clone.runs()) - set(before)
    assert applied == shared(clone)
    clone.run("git", "checkout", "-q", "--", ".")
    clone.run(*DVC, "checkout", "--force")


def test_a_value_that_reaches_no_run_is_named(clone):
    """Of `sagan`, since every variant of the suite says its own rate."""
    for name in ("sagan", "sagan-no-attention"):
        own = {"like": name, "optimizer": {"lr_g": 8e-3}}
        clone.set_param(f"variants.{name}-own", own)
    suite = {"variants": ["sagan-own", "sagan-no-attention-own"], "baseline": "sagan-own"}
    clone.set_params(suite, under="suites.quick.")
    clone.run("git", "commit", "-qam", "own rates")
    change = ("-S", "variants.sagan.optimizer.lr_g=0.001")
    output = clone.run(*DVC, "exp", "run", "--temp", "--name", "nowhere", *change)
    named = "variants.sagan.optimizer.lr_g = 0.001 reaches no run of quick: what runs is said by"
    assert f"{named} variants.sagan-own.optimizer.lr_g and variants.sagan-no-attention-own.optimizer.lr_g" in output
    clone.run("git", "revert", "--no-edit", "HEAD")


def test_queued_experiments_at_once_train_a_common_run_once(clone):
    before, shared_before = clone.runs(), shared(clone)
    for number in (1, 2):
        changes = ("-S", RATIO.format(1.5), "-S", f"suites.quick.evaluation.curve_samples={200 + number}")
        clone.run(*DVC, "exp", "run", "--queue", "--name", f"queued-{number}", *changes)
    clone.run(*DVC, "queue", "start", "-j", "2")
    clone.run(*DVC, "queue", "logs", "queued-1", "--follow")
    clone.run(*DVC, "queue", "logs", "queued-2", "--follow")
    status = clone.run(*DVC, "queue", "status")
    assert status.count("Success") == 2, status
    assert clone.runs() == before
    assert variants_of(shared(clone) - shared_before) == ["sagan", "sagan-no-attention"]
    shown = json.loads(clone.run(*DVC, "exp", "show", "--json"))
    assert "sagan.fid" in json.dumps(shown) and "1.5" in json.dumps(shown)


def test_the_workspace_takes_over_what_an_experiment_made(clone):
    shutil.rmtree(clone.folder / ".dvc/tmp/exps", ignore_errors=True)
    clone.set_param("variants.sagan.optimizer.lr_ratio", 1.5)
    output = clone.repro()
    assert "are used again" in output and "0 to train" in output

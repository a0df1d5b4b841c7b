"""A run gives the same bytes however often it is stopped, and says how it ended."""

import dataclasses
import json
import os
import shutil
from unittest.mock import Mock

import pytest
from safetensors import safe_open

from sagan.errors import UserError
from sagan.store.reading import read_run
from sagan.store.records import file_digest
from sagan.training.loop import Data, train
from sagan.training.step import Trainer
from tests import read_lines
from tests.training.conftest import interrupted, losses, weights


def test_a_run_leaves_what_its_record_says(run, images, paths):
    record = train(run, Data(images), paths).content()
    folder = paths.run(run.key)
    assert record == json.loads((folder / "run.json").read_text())
    assert record["provenance"]["flags"]["deterministic_algorithms"] and record["provenance"]["processes"] == [1]
    assert record["status"] == "finished" and record["steps"] == 8 and record["images"] == 32
    assert {f"snapshots/{step:06d}.safetensors" for step in (0, 4, 8)} < set(record["files"])
    assert all(file_digest(folder / name) == entry["sha256"] for name, entry in record["files"].items())
    entry = read_lines(folder / "log.jsonl")[-1]
    assert {"step", "images", "seconds", "time", "loss_d", "loss_g", "gamma.generator.14"} < set(entry)
    assert any(name.startswith("sigma.discriminator.") for name in entry)
    assert not paths.state(run.key).exists()
    with safe_open(folder / "generator.safetensors", "pt") as file:
        assert json.loads(file.metadata()["config"])["image"] == {"channels": 1, "resolution": 28, "classes": None}


def test_the_same_run_gives_the_same_bytes_and_another_seed_others(run, images, paths, tmp_path):
    train(run, Data(images), paths)
    elsewhere = dataclasses.replace(paths, root=tmp_path / "elsewhere")
    train(run, Data(images), elsewhere)
    assert weights(run, paths) == weights(run, elsewhere)
    other = dataclasses.replace(run, key="tiny-s1-0123456789", seed=1, config={**run.config, "seed": 1})
    train(other, Data(images), paths)
    assert weights(run, paths)["generator.safetensors"] != weights(other, paths)["generator.safetensors"]


@pytest.mark.parametrize(
    "gone", ["", "log.jsonl", "a line", "snapshots/000000.safetensors", "snapshots/000004.safetensors"]
)
def test_what_is_gone_from_an_unfinished_runs_folder_is_made_again(
    run, images, paths, tmp_path, monkeypatch, capfd, carried_out, gone
):
    undisturbed = dataclasses.replace(paths, root=tmp_path / "undisturbed")
    train(run, Data(images), undisturbed)
    interrupted(run, images, paths, monkeypatch, at=7)
    lost = paths.run(run.key) / gone.replace("a line", "log.jsonl")
    if gone == "a line":
        os.truncate(lost, lost.stat().st_size - 1)
    else:
        lost.unlink() if gone else shutil.rmtree(lost)
    capfd.readouterr()
    # Stopped anew before the step where it was: that checkpoint counts, and the one that lost its files does not.
    interrupted(run, images, paths, monkeypatch, at=2)
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith(f"{run.key}: {lost}")
    assert said[0].endswith("so it starts at step 0 and not at its checkpoint of step 7")
    carried_out.clear()
    record = train(run, Data(images), paths).content()
    assert carried_out == [3, 4, 5, 6, 7, 8]
    assert record["files"].keys() == read_run(run.key, undisturbed).record.files.keys()
    assert weights(run, paths) == weights(run, undisturbed) and losses(run, paths) == losses(run, undisturbed)


def test_what_is_logged_is_on_the_disk_before_the_next_step(run, images, paths, monkeypatch):
    seen, step = [], Trainer.step

    def spied(trainer, number, *feed):
        seen.append([entry["step"] for entry in read_lines(paths.run(run.key) / "log.jsonl")])
        return step(trainer, number, *feed)

    monkeypatch.setattr(Trainer, "step", spied)
    train(run, Data(images), paths)
    assert seen == [list(range(1, number)) for number in range(1, 9)]


@pytest.mark.parametrize(("message", "told"), [("no compiler\nTraceback", "no compiler"), ("", "BackendFailed")])
def test_what_compilation_says_is_one_line_even_where_it_says_nothing(run, images, paths, monkeypatch, message, told):
    kind = type("BackendFailed", (RuntimeError,), {"__module__": "torch._dynamo.exc"})
    monkeypatch.setattr(Trainer, "step", Mock(side_effect=kind(message)))
    with pytest.raises(UserError, match=f"training.compile = true: {told}; install") as error:
        train(run, Data(images), paths)
    assert "\n" not in str(error.value)


def test_weights_that_are_not_finite_end_a_run_whose_losses_are(run, images, paths, monkeypatch):
    step = Trainer.step

    def spoiling(trainer, number, *feed):
        scalars = step(trainer, number, *feed)
        if number == 5:
            next(trainer.discriminator.parameters()).data.view(-1)[0] = float("inf")
        return scalars

    monkeypatch.setattr(Trainer, "step", spoiling)
    record = train(run, Data(images), paths).content()
    assert (record["status"], record["diverged_at"]) == ("diverged", 5)


def test_a_finished_run_is_not_made_twice_and_a_torn_copy_not_believed(run, images, paths, carried_out):
    first = train(run, Data(images), paths)
    whole = weights(run, paths)
    assert train(run, Data(images), paths) == first and len(carried_out) == 8
    (paths.run(run.key) / "generator.safetensors").write_bytes(b"torn")
    assert read_run(run.key, paths).record is None
    train(run, Data(images), paths)
    assert weights(run, paths) == whole


@pytest.mark.parametrize(("checkpoint_every", "stopped"), [(None, False), (1, False), (None, True)])
def test_a_loss_that_is_not_finite_ends_the_run_as_diverged_at_its_first_step(
    run, images, paths, monkeypatch, checkpoint_every, stopped
):
    """And at a logged step, whenever a checkpoint or a signal came before it."""

    def far_too_fast(trainer, step):
        for optimizer in (trainer.optimizer_g, trainer.optimizer_d):
            optimizer.param_groups[0]["lr"] = 1e30

    monkeypatch.setattr(Trainer, "_set_learning_rates", far_too_fast)
    wild = dataclasses.replace(run, execution=run.execution | {"log_every": 3, "checkpoint_every": checkpoint_every})
    if stopped:
        interrupted(wild, images, paths, monkeypatch, at=2)
    record = train(wild, Data(images), paths).content()
    assert (record["status"], record["diverged_at"], record["steps"]) == ("diverged", 1, 3)
    assert str(record["diverged_at"]) in record["reason"]
    assert "generator.safetensors" not in record["files"] and "snapshots/000000.safetensors" in record["files"]
    entry = read_lines(paths.run(wild.key) / "log.jsonl")[-1]
    assert entry["step"] == 3 and entry["loss_d"] is None, "what it ended with is logged"

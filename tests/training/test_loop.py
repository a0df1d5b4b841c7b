"""A run gives the same bytes however often it is stopped, and says how it ended."""

import dataclasses
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors import safe_open

from sagan.errors import UserError
from sagan.store.reading import read_run
from sagan.store.records import file_digest
from sagan.training.loop import Interrupted, train
from sagan.training.step import Trainer
from tests import read_lines

# A process of its own, so that it can be killed: the arguments come pickled on its standard input.
CHILD = """
import pickle, sys
from sagan.training.loop import Interrupted, train
run, images, paths = pickle.load(sys.stdin.buffer)
try:
    train(run, images, paths)
except Interrupted:
    sys.exit(75)
"""


@pytest.fixture
def child(images, paths):
    """Starts a training in a process of its own, and waits until it has logged some steps."""

    def start(run, until_step):
        process = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, cwd=os.getcwd())
        process.stdin.write(pickle.dumps((run, images, paths)))
        process.stdin.close()
        log = paths.run(run.key) / "log.jsonl"
        deadline = time.monotonic() + 60
        while not log.exists() or len(log.read_text().splitlines()) < until_step:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        return process

    return start


def weights(run, paths):
    folder = paths.run(run.key)
    return {path.name: file_digest(path) for path in sorted(folder.rglob("*.safetensors"))}


def losses(run, paths):
    return [(e["step"], e["loss_d"], e["loss_g"]) for e in read_lines(paths.run(run.key) / "log.jsonl")]


def test_a_run_leaves_what_its_record_says(run, images, paths):
    record = train(run, images, paths).content()
    folder = paths.run(run.key)
    assert record == json.loads((folder / "run.json").read_text())
    assert record["provenance"]["processes"] == [1]
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
    train(run, images, paths)
    elsewhere = dataclasses.replace(paths, root=tmp_path / "elsewhere")
    train(run, images, elsewhere)
    assert weights(run, paths) == weights(run, elsewhere)
    other = dataclasses.replace(run, key="tiny-s1-0123456789", seed=1, config={**run.config, "seed": 1})
    train(other, images, paths)
    assert weights(run, paths)["generator.safetensors"] != weights(other, paths)["generator.safetensors"]


def test_killed_again_and_again_it_ends_with_the_same_bytes(with_training, images, paths, tmp_path, child):
    run = with_training(steps=60, snapshots=[0, 20, 60])
    undisturbed = dataclasses.replace(paths, root=tmp_path / "undisturbed")
    train(run, images, undisturbed)
    for until_step in sorted(random.sample(range(2, 50), 5)):
        process = child(run, until_step)
        process.kill()
        process.wait()
        assert read_run(run.key, paths).record is None
    train(run, images, paths)
    assert weights(run, paths) == weights(run, undisturbed)
    assert losses(run, paths) == losses(run, undisturbed)


def spied_steps(monkeypatch):
    """The numbers of the steps that are carried out from here on."""
    seen, step = [], Trainer.step
    monkeypatch.setattr(
        Trainer, "step", lambda trainer, number, *feed: seen.append(number) or step(trainer, number, *feed)
    )
    return seen


def interrupted(run, images, paths, monkeypatch, at):
    """Train until a signal comes in the middle of step `at`."""
    step = Trainer.step

    def signalled(trainer, number, *feed):
        if number == at:
            signal.raise_signal(signal.SIGTERM)
        return step(trainer, number, *feed)

    with monkeypatch.context() as patch, pytest.raises(Interrupted, match=f"stopped at step {at} of 8"):
        patch.setattr(Trainer, "step", signalled)
        train(run, images, paths)


@pytest.mark.parametrize("gone", ["", "log.jsonl", "snapshots/000000.safetensors", "snapshots/000004.safetensors"])
def test_what_is_gone_from_an_unfinished_runs_folder_is_made_again(
    run, images, paths, tmp_path, monkeypatch, capfd, gone
):
    undisturbed = dataclasses.replace(paths, root=tmp_path / "undisturbed")
    train(run, images, undisturbed)
    interrupted(run, images, paths, monkeypatch, at=7)
    lost = paths.run(run.key) / gone
    lost.unlink() if gone else shutil.rmtree(lost)
    capfd.readouterr()
    # Stopped anew before the step where it was: that checkpoint counts, and the one that lost its files does not.
    interrupted(run, images, paths, monkeypatch, at=2)
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith(f"{run.key}: {lost}")
    assert said[0].endswith("so it starts at step 0 and not at its checkpoint of step 7")
    seen = spied_steps(monkeypatch)
    record = train(run, images, paths).content()
    assert seen == [3, 4, 5, 6, 7, 8]
    assert record["files"].keys() == read_run(run.key, undisturbed).record.files.keys()
    assert weights(run, paths) == weights(run, undisturbed) and losses(run, paths) == losses(run, undisturbed)


def test_a_log_that_lost_lines_is_made_again(run, images, paths, monkeypatch, capfd):
    interrupted(run, images, paths, monkeypatch, at=7)
    log = paths.run(run.key) / "log.jsonl"
    os.truncate(log, log.stat().st_size - 1)
    train(run, images, paths)
    assert "log.jsonl lacks lines" in capfd.readouterr().err
    assert [step for step, *_ in losses(run, paths)] == list(range(1, 9))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.usefixtures("hears_hangup")
def test_a_signal_leaves_a_checkpoint_at_that_very_step(with_training, images, paths, child, number):
    run = with_training(steps=400, snapshots=[0, 400])
    run = dataclasses.replace(run, execution={**run.execution, "checkpoint_every": 1000})
    process = child(run, until_step=10)
    process.send_signal(number)
    assert process.wait(timeout=30) == 75
    steps = [int(path.stem) for path in paths.state(run.key).glob("*.json")]
    assert len(steps) == 1 and 10 <= steps[0] < 400


def test_what_is_logged_is_on_the_disk_before_the_next_step(run, images, paths, monkeypatch):
    seen, step = [], Trainer.step

    def spied(trainer, number, *feed):
        seen.append([entry["step"] for entry in read_lines(paths.run(run.key) / "log.jsonl")])
        return step(trainer, number, *feed)

    monkeypatch.setattr(Trainer, "step", spied)
    train(run, images, paths)
    assert seen == [list(range(1, number)) for number in range(1, 9)]


def test_a_finished_run_is_not_made_twice(run, images, paths):
    train(run, images, paths)
    before = (paths.run(run.key) / "run.json").stat().st_mtime_ns
    train(run, images, paths)
    assert (paths.run(run.key) / "run.json").stat().st_mtime_ns == before


def test_out_of_gpu_memory_names_the_settings_to_change(run, images, paths, monkeypatch):
    def step(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Trainer, "step", step)
    with pytest.raises(UserError, match=r"with 1 runs at once .*cuda_graph = true.*training\.batch_size = 4"):
        train(run, images, paths)


@pytest.mark.parametrize(("message", "told"), [("no compiler\nTraceback", "no compiler"), ("", "BackendFailed")])
def test_what_compilation_says_is_one_line_even_where_it_says_nothing(run, images, paths, monkeypatch, message, told):
    kind = type("BackendFailed", (RuntimeError,), {"__module__": "torch._dynamo.exc"})

    def step(*_):
        raise kind(message)

    monkeypatch.setattr(Trainer, "step", step)
    with pytest.raises(UserError, match=f"training.compile = true: {told}; install") as error:
        train(run, images, paths)
    assert "\n" not in str(error.value)


def test_weights_that_are_not_finite_end_a_run_whose_losses_are(run, images, paths, monkeypatch):
    step = Trainer.step

    def spoiling(trainer, number, *feed):
        scalars = step(trainer, number, *feed)
        if number == 5:
            next(trainer.discriminator.parameters()).data.view(-1)[0] = float("inf")
        return scalars

    monkeypatch.setattr(Trainer, "step", spoiling)
    record = train(run, images, paths).content()
    assert (record["status"], record["diverged_at"]) == ("diverged", 5)


def test_a_torn_copy_is_not_believed(run, images, paths):
    train(run, images, paths)
    whole = weights(run, paths)
    (paths.run(run.key) / "generator.safetensors").write_bytes(b"torn")
    assert read_run(run.key, paths).record is None
    train(run, images, paths)
    assert weights(run, paths) == whole


def test_a_loss_that_is_not_finite_ends_the_run_as_diverged_at_its_first_step(run, images, paths, monkeypatch):
    def far_too_fast(trainer, step):
        for optimizer in (trainer.optimizer_g, trainer.optimizer_d):
            optimizer.param_groups[0]["lr"] = 1e30

    monkeypatch.setattr(Trainer, "_set_learning_rates", far_too_fast)
    wild = dataclasses.replace(run, execution={**run.execution, "log_every": 3})
    record = train(wild, images, paths).content()
    assert record["status"] == "diverged" and record["diverged_at"] < 3
    assert str(record["diverged_at"]) in record["reason"]
    assert "generator.safetensors" not in record["files"] and "snapshots/000000.safetensors" in record["files"]
    entry = read_lines(paths.run(wild.key) / "log.jsonl")[-1]
    assert entry["step"] == 3 and entry["loss_d"] is None, "what it ended with is logged"


def test_a_run_whose_images_stay_on_disk_gives_the_same_bytes(run, images, paths, tmp_path):
    train(run, images, paths)
    np.save(tmp_path / "images.npy", images)
    elsewhere = dataclasses.replace(paths, root=tmp_path / "elsewhere")
    train(run, np.load(tmp_path / "images.npy", mmap_mode="r"), elsewhere)
    assert weights(run, paths) == weights(run, elsewhere)

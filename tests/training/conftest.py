"""Trainers of a few images, runs that are stopped, and what runs leave, for the tests of this room."""

import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from sagan.params.run import RunConfig
from sagan.plan import Run
from sagan.store.records import file_digest
from sagan.training.batches import Noise, RealBatches
from sagan.training.loop import Data, Interrupted, train
from sagan.training.step import Trainer
from tests import read_lines, wait_for

CPU = torch.device("cpu")
# A process of its own, so that it can be killed; runs, images and paths come pickled on standard input.
CHILD = """
import pickle, sys
from sagan.training.loop import Data, trained
from sagan.training.stopping import StopSignal
runs, images, paths = pickle.load(sys.stdin.buffer)
with StopSignal() as stop:
    for run, outcome in trained(runs, lambda run: Data(images), paths, stop, len(runs)):
        print(run.key, type(outcome).__name__, outcome if isinstance(outcome, Exception) else "")
"""
# Threads that wait leave the core to others.
ENVIRONMENT = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": os.getcwd()}


def trainer_of(config: RunConfig, images, labels=None, flip: bool = False) -> tuple[Trainer, RealBatches, Noise]:
    """A trainer, and what its steps take."""
    size, seed = config.training.batch_size, config.seed
    noise = Noise(size, config.variant.generator.z_dim, seed, "z", CPU)
    return Trainer(config, CPU, labels), RealBatches(images, size, seed, flip, CPU, labels), noise


def prepared(run: Run, images: np.ndarray) -> tuple[Trainer, RealBatches, Noise]:
    return trainer_of(run.typed, images)


def started(runs, images, paths, until: int = 0) -> subprocess.Popen:
    """A process that trains runs turn about, once each has logged so many steps."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", CHILD], **pipes, env=ENVIRONMENT)
    process.stdin.write(pickle.dumps((runs, images, paths)))
    process.stdin.close()
    process.stdin = None
    logs = [paths.run(run.key) / "log.jsonl" for run in runs]
    wait_for(lambda: all((len(read_lines(log)) if log.exists() else 0) >= until for log in logs), process, pause=0.005)
    return process


@pytest.fixture
def carried_out(monkeypatch) -> list[int]:
    """The numbers of the steps that are carried out; a test may clear it."""
    seen, step = [], Trainer.step
    monkeypatch.setattr(
        Trainer, "step", lambda trainer, number, *feed: seen.append(number) or step(trainer, number, *feed)
    )
    return seen


def interrupted(run, images, paths, monkeypatch, at: int) -> None:
    """Train until a signal comes in the middle of a step."""
    step = Trainer.step

    def signalled(trainer, number, *feed):
        if number == at:
            signal.raise_signal(signal.SIGTERM)
        return step(trainer, number, *feed)

    steps = run.config["training"]["steps"]
    with monkeypatch.context() as patch, pytest.raises(Interrupted, match=f"stopped at step {at} of {steps}"):
        patch.setattr(Trainer, "step", signalled)
        train(run, Data(images), paths)


def weights(run, paths) -> dict[str, str]:
    """The digest of each file of weights."""
    folder = paths.run(run.key)
    return {path.name: file_digest(path) for path in sorted(folder.rglob("*.safetensors"))}


def losses(run, paths) -> list[tuple[int, float, float]]:
    lines = read_lines(paths.run(run.key) / "log.jsonl")
    return [(line["step"], line["loss_d"], line["loss_g"]) for line in lines]

"""Several processes train one run as one process does, and a batch in parts as the whole."""

import dataclasses
import os
import pickle
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from sagan.training.loop import Data, train
from tests import read_lines, varied, wait_for
from tests.training.conftest import prepared

CHILD = """
import pickle, sys
from pathlib import Path
from sagan.errors import UserError
from sagan.training.loop import Interrupted, train
try:
    train(*pickle.loads(Path(sys.argv[1]).read_bytes()))
except (Interrupted, UserError) as error:
    sys.exit(f"said: {error}")
"""


def torchrun(folder, run, images, paths, count=2, until=None):
    """Train with several processes, as a user would start them; with SIGTERM once there are `until` logged steps."""
    (folder / "child.py").write_text(CHILD)
    (folder / "arguments").write_bytes(pickle.dumps((run, Data(images), paths)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    arguments = [str(folder / "child.py"), str(folder / "arguments")]
    process = subprocess.Popen(command + arguments, stderr=subprocess.PIPE, text=True, env=environment)
    if until:
        log = paths.run(run.key) / "log.jsonl"
        wait_for(lambda: log.exists() and len(read_lines(log)) >= until, process)
        process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=240)[1]
    return process.returncode, said


def smoothly(run, **variant):
    """With Adam's usual betas: with (0, 0.9) every step is nearly the gradient's sign, which rounding turns."""
    return varied(run, optimizer={"lr_g": 1e-3, "lr_ratio": 2.0, "betas": [0.9, 0.999]}, **variant)


@pytest.mark.parametrize("parts", [1, 2])
def test_two_processes_train_what_one_does(run, images, paths, tmp_path, parts):
    """Batch norm in the generator, augmentation and the gradient penalty's mixing: all are of the whole batch."""
    regularisers = {"gradient_penalty": 1.0}
    run = varied(run, {"accumulate": parts})
    run = smoothly(run, n_dis=2, augment=["color", "translation"], regularisers=regularisers)
    alone = train(run, Data(images), paths).content()
    shared = dataclasses.replace(paths, root=tmp_path / "shared")
    code, said = torchrun(tmp_path, run, images, shared)
    assert code == 0, said
    together = read_lines(shared.run(run.key) / "log.jsonl")
    for ours, theirs in zip(read_lines(paths.run(run.key) / "log.jsonl"), together, strict=True):
        for name in ("loss_d", "loss_g", "penalty_d", "logits_real"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-4), (ours["step"], name)
    for file in ("generator.safetensors", "discriminator.safetensors"):
        one, two = load_file(paths.run(run.key) / file), load_file(shared.run(run.key) / file)
        for name, value in one.items():
            # Eight steps move a weight by up to 8e-3.
            torch.testing.assert_close(two[name], value, rtol=1e-4, atol=5e-5, msg=lambda m, n=name: f"{n}: {m}")
    record = train(run, Data(images), shared).content()
    assert (alone["provenance"]["processes"], record["provenance"]["processes"]) == ([1], [2])
    assert record["images"] == alone["images"] and not shared.state(run.key).exists()


def test_a_batch_that_does_not_divide_is_one_line(run, images, paths, tmp_path):
    code, said = torchrun(tmp_path, run, images, paths, count=3)
    lines = [line for line in said.splitlines() if line.startswith("said: ")]
    assert code != 0 and lines and "Error" not in said.split("said: ")[0]
    assert all(
        "training.batch_size = 4 does not divide into 3 processes x training.accumulate = 1" in line for line in lines
    )


def test_stopped_by_a_signal_it_goes_on_with_another_number_of_processes(run, images, paths, tmp_path):
    run = varied(run, {"steps": 200, "snapshots": [0, 200]})
    run = dataclasses.replace(run, execution={**run.execution, "checkpoint_every": 1000})
    code, said = torchrun(tmp_path, run, images, paths, until=5)
    stopped = [int(path.stem) for path in paths.state(run.key).glob("*.json")]
    assert code != 0 and len(stopped) == 1 and f"stopped at step {stopped[0]} of 200" in said
    record = train(run, Data(images), paths).content()
    assert record["status"] == "finished" and record["provenance"]["processes"] == [1, 2]
    steps = [entry["step"] for entry in read_lines(paths.run(run.key) / "log.jsonl")]
    assert steps == list(range(1, 201))


@pytest.mark.parametrize("objective", ["hinge", "non-saturating"])
def test_accumulated_gradients_are_those_of_the_whole_batch(run, images, objective):
    """Without batch norm, whose statistics are each part's own."""
    generator = {**run.config["variant"]["generator"], "norm": "none"}
    run = smoothly(run, generator=generator, objective=objective, n_dis=2)

    def gradients(parts):
        trainer, *feed = prepared(varied(run, {"accumulate": parts}), images)
        scalars = trainer.step(1, *feed)
        networks = (trainer.generator, trainer.discriminator)
        return scalars, torch.cat([p.grad.flatten() for network in networks for p in network.parameters()])

    (scalars, whole), (scalars_of_parts, of_parts) = gradients(1), gradients(4)
    torch.testing.assert_close(of_parts, whole, rtol=1e-4, atol=1e-6)
    for name, value in scalars.items():
        torch.testing.assert_close(scalars_of_parts[name], value)

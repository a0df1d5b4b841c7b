"""A recorded step is believed only where its replay leaves the same bytes."""

import dataclasses

import pytest
import torch

from sagan.training.batches import Noise, RealBatches
from sagan.training.graphs import GraphedStep
from sagan.training.loop import train
from sagan.training.step import Trainer

CPU = torch.device("cpu")


def recording(compute):
    """What a graph does, without a GPU: it runs on the inputs' storage, and its outputs lie where they lay."""
    outputs = {}

    def replay():
        for name, value in compute().items():
            outputs.setdefault(name, torch.empty_like(value)).copy_(value)
        return outputs

    return replay


def refused(compute):
    raise RuntimeError("operation not permitted when stream is capturing\nmore")


def wrong(compute):
    return lambda: compute() and compute()


def trained(config, images, capture=None, steps=10):
    trainer = Trainer(config, CPU)
    if capture:
        trainer._carry_out = GraphedStep(trainer._compute, trainer.state, "run", capture)
    size = config["training"]["batch_size"]
    real, noise = RealBatches(images, size, 0, False, CPU), Noise(size, 8, 0, "z", CPU)
    scalars = [trainer.step(step, real, noise) for step in range(1, steps + 1)]
    return trainer, [{name: float(value) for name, value in found.items()} for found in scalars]


@pytest.mark.parametrize("start", [2, 6], ids=["average-before", "average-after"])
@pytest.mark.parametrize("capture", [recording, refused, wrong])
def test_steps_are_the_same_with_a_graph_and_where_there_can_be_none(run, images, capfd, start, capture):
    """The average starts before or after steps are recorded: each way is a graph of its own."""
    training = {**run.config["training"], "ema": {"decay": 0.9, "start": start}}
    variant = {**run.config["variant"], "n_dis": 2, "augment": ["color", "cutout"]}
    config = {**run.config, "training": training, "variant": variant}
    plain, expected = trained(config, images)
    graphed, scalars = trained(config, images, capture)
    assert scalars == expected
    assert all(torch.equal(value, graphed.state()[name]) for name, value in plain.state().items())
    said = capfd.readouterr().err.splitlines()
    if capture is recording:
        assert not said and len(graphed._carry_out._replays) == (2 if start == 6 else 1)
    else:
        reason = "operation not permitted when stream is capturing" if capture is refused else "leaves other bytes"
        assert len(said) == 1 and reason in said[0] and said[0].startswith("run: no CUDA graph")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_a_run_with_graphs_gives_the_bytes_of_one_without(with_training, images, paths, tmp_path, capfd):
    run = with_training(steps=12, snapshots=[0, 12])
    records = []
    for graphs in (True, False):
        execution = {**run.execution, "device": "cuda", "cuda_graph": graphs}
        where = dataclasses.replace(paths, root=tmp_path / str(graphs))
        records.append(train(dataclasses.replace(run, execution=execution), images, where))
    assert "no CUDA graph" not in capfd.readouterr().err
    first, second = ({name: e["sha256"] for name, e in r["files"].items() if "log" not in name} for r in records)
    assert first == second

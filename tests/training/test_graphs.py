"""A recorded step is believed only where its replay leaves the same bytes."""

import dataclasses
import gc
import weakref
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from sagan.errors import UserError
from sagan.objectives import Objective
from sagan.training import step
from sagan.training.graphs import GraphedStep, cuda_capture
from sagan.training.loop import Data, train
from sagan.training.step import Trainer
from tests import varied
from tests.training.conftest import prepared


def recording(trainer):
    """What a graph does, without a GPU: it runs on the inputs' storage, and its outputs lie where they lay."""

    def capture(compute):
        outputs = {}

        def replay():
            for name, value in compute().items():
                outputs.setdefault(name, torch.empty_like(value)).copy_(value)
            return outputs

        return replay

    return capture


def refused(trainer):
    def capture(compute):
        raise RuntimeError("not permitted when stream is capturing\nmore")

    return capture


def drawing(trainer):
    """Of own code: numbers that a graph writes down once, on the CPU, and repeats."""
    capture, numbers = recording(trainer), []

    def recorded(compute):
        numbers.append(torch.rand(()))
        return capture(compute)

    return recorded


def broken_off(trainer):
    """In the middle of a recording, in the generator's own update."""

    def fails(real, fake):
        raise RuntimeError("broken off")

    def capture(compute):
        whole = trainer.made_of
        trainer.made_of = dataclasses.replace(whole, objective=Objective(whole.objective.discriminator, fails))
        try:
            compute()
        finally:
            trainer.made_of = whole

    return capture


def wrong(trainer):
    return lambda compute: lambda: compute() and compute()


def trained(run, images, capture=None, steps=10, exact=True):
    trainer, *feed = prepared(run, images)
    if capture:
        trainer._carry_out = GraphedStep(trainer._compute, trainer.state, "run", capture(trainer), exact)
    scalars = [trainer.step(number, *feed) for number in range(1, steps + 1)]
    return trainer, [{name: float(value) for name, value in found.items()} for found in scalars]


@pytest.mark.parametrize("start", [2, 6], ids=["average-before", "average-after"])
@pytest.mark.parametrize("capture", [recording, drawing, wrong])
def test_steps_are_the_same_with_a_graph_and_where_its_replay_is_wrong(run, images, capfd, start, capture):
    """The average starts before or after steps are recorded: each way is a graph of its own."""
    run = varied(run, {"ema": {"decay": 0.9, "start": start}}, n_dis=2, augment=["color", "cutout"])
    torch.manual_seed(7)
    plain, expected = trained(run, images)
    drawn = torch.rand(())
    torch.manual_seed(7)
    graphed, scalars = trained(run, images, capture)
    assert scalars == expected
    assert torch.equal(torch.rand(()), drawn)  # a trial draws no numbers away
    assert all(torch.equal(value, graphed.state()[name]) for name, value in plain.state().items())
    said = capfd.readouterr().err.splitlines()
    if capture is wrong:
        assert len(said) == 1 and said[0].startswith("run: no CUDA graph: its replay leaves something else")
    else:
        assert not said and graphed._carry_out._replay is not None


@pytest.mark.parametrize(("capture", "reason"), [(refused, "not permitted when stream is"), (broken_off, "broken off")])
def test_a_recording_that_fails_ends_the_run_with_the_way_out(run, images, capture, reason):
    """CUDA warns of what a broken recording leaves behind: nothing goes on from there."""
    with pytest.raises(UserError, match=rf"^run: .*\({reason}.*say execution.cuda_graph: false") as told:
        trained(run, images, capture)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("says", "graphs"), [({}, False), ({"graphable": True}, True)])
def test_own_code_is_recorded_where_it_says_that_it_may_be(run, says, graphs, monkeypatch):
    made = []
    monkeypatch.setattr(step, "GraphedStep", lambda *arguments: made.append(arguments))
    monkeypatch.setattr(Trainer, "_placed", lambda trainer, network: network)
    monkeypatch.setattr(Trainer, "_adam", lambda trainer, *settings: None)
    own = SimpleNamespace(__functions__=set(), **says)
    Trainer(varied(run, extension={"file": "extensions/mine.py"}).typed, torch.device("cuda"), own=own)
    assert bool(made) == graphs


def rounding(trainer):
    """Of gradients as sums in another order leave them."""
    parameters = [p for network in (trainer.generator, trainer.discriminator) for p in network.parameters()]

    def capture(compute):
        def replay():
            generator = torch.Generator().manual_seed(0)

            def other_sum(gradient):
                return gradient + 1e-3 * gradient.abs().mean() * torch.randn(gradient.shape, generator=generator)

            hooks = [parameter.register_hook(other_sum) for parameter in parameters]
            found = compute()
            for hook in hooks:
                hook.remove()
            return found

        return replay

    return capture


@pytest.mark.parametrize(
    ("capture", "exact", "believed"), [(rounding, True, False), (rounding, False, True), (wrong, False, False)]
)
def test_sums_in_another_order_are_believed_without_deterministic_algorithms_and_other_steps_never(
    run, images, capfd, capture, exact, believed
):
    trainer, _ = trained(run, images, capture, exact=exact)
    assert (trainer._carry_out._replay is not None) == believed
    assert ("its replay leaves something else" in capfd.readouterr().err) != believed


def test_what_other_threads_ask_of_the_gpu_does_not_break_a_recording_off(monkeypatch):
    """The reader of batches may pin memory meanwhile; torch's default forbids that to every thread."""
    modes = []

    @contextmanager
    def recorded(graph, stream=None, capture_error_mode="global"):
        modes.append((stream, capture_error_mode))
        yield

    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: None))
    monkeypatch.setattr(torch.cuda, "graph", recorded)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: "its own")
    outputs = {"loss": torch.zeros(())}
    assert cuda_capture(lambda: outputs)() is outputs
    assert modes == [("its own", "thread_local")]


def test_only_one_graph_is_held_at_a_time(run, images):
    """What a graph has recorded keeps its memory."""
    held = []

    def counting(trainer):
        def capture(compute):
            gc.collect()
            assert all(earlier() is None for earlier in held)
            replay = recording(trainer)(compute)
            held.append(weakref.ref(replay))
            return replay

        return capture

    trained(varied(run, {"ema": {"decay": 0.9, "start": 6}}), images, counting)
    assert len(held) == 2


def test_on_a_gpu_the_rate_is_one_tensor_that_graphs_read(run, images):
    """What is written down as a number in a graph stays what it was."""
    optimizer = {**run.config["variant"]["optimizer"], "decay": "linear"}
    trainer, *_ = prepared(varied(run, optimizer=optimizer), images)
    group = trainer.optimizer_g.param_groups[0]
    group["lr"] = rate = torch.tensor(0.0)
    for number, left in ((1, 1.0), (5, 0.5)):
        trainer._set_learning_rates(number)
        assert group["lr"] is rate and float(rate) == pytest.approx(left * 1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_a_run_with_graphs_gives_the_bytes_of_one_without(run, images, paths, tmp_path, capfd):
    training = {"steps": 12, "snapshots": [0, 12], "ema": {"decay": 0.9, "start": 6}}
    optimizer = {**run.config["variant"]["optimizer"], "decay": "linear"}
    run = varied(run, training, optimizer=optimizer, n_dis=2, augment=["color", "translation"])
    records = []
    for graphs in (True, False):
        execution = {**run.execution, "device": "cuda", "cuda_graph": graphs}
        where = dataclasses.replace(paths, root=tmp_path / str(graphs))
        records.append(train(dataclasses.replace(run, execution=execution), Data(images), where))
    assert "no CUDA graph" not in capfd.readouterr().err
    first, second = ({name: e.sha256 for name, e in r.files.items() if "log" not in name} for r in records)
    assert first == second

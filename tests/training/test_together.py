"""Runs that take turns in one process have the bytes that each has alone, and do not hinder each other."""

import dataclasses
import os
import random
import signal
import time
from contextlib import contextmanager

import pytest
import torch

from sagan.errors import UserError
from sagan.store.locks import exclusive, is_locked, lock_of
from sagan.store.reading import read_run
from sagan.training import loop
from sagan.training.graphs import CaptureFailed
from sagan.training.loop import Data, Interrupted, Width, train, trained
from sagan.training.step import Trainer
from sagan.training.stopping import StopSignal
from tests import varied
from tests.training.conftest import losses, started, weights


@pytest.fixture
def runs(run):
    """Three that leave other settings of torch behind: determinism, precision."""
    found = []
    for seed, settings in enumerate(({}, {"deterministic": False}, {"precision": "bfloat16"})):
        one = varied(run, {"steps": 40, "snapshots": [0, 20, 40], **settings})
        key, config = f"tiny-s{seed}-0123456789", one.config | {"seed": seed}
        found.append(dataclasses.replace(one, key=key, seed=seed, config=config))
    return found


def test_three_in_one_process_leave_what_three_processes_do_also_when_killed(runs, images, paths, tmp_path):
    runs[1] = varied(runs[1], {"threads": 2})
    alone = [dataclasses.replace(paths, root=tmp_path / str(run.seed)) for run in runs]
    for run, place in zip(runs, alone, strict=True):
        assert started([run], images, place).wait(120) == 0
    for steps in sorted(random.sample(range(2, 30), 3)):
        process = started(runs, images, paths, until=steps)
        process.kill()
        process.wait()
        assert not any(read_run(run.key, paths).record for run in runs)
    process = started(runs, images, paths)
    assert process.communicate(timeout=120)[0].count(b"RunRecord") == 3
    for run, place in zip(runs, alone, strict=True):
        assert weights(run, paths) == weights(run, place), run.key
        assert losses(run, paths) == losses(run, place), run.key
        told = [read_run(run.key, p).record.provenance for p in (paths, place)]
        assert [t.threads for t in told] == [run.threads] * 2 and [t.together for t in told] == [3, 1]


def test_one_that_fails_leaves_the_others_alone(runs, images, paths, monkeypatch):
    step = Trainer.step

    def failing(trainer, number, *feed):
        if trainer.seed == 1 and number == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(trainer, number, *feed)

    monkeypatch.setattr(Trainer, "step", failing)
    found = {run.key: outcome for run, outcome in trained(runs, data_of(images), paths, StopSignal(), 3)}
    told = str(found[runs[1].key])
    assert isinstance(found[runs[1].key], UserError) and "with 3 runs at once" in told
    assert "cuda_graph = true" in told and "training.batch_size = 4" in told, "the settings to change"
    assert [found[run.key].status for run in (runs[0], runs[2])] == ["finished", "finished"]
    # Its lock is free.
    monkeypatch.undo()
    assert train(runs[1], Data(images), paths).status == "finished"


def test_a_recording_that_fails_ends_the_whole_process_and_the_others_go_on_another_time(
    runs, images, paths, monkeypatch
):
    step = Trainer.step

    def failing(trainer, number, *feed):
        if trainer.seed == 1 and number == 5:
            raise CaptureFailed("its step cannot be recorded as a CUDA graph")
        return step(trainer, number, *feed)

    monkeypatch.setattr(Trainer, "step", failing)
    [(run, outcome)] = trained(runs, data_of(images), paths, StopSignal(), 3)
    assert run == runs[1] and isinstance(outcome, CaptureFailed)
    assert not any(is_locked(lock_of(paths.run(run.key))) for run in runs)
    assert list(paths.state(runs[0].key).glob("*.json")), "it has a checkpoint"
    monkeypatch.undo()
    assert [outcome.status for _, outcome in trained(runs, data_of(images), paths, StopSignal(), 3)] == ["finished"] * 3


def test_a_signal_ends_the_wait_for_a_gpu(runs, images, paths, monkeypatch):
    """Another clone's job may have it for hours."""
    with StopSignal() as stop:

        @contextmanager
        def waiting(*_):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
            yield torch.device("cpu")

        monkeypatch.setattr(loop, "device_for", waiting)
        began = time.monotonic()
        ((_, outcome),) = trained(runs[:1], data_of(images), paths, stop)
        assert isinstance(outcome, Interrupted) and time.monotonic() - began < 10


def data_of(images):
    return lambda run: Data(images)


def test_while_one_is_in_other_hands_the_others_go_on(runs, images, paths, capfd):
    ended = []
    holding = exclusive(paths.run(runs[0].key))
    holding.__enter__()
    for run, _ in trained(runs, data_of(images), paths, StopSignal(), 3):
        ended.append(run.seed)
        if len(ended) == 2:
            holding.__exit__(None, None, None)
    assert sorted(ended[:2]) == [1, 2] and ended[2] == 0
    assert capfd.readouterr().err.count("waiting for it") == 1


def test_no_more_begin_than_take_turns_and_none_once_it_is_to_stop(runs, images, paths):
    begun = []

    def data(run):
        begun.append(run.seed)
        return Data(images)

    stop, found = StopSignal(), []
    runs[0] = varied(runs[0], {"steps": 4, "snapshots": [0, 4]})
    for run, outcome in trained(runs, data, paths, stop, 2):
        if not found:
            assert begun == [0, 1]
            stop.asked = True
        found.append((run.seed, outcome))
    assert begun == [0, 1]
    assert [(seed, isinstance(outcome, Interrupted)) for seed, outcome in found] == [(0, False), (1, True)]


@pytest.fixture
def gpu(monkeypatch):
    """A device on which k runs do `rates[k]` steps a second; returns how wide it got in the end."""

    def widest(rates, free=10**9, most=40_000, steps_a_run=None):
        now = [0.0]
        monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
        monkeypatch.setattr(loop.torch.cuda, "mem_get_info", lambda device: (free, free + 10**8))
        width, seen = Width(None), []
        for step in range(most):
            if steps_a_run and step % steps_a_run == 0:
                now[0] += 5  # what comes of a run that has ended
                width.waited(5)
            now[0] += 1 / rates[min(width.now, len(rates)) - 1]
            width.stepped(torch.device("cuda"), width.now)
            seen.append(width.now)
        return max(seen), width.now

    return widest


def test_a_gpu_gets_one_more_run_for_as_long_as_that_makes_all_faster(gpu):
    assert gpu([1000, 1900, 2600, 2650]) == (4, 3)
    assert gpu([1000, 1010]) == (2, 1)
    assert gpu([1000, 1900, 2600, 2650], steps_a_run=700) == (4, 3), "runs that end before a measurement does"
    assert gpu([1000, 1900, 2600], free=10**8) == (1, 1), "there was no room for another one"


def test_on_a_cpu_one_by_itself_and_what_is_asked_for_is_honoured():
    for asked, expected in ((None, 1), (3, 3)):
        width = Width(asked)
        for _ in range(1000):
            width.stepped(torch.device("cpu"), width.now)
        assert width.now == expected

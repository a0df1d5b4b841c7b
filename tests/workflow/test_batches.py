"""What is missing becomes batches: whole seeds first, of some minutes, smaller towards the end, apart what must be."""

import dataclasses
import math

import pytest

from sagan.plan import Plan
from tests import varied
from workflow import batches as module
from workflow.batches import batches


@pytest.fixture
def plan(planned):
    """Three variants of four seeds."""
    return planned("abc", 4)


def seeds(keys):
    return [int(key.split("-s")[1][0]) for key in keys]


@pytest.mark.parametrize(("seconds", "slots"), [(20.0, 2), (20.0, 4), (200.0, 2), (5.0, 2)])
def test_every_run_is_in_one_batch_seeds_in_order_and_no_slot_is_left_to_wait(plan, paths, costs, seconds, slots):
    costs |= dict.fromkeys(plan.runs, seconds - 1) | dict.fromkeys(plan.evaluations, 1.0)
    packed = batches(plan, paths, slots, 0, 600.0)
    keys = [key for batch in packed for key in batch.keys]
    assert sorted(keys) == sorted(plan.runs) and seeds(keys) == sorted(seeds(keys))
    assert all((batch.threads, batch.gpus) == (1, 0) for batch in packed)
    lengths = [seconds * len(batch.keys) for batch in packed]
    assert max(lengths) <= max(600.0, seconds) and lengths == sorted(lengths, reverse=True)
    # Carried out by whoever is free, they take little longer than the work does at best.
    free = [0.0] * slots
    for length in lengths:
        free[free.index(min(free))] += length
    assert max(free) <= 12 * seconds / slots + max(module.LEAST_SECONDS, seconds)


@pytest.mark.parametrize(("seconds", "sizes"), [(5000.0, [1] * 12), (None, [4, 3, 2, 1, 1, 1])])
def test_a_long_run_is_a_batch_and_without_estimates_their_number_counts(plan, paths, costs, seconds, sizes):
    if seconds is not None:
        costs |= dict.fromkeys(plan.runs, seconds) | dict.fromkeys(plan.evaluations, 1.0)
    assert [len(batch.keys) for batch in batches(plan, paths, 2, 0, 600.0)] == sizes


def test_on_a_cluster_a_batch_is_as_long_as_it_may_be_and_an_unknown_run_alone(plan, paths, costs):
    assert [len(batch.keys) for batch in batches(plan, paths, None, 0, 600.0)] == [1] * 12
    costs |= dict.fromkeys(plan.runs, 100.0) | dict.fromkeys(plan.evaluations, 20.0)
    assert [len(batch.keys) for batch in batches(plan, paths, None, 0, 600.0)] == [5, 5, 2]


def test_what_is_only_to_be_measured_is_the_first_of_its_seed(plan, paths, costs, monkeypatch):
    there = {"c-s0", "b-s1", "a-s2", "a-s2.e"}
    monkeypatch.setattr(module, "missing", lambda some, paths: [key for key in some.jobs if key not in there])
    keys = [key for batch in batches(plan, paths, 2, 0, 600.0) for key in batch.keys]
    assert [keys.index("c-s0"), keys.index("b-s1")] == [0, 3]
    assert "a-s2" not in keys and len(keys) == 11


def test_a_reference_that_no_measurement_waits_for_is_made_too(plan, paths, costs):
    alone = Plan(plan.runs, plan.references, {}, {})
    assert batches(alone, paths, 2, 0, 600.0)[0].keys[0] == "noise-ref"


def test_batches_have_the_threads_of_their_jobs(plan, paths, costs):
    wide = "b-s0"
    plan.runs[wide] = varied(plan.runs[wide], {"threads": 2})
    threads = {tuple(batch.keys): batch.threads for batch in batches(plan, paths, 2, 0, 600.0)}
    assert threads[wide,] == 2 and sorted(threads.values())[:-1] == [1] * (len(threads) - 1)


@pytest.fixture
def on_gpu(plan):
    def placed(together):
        for key, run in plan.runs.items():
            execution = run.execution | {"device": "auto", "together": together}
            plan.runs[key] = dataclasses.replace(run, execution=execution)
        return plan

    return placed


@pytest.mark.parametrize(("together", "fewest"), [("auto", 6), (3, 3), (1, 1)])
def test_on_gpus_those_that_take_turns_are_together_and_every_gpu_is_busy(on_gpu, paths, costs, together, fewest):
    plan = on_gpu(together)
    costs |= dict.fromkeys(plan.runs, 5000.0) | dict.fromkeys(plan.evaluations, 1.0)
    packed = batches(plan, paths, 64, 2, 600.0)
    assert all(batch.gpus == 1 for batch in packed) and len(packed) >= 2
    assert len(packed[0].keys) == fewest <= math.ceil(12 / 2)
    assert {batch.gpus for batch in batches(plan, paths, 4, 0, 600.0)} == {0}, "there is no GPU to take"

"""A plan of many short runs, and what they cost, made up."""

import dataclasses
from types import SimpleNamespace

import pytest

from sagan.plan import Evaluation, Plan, Reference
from workflow import batches, progress


@pytest.fixture
def planned(run):
    """Plans some seeds of each variant, each measured once, on one reference; a key is `a-s0`."""

    def plan(variants, seeds):
        runs = {}
        for variant, seed in ((variant, seed) for variant in variants for seed in range(seeds)):
            key, execution = f"{variant}-s{seed}", dict(run.execution)
            runs[key] = dataclasses.replace(run, key=key, variant=variant, seed=seed, execution=execution)
        reference = Reference("noise-ref", "noise", 28, "d" * 64, "classifier", "train", 1, "c" * 64, run.execution)
        settings = {"samples": 100, "curve_samples": 10, "threads": 1}
        evaluations = {
            f"{key}.e": Evaluation(f"{key}.e", key, reference.key, settings, "c" * 64, one.execution)
            for key, one in runs.items()
        }
        return Plan(runs, {reference.key: reference}, evaluations, {})

    return plan


@pytest.fixture
def costs(monkeypatch):
    """What a key takes by the records, in seconds, a run in eight steps; a test sets it."""
    known = {}

    def seconds(key, from_step=0):
        return known[key] * (1 - from_step / 8) if key in known else None

    for module in (batches, progress):
        monkeypatch.setattr(module, "Costs", lambda plan, paths: SimpleNamespace(seconds=seconds))
    return known

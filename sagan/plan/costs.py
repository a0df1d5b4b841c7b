"""Estimates of what is still to be done, from what such jobs took so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from statistics import median, median_low
from typing import Any

from sagan.plan import Plan
from sagan.store.paths import Paths
from sagan.store.reading import all_records, read_log
from sagan.store.records import canonical, digest
from sagan.store.types import EvaluationRecord, LogLine, RunRecord

# Where so many times a training's own seconds have passed, it did not only share the machine: it was stopped.
_PAUSED = 10


class Costs:
    """Seconds that a plan's jobs take, by the runs and evaluations on disk, other plans' among them.

    A run that has begun is estimated by its own log, others by runs of the same recipe, else by those of the same
    backbone, width and image size; a measurement by those against the same reference. Where nothing of the kind has
    been done, nothing is said.
    """

    def __init__(self, plan: Plan, paths: Paths) -> None:
        self._plan = plan
        exact, similar, measured = defaultdict(list), defaultdict(list), defaultdict(list)
        records = all_records(RunRecord, paths)
        known: list[tuple[Mapping[str, Any], float]] = [
            (run.config, _steady(run) or run.seconds / run.steps) for run in records if run.steps
        ]
        self._own: dict[str, float] = {}
        for key in plan.runs.keys() - {run.key for run in records}:
            lines = pairwise(read_log(key, paths, tail=True))
            if paces := [_pace(a, b) for a, b in lines if b.step > a.step and b.time > a.time]:
                self._own[key] = median_low(paces)
                known.append((plan.runs[key].config, self._own[key]))
        for config, per_step in known:
            if shape := _shape(config):
                exact[_recipe(config)].append(per_step)
                similar[shape].append(per_step / config["training"]["batch_size"])
        for evaluation in all_records(EvaluationRecord, paths):
            if evaluation.generated_images and evaluation.seconds is not None:
                measured[evaluation.reference].append(evaluation.seconds)
        self._exact, self._similar, self._measured = _medians(exact), _medians(similar), _medians(measured)

    def seconds(self, key: str, from_step: int = 0) -> float | None:
        """Estimated seconds of one job of the plan; for a run, from a step on."""
        if key in self._plan.runs:
            run = self._plan.runs[key]
            training, per_step = run.config["training"], self._own.get(key, self._exact.get(_recipe(run.config)))
            if per_step is None and (per_image := self._similar.get(_shape(run.config))) is not None:
                per_step = per_image * training["batch_size"]
            return None if per_step is None else per_step * (training["steps"] - from_step)
        evaluation = self._plan.evaluations.get(key)
        return None if evaluation is None else self._measured.get(evaluation.reference)


def _pace(a: LogLine, b: LogLine) -> float:
    """Seconds a step between two lines, by the clock, as runs share the machine; a pause between them is none."""
    return min(b.time - a.time, _PAUSED * (b.seconds - a.seconds)) / (b.step - a.step)


def _steady(run: RunRecord) -> float | None:
    """Seconds a step by the clock, without the first ones; those of a CPU were counted for all threads together."""
    if not run.steady_steps or run.steady_seconds is None:
        return None
    told = run.provenance
    return run.steady_seconds / run.steady_steps / (told.threads if told.device_kind == "cpu" else 1)


def _recipe(config: Mapping[str, Any]) -> str:
    """All that a step's time depends on; its budget and its seed are not of it."""
    return digest(canonical([config["variant"], config["image"], config["training"]["batch_size"]]), 16)


def _shape(config: Mapping[str, Any]) -> tuple[str, int, int] | None:
    """Backbone, side and width; None where an older version's record does not say."""
    try:
        return config["variant"]["backbone"], config["image"]["resolution"], config["variant"]["generator"]["width"]
    except KeyError:
        return None


def _medians(groups: dict) -> dict:
    return {name: median(values) for name, values in groups.items()}

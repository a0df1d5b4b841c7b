"""What is still to be done would take so long, from what the same took before."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from sagan.paths import Paths
from sagan.plan import Evaluation, Plan, Run
from sagan.records import Json, canonical, digest, misfit, read_json
from sagan.results import SHAPES

# What of a record tells a cost; one without it, such as an older version's, tells none.
_RUN = {
    **SHAPES["run.json"],
    "config": {
        "variant": {"backbone": str, "generator": {"width": int}},
        "image": {"resolution": int},
        "training": {"batch_size": int},
    },
}
_EVALUATION = {**SHAPES["metrics.json"], "reference": str, "seconds": (int, float), "generated_images": int}


class Costs:
    """Seconds that a plan's jobs take, by the finished runs and evaluations on disk, other plans' among them.

    A run is estimated by runs of the same recipe, else by those of the same backbone, width and image size; a
    measurement by those against the same reference, image for image. Where nothing of the kind has been done,
    nothing is said.
    """

    def __init__(self, plan: Plan, paths: Paths) -> None:
        self._plan = plan
        exact, similar, measured = defaultdict(list), defaultdict(list), defaultdict(list)
        for record in _records(paths, "runs/*/run.json", _RUN):
            if record["steps"]:
                per_step = record["seconds"] / record["steps"]
                exact[_recipe(record["config"])].append(per_step)
                similar[_shape(record["config"])].append(per_step / record["config"]["training"]["batch_size"])
        for record in _records(paths, "evaluations/*/metrics.json", _EVALUATION):
            if record["generated_images"]:
                measured[record["reference"]].append(record["seconds"] / record["generated_images"])
        self._exact, self._similar, self._measured = _medians(exact), _medians(similar), _medians(measured)

    def seconds(self, key: str, from_step: int = 0) -> float | None:
        """Estimated seconds of one job of the plan; for a run, from a step on."""
        if key in self._plan.runs:
            return self._training(self._plan.runs[key], from_step)
        if key in self._plan.evaluations:
            return self._measuring(self._plan.evaluations[key])
        return None

    def _measuring(self, evaluation: Evaluation) -> float | None:
        per_image = self._measured.get(evaluation.reference)
        if per_image is None:
            return None
        run, settings = self._plan.runs[evaluation.run], evaluation.settings
        # The last snapshot's images are the final generator's; only seed 0 has the first one's.
        others = len(run.config["training"]["snapshots"]) - (1 if run.seed == 0 else 2)
        final = max(settings["samples"], settings["curve_samples"]) + (settings["draws"] - 1) * settings["samples"]
        return per_image * (final + others * settings["curve_samples"])

    def _training(self, run: Run, from_step: int) -> float | None:
        training = run.config["training"]
        per_step = self._exact.get(_recipe(run.config))
        if per_step is None and (per_image := self._similar.get(_shape(run.config))) is not None:
            per_step = per_image * training["batch_size"]
        return None if per_step is None else per_step * (training["steps"] - from_step)


def _records(paths: Paths, pattern: str, shape: Json) -> list[Json]:
    found = []
    for path in (paths.root / "results").glob(pattern):
        try:
            record = read_json(path)
        except (OSError, ValueError):
            continue
        if misfit(record, shape) is None:
            found.append(record)
    return found


def _recipe(config: Json) -> str:
    """All that a step's time depends on; its budget and its seed are not of it."""
    return digest(canonical([config["variant"], config["image"], config["training"]["batch_size"]]), 16)


def _shape(config: Json) -> tuple[str, int, int]:
    return config["variant"]["backbone"], config["image"]["resolution"], config["variant"]["generator"]["width"]


def _medians(groups: dict) -> dict:
    return {name: median(values) for name, values in groups.items()}

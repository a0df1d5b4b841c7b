"""What a suite left on disk: one row for each variant, seed and feature space, also where nothing is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sagan.params import Params
from sagan.plan import Plan
from sagan.store.paths import Paths
from sagan.store.reading import read_evaluation, read_log, read_reference, read_run
from sagan.store.records import Json
from sagan.store.types import CurvePoint, EvaluationRecord, LogLine, MetricValue, ReferenceRecord, RunRecord

# A run has worsened that ends so many times as far from the data as it once was.
WORSENED_FACTOR = 2.0


@dataclass(frozen=True)
class Row:
    """A variant with a seed in one feature space, and what of it is there. `set_aside` says why an evaluation that is
    on disk does not count; it is None then."""

    variant: str
    seed: int
    space: str
    run: str
    evaluation_key: str
    config: Json
    reference: ReferenceRecord | None
    training: RunRecord | None
    log: list[LogLine]
    evaluation: EvaluationRecord | None
    set_aside: str | None
    fid_untrained: float | None = None

    @property
    def status(self) -> str:
        """measured, diverged or missing."""
        recorded = [record.status for record in (self.evaluation, self.training) if record]
        if recorded and recorded[0] == "diverged":
            return "diverged"
        return "measured" if self.evaluation else "missing"

    def metric(self, name: str) -> float | None:
        return _value(self.evaluation and self.evaluation.metrics, name)

    def reason(self, name: str) -> str | None:
        """What a metric's status says of it where that is not "measured": why it has no figure, or a bad one."""
        found = self.evaluation and self.evaluation.metrics.get(name)
        return found.status if found and found.status != "measured" else None

    @property
    def curve(self) -> list[CurvePoint]:
        return self.evaluation.curve if self.evaluation else []

    @property
    def loads(self) -> list[float]:
        return [line.load for line in self.log if line.load is not None]

    @property
    def lost(self) -> bool:
        """Trained to no FID at all: diverged, or its images or their features are not finite."""
        is_measurable = not (self.reason("fid") or "").startswith("too few images")
        return self.status == "diverged" or (self.status == "measured" and self.metric("fid") is None and is_measurable)

    @property
    def collapsed(self) -> bool:
        """Collapsed at some snapshot and to the end, or all final images are the same."""
        is_constant = self.reason("fid") is not None and self.metric("fid") is not None
        return bool(self.evaluation and self.evaluation.collapse.began is not None) or is_constant

    @property
    def went_wrong(self) -> bool:
        """Collapsed, no better than untrained, or more than twice as far from the data as it once was."""
        fid, untrained = self.metric("fid"), self.fid_untrained
        fids = [point.fid for point in self.curve if point.fid is not None]
        learned_nothing = fid is not None and untrained is not None and fid >= untrained
        worsened = self.status == "measured" and len(fids) > 1 and fids[-1] > WORSENED_FACTOR * min(fids)
        return self.collapsed or learned_nothing or worsened

    def at_step(self, step: int) -> dict[str, float | None]:
        """`images` seen, `seconds` and `step_seconds` spent up to a step, from the log; None where it does not say."""
        ends: list[tuple[int, LogLine | RunRecord]] = [(line.step, line) for line in self.log]
        ends += [(self.training.steps, self.training)] if self.training else []
        found: dict[str, float | None] = {}
        for name in ("images", "seconds", "step_seconds"):
            values = [getattr(end, name) for _, end in ends]
            known = bool(ends) and None not in values
            found[name] = float(np.interp(step, [0, *(at for at, _ in ends)], [0.0, *values])) if known else None
        return found | {"images": None if found["images"] is None else round(found["images"])}


def collect(suite: str, plan: Plan, params: Params, paths: Paths) -> list[Row]:
    """Everything on disk about a suite of the plan, in the order of `params.yaml`, feature space after feature space.

    Raises:
        UserError: a run's log is not JSON lines.
    """
    logs = {cell.run: read_log(cell.run, paths) for cell in plan.suites[suite]}
    trained = {run: read_run(run, paths).record for run in logs}
    rows = []
    for space in params.suites[suite].evaluation.spaces:
        cells = [(cell, cell.also.get(space, cell.evaluation)) for cell in plan.suites[suite]]
        reference = read_reference(plan.evaluations[cells[0][1]].reference, paths).record
        found = {key: read_evaluation(key, paths).record for _, key in cells}
        untrained = {key: _value(of and of.untrained, "fid") for key, of in found.items()}
        # The untrained generator is measured at seed 0 alone, for all runs of its recipe.
        of_recipe = {cell.variant: untrained[key] for cell, key in cells if cell.seed == 0}
        for cell, key in cells:
            set_aside = _other_weights(found[key], reference, paths) if found[key] and reference else None
            evaluation = None if set_aside else found[key]
            known = [fid for fid in (untrained[key], of_recipe.get(cell.variant)) if fid is not None and evaluation]
            names = (cell.variant, cell.seed, space, cell.run, key, plan.runs[cell.run].config)
            records = (reference, trained[cell.run], logs[cell.run], evaluation)
            rows.append(Row(*names, *records, set_aside, *known[:1]))
    return rows


def _value(metrics: Mapping[str, MetricValue] | None, name: str) -> float | None:
    return metrics[name].value if metrics and name in metrics else None


def _other_weights(evaluation: EvaluationRecord, reference: ReferenceRecord, paths: Paths) -> str | None:
    """Why an evaluation's figures do not compare with the others: the network that measured is not the reference's.

    Two machines train two classifiers under one reference key, and copied folders bring both together.
    """
    protocols = [evaluation.curve_protocol, *(metric.protocol for metric in evaluation.metrics.values())]
    digests = {protocol.get("weights_digest") for protocol in protocols} - {None}
    here = reference.weights_digest
    if here is None or digests <= {here}:
        return None
    folder = paths.evaluation(evaluation.key).relative_to(paths.root).as_posix()
    brought = paths.reference(reference.key).relative_to(paths.root).as_posix()
    others = ", ".join(sorted(digest[:12] for digest in digests - {here}))
    return (
        f"measured with other weights ({others}) than the reference here has ({here[:12]}): delete {folder} and run "
        f"`dvc repro`, or bring {brought} from where it was measured"
    )

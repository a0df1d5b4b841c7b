"""What a suite left on disk, as typed rows: one for each variant and seed, also where nothing is there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from sagan.errors import UserError
from sagan.params import Params
from sagan.params.suites import Suite
from sagan.plan import Cell, Plan
from sagan.store.paths import Paths
from sagan.store.reading import Found, read_evaluation, read_log, read_reference, read_run
from sagan.store.records import Json
from sagan.store.types import Collapse, CurvePoint, EvaluationRecord, LogLine, ReferenceRecord, RunRecord

WORSENED_FACTOR = 2.0

Status = Literal["measured", "diverged", "missing"]


@dataclass(frozen=True)
class Row:
    """A variant with a seed, and what of it is there.

    `trained` says of the run whether it is there, missing, torn or spoilt. `set_aside` says why an evaluation that is
    on disk does not count; it is None then.
    """

    variant: str
    seed: int
    run: str
    evaluation_key: str
    config: Json
    trained: Found[RunRecord]
    evaluation: EvaluationRecord | None
    log: list[LogLine]
    folder: Path
    set_aside: str | None = None

    @property
    def training(self) -> RunRecord | None:
        return self.trained.record

    @property
    def status(self) -> Status:
        recorded = [record.status for record in (self.evaluation, self.training) if record]
        if recorded and recorded[0] == "diverged":
            return "diverged"
        return "measured" if self.evaluation else "missing"

    @property
    def to_come(self) -> bool:
        """Not there, or trained and not measured, for no reason but that nobody has made it yet."""
        return self.status == "missing" and not self.set_aside and self.trained.state in ("there", "missing")

    def metric(self, name: str) -> float | None:
        found = self.evaluation and self.evaluation.metrics.get(name)
        return found.value if found else None

    def reason(self, name: str) -> str | None:
        """What a metric's status says of it where that is not "measured": why it has no figure, or a bad one."""
        found = self.evaluation and self.evaluation.metrics.get(name)
        return found.status if found and found.status != "measured" else None

    @property
    def defect(self) -> str | None:
        """What the measurement found wrong with the generated images, such as that all are the same."""
        return self.reason("fid")

    @property
    def lost(self) -> bool:
        """Trained to no FID at all: diverged, or its images or their features are not finite."""
        is_measurable = not (self.defect or "").startswith("too few images")
        return self.status == "diverged" or (self.status == "measured" and self.metric("fid") is None and is_measurable)

    @property
    def fid_untrained(self) -> float | None:
        found = self.evaluation and self.evaluation.untrained.get("fid")
        return found.value if found else None

    @property
    def curve(self) -> list[tuple[int, float]]:
        """(step, FID), without snapshots whose FID could not be measured."""
        return [(point.step, point.fid) for point in self.points if point.fid is not None]

    @property
    def points(self) -> list[CurvePoint]:
        """All snapshots, each with what could be measured of it."""
        return self.evaluation.curve if self.evaluation else []

    @property
    def lowest_fid(self) -> float | None:
        """Of the curve."""
        return min((fid for _, fid in self.curve), default=None)

    @property
    def learned_nothing(self) -> bool:
        """Finished, but no better than the untrained generator."""
        fid, untrained = self.metric("fid"), self.fid_untrained
        return fid is not None and untrained is not None and fid >= untrained

    @property
    def collapse(self) -> Collapse:
        return self.evaluation.collapse if self.evaluation else Collapse()

    @property
    def collapsed(self) -> bool:
        """Collapsed at some snapshot and to the end, or all final images are the same."""
        is_constant = self.defect is not None and self.metric("fid") is not None
        return self.collapse.began is not None or is_constant

    @property
    def worsened(self) -> bool:
        """Finished, but more than twice as far from the data as it once was."""
        fids = [fid for _, fid in self.curve]
        return self.status == "measured" and len(fids) > 1 and fids[-1] > WORSENED_FACTOR * min(fids)

    @property
    def went_wrong(self) -> bool:
        return self.collapsed or self.learned_nothing or self.worsened

    @property
    def step_seconds(self) -> float | None:
        """Of one generator step with its discriminator steps, by the clock of the steps alone; None of older runs."""
        record = self.training
        return record.step_seconds / record.steps if record and record.step_seconds and record.steps else None

    @property
    def hardware(self) -> tuple[str, int] | None:
        """What has to be equal for two speeds to be comparable."""
        return self.training and (self.training.provenance.device, self.training.provenance.threads)

    def thinned_log(self, count: int) -> list[LogLine]:
        """About so many lines, the first and the last among them."""
        every = -(-len(self.log) // count) or 1
        return [*self.log[:-1:every], *self.log[-1:]]

    def at_step(self, step: int) -> dict[str, float | None]:
        """`images` seen, `seconds` and `step_seconds` spent up to a step, from the log; None where it does not say."""
        ends: list[RunRecord | LogLine] = [*self.log, *([self.training] if self.training else [])]
        steps = [0, *(end.step if isinstance(end, LogLine) else end.steps for end in ends)]
        found: dict[str, float | None] = {}
        for name in ("images", "seconds", "step_seconds"):
            values = [0.0, *(getattr(end, name) for end in ends)]
            value = float(np.interp(step, steps, values)) if ends and None not in values else None
            found[name] = round(value) if name == "images" and value is not None else value
        return found


@dataclass(frozen=True)
class SuiteRecords:
    """A suite with its rows, in the order of `params.yaml`, measured in one feature space.

    `also` has the same runs in further spaces, by extractor. Figures of two spaces do not compare.
    """

    name: str
    suite: Suite
    rows: list[Row]
    reference: ReferenceRecord | None
    grids: dict[str, dict[str, dict[str, str]]]
    descriptions: dict[str, str]
    extractor: str
    experiment: str  # its name in MLflow
    unranked: frozenset[str] = frozenset()  # variants that are never compared
    also: dict[str, SuiteRecords] = field(default_factory=dict)

    @cached_property
    def _by_variant(self) -> dict[str, list[Row]]:
        rows: dict[str, list[Row]] = {}
        for row in self.rows:
            rows.setdefault(row.variant, []).append(row)
        return rows

    @property
    def variants(self) -> list[str]:
        return list(self._by_variant)

    @property
    def baseline(self) -> str:
        return self.suite.baseline

    def of(self, variant: str) -> list[Row]:
        return self._by_variant.get(variant, [])

    def config(self, variant: str) -> Json:
        """The variant's resolved recipe."""
        return self.of(variant)[0].config["variant"]

    def figures(self, variant: str, metric: str = "fid") -> dict[int, float]:
        """seed -> value, over the runs that have one."""
        values = {row.seed: row.metric(metric) for row in self.of(variant)}
        return {seed: value for seed, value in values.items() if value is not None}

    @property
    def floor(self) -> float | None:
        """FID between real held-out images and the real split: differences below it mean nothing."""
        return self.reference and self.reference.floor.fid


def collect(suite: str, plan: Plan, params: Params, paths: Paths) -> SuiteRecords:
    """Everything on disk about a suite of the plan.

    Raises:
        UserError: the plan does not hold the suite, or a run's log is not JSON lines.
    """
    if suite not in plan.suites:
        raise UserError(f"no suite {suite!r} in this plan (there are: {', '.join(plan.suites)})")
    cells, spaces = plan.suites[suite], params.suites[suite].evaluation.spaces
    rows = [
        Row(
            variant=cell.variant,
            seed=cell.seed,
            run=cell.run,
            evaluation_key=cell.evaluation,
            config=plan.runs[cell.run].config,
            trained=read_run(cell.run, paths),
            evaluation=None,
            log=read_log(cell.run, paths),
            folder=paths.evaluation(cell.evaluation),
        )
        for cell in cells
    ]
    names = {cell.variant for cell in cells}
    records = SuiteRecords(
        name=suite,
        suite=params.suites[suite],
        rows=rows,
        reference=None,
        grids={grid: of_grid for grid, of_grid in params.grids.items() if of_grid.keys() <= names},
        descriptions={cell.variant: _description(cell, params) for cell in cells},
        extractor=spaces[0],
        experiment=f"{params.tracking.experiment_prefix}{suite}",
        unranked=frozenset(cell.variant for cell in cells if not params.variants[cell.variant].ranked),
    )
    first, *others = (_in_space(records, plan, paths, extractor) for extractor in spaces)
    return replace(first, also={other.extractor: other for other in others})


def _description(cell: Cell, params: Params) -> str:
    """Of a combination of a grid, that of a variant which says the same recipe."""
    found = [params.variants[name].description for name in (cell.variant, *cell.aliases)]
    return next(filter(None, found), "")


def _in_space(records: SuiteRecords, plan: Plan, paths: Paths, extractor: str) -> SuiteRecords:
    """The same runs with their evaluations and their reference in one feature space."""
    keys = [cell.also.get(extractor, cell.evaluation) for cell in plan.suites[records.name]]
    reference = read_reference(plan.evaluations[keys[0]].reference, paths).record if keys else None
    rows = []
    for row, key in zip(records.rows, keys, strict=True):
        evaluation = read_evaluation(key, paths).record
        set_aside = _other_weights(evaluation, reference, paths) if evaluation and reference else None
        counted = None if set_aside else evaluation
        folder = paths.evaluation(key)
        rows.append(replace(row, evaluation_key=key, evaluation=counted, folder=folder, set_aside=set_aside))
    return replace(records, rows=_with_untrained(rows), reference=reference, extractor=extractor)


def _with_untrained(rows: list[Row]) -> list[Row]:
    """The untrained generator is measured at seed 0 alone, for all runs of its recipe."""
    first = {row.variant: row.evaluation.untrained for row in rows if row.seed == 0 and row.evaluation}
    return [
        replace(row, evaluation=row.evaluation.model_copy(update={"untrained": first[row.variant]}))
        if row.evaluation and row.fid_untrained is None and row.variant in first
        else row
        for row in rows
    ]


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

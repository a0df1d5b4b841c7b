"""What a suite left on disk, as typed rows: one for each variant and seed, also where nothing is there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np

from sagan.errors import UserError
from sagan.params import Params
from sagan.params.suites import Suite
from sagan.paths import Paths
from sagan.plan import Plan
from sagan.records import Json, read_lines
from sagan.results import recorded_evaluation, recorded_reference, recorded_run

METRICS = ("fid", "fid_infinity", "intra_fid", "kid", "is", "precision", "recall", "density", "coverage")
HIGHER_IS_BETTER = ("is", "precision", "recall", "density", "coverage")
WORSENED_FACTOR = 2.0

Status = Literal["measured", "diverged", "missing"]


@dataclass(frozen=True)
class Row:
    """A variant with a seed. `run_record`, `evaluation_record` and `log` are empty where they are not on disk.

    `set_aside` says why an evaluation that is on disk does not count; its record is empty then.
    """

    variant: str
    seed: int
    run: str
    evaluation: str
    config: Json
    run_record: Json
    evaluation_record: Json
    log: list[Json]
    folder: Path
    set_aside: str | None = None

    @property
    def status(self) -> Status:
        recorded = self.evaluation_record.get("status") or self.run_record.get("status")
        if recorded == "diverged":
            return "diverged"
        return "measured" if self.evaluation_record else "missing"

    def metric(self, name: str) -> float | None:
        return self.evaluation_record.get("metrics", {}).get(name, {}).get("value")

    def reason(self, name: str) -> str | None:
        """What a metric's status says of it where that is not "measured": why it has no figure, or a bad one."""
        status = self.evaluation_record.get("metrics", {}).get(name, {}).get("status", "measured")
        return None if status == "measured" else status

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
        return self.evaluation_record.get("untrained", {}).get("fid", {}).get("value")

    @property
    def curve(self) -> list[tuple[int, float]]:
        """(step, FID), without snapshots whose FID could not be measured."""
        return [(point["step"], point["fid"]) for point in self.points if point["fid"] is not None]

    @property
    def points(self) -> list[Json]:
        """All snapshots, each with what could be measured of it."""
        return self.evaluation_record.get("curve", [])

    @property
    def learned_nothing(self) -> bool:
        """Finished, but no better than the untrained generator."""
        fid, untrained = self.metric("fid"), self.fid_untrained
        return fid is not None and untrained is not None and fid >= untrained

    @property
    def collapse(self) -> Json:
        """Since when the images had almost no variance or reached almost nothing real ("began"), and why."""
        return self.evaluation_record.get("collapse", {})

    @property
    def collapsed(self) -> bool:
        """Collapsed at some snapshot and to the end, or all final images are the same."""
        is_constant = self.defect is not None and self.metric("fid") is not None
        return self.collapse.get("began") is not None or is_constant

    @property
    def worsened(self) -> bool:
        """Finished, but more than twice as far from the data as it once was."""
        fids = [fid for _, fid in self.curve]
        return self.status == "measured" and len(fids) > 1 and fids[-1] > WORSENED_FACTOR * min(fids)

    @property
    def went_wrong(self) -> bool:
        return self.collapsed or self.learned_nothing or self.worsened

    @property
    def images_per_second(self) -> float | None:
        return self.run_record.get("images_per_second")

    @property
    def seconds(self) -> float | None:
        return self.run_record.get("seconds")

    @property
    def seconds_per_step(self) -> float | None:
        """Per generator step, with its discriminator steps."""
        seconds, steps = self.seconds, self.run_record.get("steps")
        return seconds / steps if seconds and steps else None

    @property
    def hardware(self) -> tuple | None:
        """What has to be equal for two speeds to be comparable."""
        provenance = self.run_record.get("provenance")
        return provenance and (provenance.get("device"), provenance.get("threads"))

    def at_step(self, step: int) -> tuple[int | None, float | None]:
        """Real images seen and training seconds at a step, from the log; None where there is no log."""
        ends = [line for line in (*self.log, self.run_record) if "images" in line]
        if not ends:
            return None, None
        steps = [0, *(line.get("step", line.get("steps")) for line in ends)]
        images = np.interp(step, steps, [0, *(line["images"] for line in ends)])
        seconds = np.interp(step, steps, [0, *(line["seconds"] for line in ends)])
        return round(float(images)), float(seconds)


@dataclass(frozen=True)
class SuiteRecords:
    """A suite with its rows, in the order of `params.yaml`, measured in one feature space.

    `also` has the same runs in further spaces, by extractor. Figures of two spaces do not compare.
    """

    name: str
    suite: Suite
    rows: list[Row]
    reference: Json
    grids: dict[str, dict[str, dict[str, str]]]
    descriptions: dict[str, str]
    extractor: str
    experiment: str  # its name in MLflow
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

    def of(self, variant: str, status: Status | None = None) -> list[Row]:
        return [row for row in self._by_variant.get(variant, []) if status in (None, row.status)]

    def config(self, variant: str) -> Json:
        """The variant's resolved recipe."""
        return self.of(variant)[0].config["variant"]

    def figures(self, variant: str, metric: str = "fid") -> dict[int, float]:
        """seed -> value, over the runs that have one."""
        values = {row.seed: row.metric(metric) for row in self.of(variant)}
        return {seed: value for seed, value in values.items() if value is not None}

    @property
    def measured_metrics(self) -> list[str]:
        return [metric for metric in METRICS if any(row.metric(metric) is not None for row in self.rows)]

    @property
    def floor(self) -> float | None:
        """FID between real held-out images and the real split: differences below it mean nothing."""
        return self.reference.get("floor", {}).get("fid")

    def typical(self, variant: str) -> Row | None:
        """The run with the variant's median FID (of two in the middle, the worse), or the first that diverged."""
        fids = sorted((fid, seed) for seed, fid in self.figures(variant).items())
        if fids:
            seed = fids[len(fids) // 2][1]
            return next(row for row in self.of(variant) if row.seed == seed)
        return next(iter(self.of(variant, "diverged")), None)

    def median_images_per_second(self, variant: str) -> float | None:
        speeds = [row.images_per_second for row in self.of(variant) if row.images_per_second is not None]
        return median(speeds) if speeds else None


def collect(suite: str, plan: Plan, params: Params, paths: Paths) -> SuiteRecords:
    """Everything on disk about a suite of the plan.

    Raises:
        UserError: the plan does not hold the suite, or a run's log is not JSON lines.
    """
    if suite not in plan.suites:
        raise UserError(f"no suite {suite!r} in this plan (there are: {', '.join(plan.suites)})")
    first, *others = params.suites[suite].evaluation.spaces
    also = {extractor: _collect(suite, plan, params, paths, extractor) for extractor in others}
    return replace(_collect(suite, plan, params, paths, first), also=also)


def _collect(suite: str, plan: Plan, params: Params, paths: Paths, extractor: str) -> SuiteRecords:
    keys = {cell.run: cell.also.get(extractor, cell.evaluation) for cell in plan.suites[suite]}
    references = {plan.evaluations[key].reference for key in keys.values()}
    reference = (recorded_reference(references.pop(), paths) or {}) if references else {}
    rows = []
    for cell in plan.suites[suite]:
        folder = paths.evaluation(keys[cell.run])
        evaluation_record = recorded_evaluation(keys[cell.run], paths) or {}
        set_aside = _other_weights(evaluation_record, reference, paths)
        rows.append(
            Row(
                variant=cell.variant,
                seed=cell.seed,
                run=cell.run,
                evaluation=keys[cell.run],
                config=plan.runs[cell.run].config,
                run_record=recorded_run(cell.run, paths) or {},
                evaluation_record={} if set_aside else evaluation_record,
                log=read_lines(paths.run(cell.run) / "log.jsonl"),
                folder=folder,
                set_aside=set_aside,
            )
        )
    _share_untrained(rows)
    variants = dict.fromkeys(row.variant for row in rows)
    return SuiteRecords(
        name=suite,
        suite=params.suites[suite],
        rows=rows,
        reference=reference,
        grids={name: cells for name, cells in params.grids.items() if cells.keys() <= variants.keys()},
        descriptions={name: params.variants[name].description for name in variants},
        extractor=extractor,
        experiment=f"{params.tracking.experiment_prefix}{suite}",
    )


def _share_untrained(rows: list[Row]) -> None:
    """The untrained generator is measured at seed 0 alone, for all runs of its recipe."""
    at_seed_0 = {row.variant: row.evaluation_record.get("untrained", {}) for row in rows if row.seed == 0}
    for row in rows:
        if row.evaluation_record and row.fid_untrained is None:
            row.evaluation_record["untrained"] = at_seed_0.get(row.variant, {})


def _other_weights(evaluation: Json, reference: Json, paths: Paths) -> str | None:
    """Why an evaluation's figures do not compare with the others: the network that measured is not the reference's.

    Two machines train two classifiers under one reference key, and copied folders bring both together.
    """
    protocols = [metric.get("protocol", {}) for metric in evaluation.get("metrics", {}).values()]
    digests = {p.get("weights_digest") for p in (evaluation.get("curve_protocol", {}), *protocols)} - {None}
    here = reference.get("weights_digest")
    if here is None or digests <= {here}:
        return None
    folder = paths.evaluation(evaluation["key"]).relative_to(paths.root).as_posix()
    brought = paths.reference(reference["key"]).relative_to(paths.root).as_posix()
    others = ", ".join(sorted(digest[:12] for digest in digests - {here}))
    return (
        f"measured with other weights ({others}) than the reference here has ({here[:12]}): delete {folder} and run "
        f"`dvc repro`, or bring {brought} from where it was measured"
    )

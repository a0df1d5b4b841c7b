"""What is known of a suite: computed once in `build`, and only shown by the pages."""

from __future__ import annotations

from dataclasses import dataclass

from sagan.analysis.claims import Claim, Finding
from sagan.analysis.comparisons import Comparison
from sagan.analysis.curves import Dynamics, FidPoint
from sagan.analysis.literature import Published
from sagan.analysis.metrics import Metric
from sagan.analysis.questions import Questions
from sagan.analysis.rows import Row, SuiteRecords
from sagan.analysis.statistics import Estimate
from sagan.analysis.wording import UNRANKED


@dataclass(frozen=True)
class Counts:
    """What became of some runs. `ended_badly` has not collapsed."""

    total: int
    measured: int
    diverged: int
    missing: int
    collapsed: int
    ended_badly: int
    with_figures: int
    lost: int

    @property
    def present(self) -> int:
        return self.total - self.missing

    def told(self, *fates: str) -> str:
        """What became of how many, such as "2 diverged, 1 missing"; nothing of fates that no run met."""
        return ", ".join(f"{count} {fate.replace('_', ' ')}" for fate in fates if (count := getattr(self, fate)))

    @property
    def went_wrong(self) -> bool:
        return self.with_figures < self.total or self.collapsed + self.ended_badly > 0


@dataclass(frozen=True)
class Figures:
    """A variant's figures in one metric. `shown` is in the unit of `Metric.title`; `leads` where it is set apart."""

    estimate: Estimate | None
    shown: Estimate | None
    leads: bool


@dataclass(frozen=True)
class Variant:
    """A variant in one feature space.

    Attributes:
        figures: metric -> its figures.
        untrained: FID of the generator at step 0.
        images_per_second: median over seeds.
        typical: the run with the median FID (of two in the middle, the worse), or the first that diverged.
        copied: percent of generated images that are nearer to a training image than held-out ones are, over seeds.
        is_ranked: whether it is compared; otherwise it bears a mark.
        runs_at_cost: (seconds of the steps, FID) of each run that has both; `at_cost` is median and mean of these.
    """

    name: str
    description: str
    rows: list[Row]
    counts: Counts
    figures: dict[str, Figures]
    untrained: Estimate | None
    images_per_second: float | None
    parameters: dict[str, int]
    typical: Row | None
    copied: tuple[float, float] | None
    curve: list[FidPoint]
    runs_at_cost: list[tuple[float, float]]
    at_cost: tuple[float, float] | None
    is_ranked: bool = True

    @property
    def label(self) -> str:
        """Its name, with the mark of what is not ranked."""
        return self.name if self.is_ranked else f"{self.name} {UNRANKED}"

    @property
    def fid(self) -> Estimate | None:
        return self.figures["fid"].estimate

    def fids(self) -> list[float]:
        """Of each run that has one."""
        return [fid for row in self.rows if (fid := row.metric("fid")) is not None]


@dataclass(frozen=True)
class Space:
    """A suite's figures in one feature space; those of two spaces do not compare.

    Attributes:
        metrics: those with a figure in any run.
        unmeasured: those that were asked for and have none, with the first reason that was given.
        real: metric -> figure of real images of the other split, in the unit of `Metric.title`; None where unknown.
        protocols: (metric, full name, settings) of each metric; several where runs were measured differently.
        against_baseline: every other variant against the baseline.
    """

    records: SuiteRecords
    counts: Counts
    variants: dict[str, Variant]
    metrics: list[Metric]
    unmeasured: list[tuple[Metric, str]]
    real: dict[str, float | None] | None
    protocols: list[tuple[str, str, str]]
    against_baseline: dict[str, Comparison]

    @property
    def ranked(self) -> list[Variant]:
        return [variant for variant in self.variants.values() if variant.is_ranked]

    @property
    def unranked(self) -> list[Variant]:
        return [variant for variant in self.variants.values() if not variant.is_ranked]


@dataclass(frozen=True)
class Best:
    """The lowest mean FID, and which others it cannot be told from."""

    variant: Variant
    tied: list[str]


@dataclass(frozen=True)
class Modes:
    """Of stacked digits: who reaches the most of `total` modes, and whose spread over them is nearest to the data's.

    Of variants that lost no run. `floor` is the mode KL that as many real images have by chance.
    """

    total: int
    floor: float
    most: Variant
    nearest: Variant


@dataclass(frozen=True)
class Beside:
    """Generated images of one variant beside real held-out ones, of `count` each.

    `figures` has (metric, generated, real) in the unit of `Metric.title`; the generated ones are means over runs.
    """

    variant: str
    count: int
    split: str
    figures: list[tuple[Metric, float, float]]


@dataclass(frozen=True)
class Analysis:
    """Everything that a report says of a suite.

    Attributes:
        too_short: whether most runs are so near to their untrained generator that nothing is said of ingredients.
        questions: the suite's own, and their answers; None where it asks none.
        beside: of the best variant; None of evaluations that did not measure it.
        modes: None of data without modes, and of a single variant.
        headlines: the questions; without any, the ingredients that single pairs test. `told` are those that a page has
            room for.
        shown: the variants that charts show.
        front: the variants that none beats in both cost and FID.
        busy: whether a machine that trained had other work, so that times are rough.
        facts: (what, value) on where the figures come from. `machines` tells apart those that trained, if several.
        no_curve: why no snapshot has an FID; None where one has.
        searched: among how many of how many training images the nearest ones were looked for.
        published: FIDs of the literature on this data.
        class_rows: what the rows of the samples by class are -> the variants that are told of these classes.
    """

    records: SuiteRecords
    space: Space
    spaces: list[Space]
    too_short: bool
    questions: Questions | None
    beside: Beside | None
    modes: Modes | None
    headlines: list[Comparison]
    told: list[Comparison]
    best: Best | None
    claims: dict[Claim, Finding]
    shown: list[Variant]
    front: list[str]
    dynamics: Dynamics
    busy: bool
    facts: list[tuple[str, str]]
    machines: str | None
    no_curve: str | None
    searched: tuple[int, int] | None
    class_rows: dict[str, list[str]]
    published: tuple[Published, ...]

    @property
    def extremes(self) -> list[Variant]:
        """The variants of lowest and of highest mean FID."""
        ranked = sorted((v for v in self.space.ranked if v.fid), key=lambda v: (v.fid.mean, v.name))
        return [ranked[0], ranked[-1]] if len(ranked) > 1 else ranked

    @property
    def has_curve(self) -> bool:
        """Whether runs have snapshots between the untrained and the last one: two points are no curve."""
        return any(len(row.config["training"]["snapshots"]) > 2 for row in self.records.rows)

    @property
    def all_spaces(self) -> list[Space]:
        return [self.space, *self.spaces]

    @property
    def seeds(self) -> int:
        """Of each variant; of a suite that goes on, those of the last look."""
        if self.questions and self.questions.last_look:
            return self.questions.last_look.seeds
        return len({row.seed for row in self.records.rows})

    @property
    def title(self) -> str:
        return self.records.suite.title or self.records.name

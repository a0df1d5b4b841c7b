"""What a report says, as data: the rows of effects.csv, and report.json. Pages render these and nothing else.

Effects on a metric that is a distance are ratios, told in percent; on others they are differences in the metric's unit.
`low` and `high` are the ends of a 95 % interval, `decide_low` and `decide_high` those of the deciding one, simultaneous
over its family. `at` is `steps` or `time`, and a `budget` in steps or seconds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from sagan.metrics.table import METRICS, Metric

At = Literal["steps", "time"]
Row = dict[str, Any]  # of a table, whose columns are told by the function that makes it


def metric_of(name: str, better: str | None = None, scale: str | None = None) -> Metric:
    """A metric by name. Of one that is not known here lower is better and effects are ratios, unless told otherwise."""
    known = METRICS.get(name) or Metric(name, name, "lower", "log", "")
    return replace(known, better=better or known.better, scale=scale or known.scale)


class Part(BaseModel):
    # Fields of other versions are passed over, so that reports of other commits can be compared.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Compared(Part):
    """One level of a factor instead of another. The factor is `variant` of a single pair against the baseline."""

    question: str
    level: str
    instead_of: str


class Effect(Compared):
    """A row of effects.csv: what one level does instead of another to one metric, among runs of one level of a further
    factor (`given`: `factor=level`) or all. `answer` is `deciding.verdict` of the deciding interval, which rows along
    the budget lack."""

    given: str = ""
    metric: str
    space: str
    at: At
    budget: float
    scale: Literal["ratio", "difference"]
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    decide_low: float | None = None
    decide_high: float | None = None
    answer: str = ""
    runs: int = 0

    @property
    def direction(self) -> str | None:
        """`helps` or `hurts`, where it is sure."""
        return next((way for way in ("helps", "hurts") if self.answer.startswith(way)), None)


class Factor(Part):
    """A factor of the design: its name in words, and each level in words. The first level is what others replace."""

    title: str
    levels: dict[str, str]

    @property
    def first(self) -> str:
        return next(iter(self.levels))


class VariantFacts(Part):
    """A recipe: its further names, and the settings in which it differs from the baseline. One that is not `ranked` is
    shown, and never compared."""

    aliases: list[str] = []
    description: str = ""
    differs: dict[str, str] = {}
    ranked: bool = True


class Look(Part):
    """Seeds 0 to `seeds` - 1 of every cell, judged at `level`."""

    seeds: int
    level: float


class Design(Part):
    """What was asked and how it was measured: all that the tables of figures do not say.

    `recipe`, `training` and `evaluation` are settings in words, of the baseline and of the suite. `factors` are of the
    grid that answers the questions. `spaces` are feature spaces, that of the answers first. `better` and `scale` are of
    a metric that `metrics` does not know. `no_shorter` says why a snapshot is not what a shorter training gives.
    """

    suite: str
    title: str = ""
    dataset: str = ""
    resolution: int | None = None
    variants: dict[str, VariantFacts]
    baseline: str
    recipe: dict[str, str] = {}
    questions: list[str] = []
    grid: str = ""
    factors: dict[str, Factor] = {}
    alpha: float = 0.05
    smallest_effect: float = 0.05
    looks: list[Look] = []
    spaces: list[str]
    metric: str = "fid"
    better: Literal["lower", "higher"] | None = None
    scale: Literal["log", "linear"] | None = None
    steps: int | None = None
    training: dict[str, str] = {}
    evaluation: dict[str, str] = {}
    no_shorter: str | None = None

    @property
    def space(self) -> str:
        return self.spaces[0]

    @property
    def main(self) -> Metric:
        """The metric of the answers."""
        return metric_of(self.metric, self.better, self.scale)

    @property
    def unranked(self) -> list[str]:
        return [name for name, of in self.variants.items() if not of.ranked]

    @property
    def contrasts(self) -> list[tuple[str, str, str]]:
        """(question, level, instead_of): each level of each factor that is asked for against its first."""
        of = self.factors
        return [(name, level, of[name].first) for name in self.questions for level in list(of[name].levels)[1:]]


class Cost(Part):
    """Seconds of a step at one level over those at the other, with its 95 % interval, and the machine."""

    ratio: float
    low: float
    high: float
    machine: str


class Answer(Part):
    """A question's answer at one budget.

    Attributes:
        effect: its row of effects.csv; None where `why`, a key of `words.NO_ANSWER`, says why there is none.
        lost: runs that count as the worst of the design.
        answered_at: seeds of the look that gave the answer, where later ones were taken.
        won, pairs: in how many of so many pairs of runs the level is better.
        changes: 95 % interval of how far the effect moved over the last two snapshots.
        contradicted_by: further spaces that surely say the opposite. `depends_on`: factors that it surely depends on.
        needed: seeds a cell that would find the smallest effect worth having in 80 % of cases.
        at_this_cost: 95 % interval per second, were the cost ratio known and interpolation exact.
        error: the standard error, of a ratio that of its logarithm.
    """

    effect: Effect | None = None
    why: str | None = None
    lost: int = 0
    answered_at: int | None = None
    won: int = 0
    pairs: int = 0
    changes: tuple[float, float] | None = None
    still_changing: bool = False
    contradicted_by: list[str] = []
    depends_on: list[str] = []
    needed: int | None = None
    at_this_cost: tuple[float, float] | None = None
    error: float | None = None


class Question(Compared):
    """The answers per step and per second. `cost` None: no step times to compare. `worth` in steps: `times`, with `low`
    and `high`, which are None where a curve was not measured so far."""

    steps: Answer
    time: Answer
    cost: Cost | None = None
    worth: Row | None = None


class Standing(Part):
    """A variant among all. `mean` is geometric where effects are ratios; `beats_best` and `beats_baseline` are shares
    of pairs of runs."""

    variant: str
    mean: float
    runs: int
    may_be_best: bool
    beats_best: float | None
    beats_baseline: float | None


class Ranking(Part):
    """All variants at one budget, best first. Those that `may_be_best` hold the best with 95 % probability."""

    at: At
    budget: float
    standings: list[Standing]
    left_out: list[str] = []


class Clause(Part):
    """What was measured of a part of a claim, for one layer where it is of layers. The verdict is supported,
    contradicted, not decided, not tested here or not comparable."""

    text: str
    layer: str = ""
    measured: str
    verdict: str
    why: str = ""


class Claim(Part):
    text: str
    source: str
    clauses: list[Clause]


class Counts(Part):
    """What became of runs. `ended_badly` has not collapsed; `lost` have no figure because of training."""

    total: int = 0
    measured: int = 0
    diverged: int = 0
    missing: int = 0
    collapsed: int = 0
    ended_badly: int = 0
    lost: int = 0


class Mean(Part):
    """Arithmetic, over the runs that have a figure; `sd` None of a single one."""

    mean: float
    sd: float | None = None
    runs: int


class Space(Part):
    """A feature space: FID between real images (`floor`), the figures of `real` images of the other split, a trained
    classifier's `accuracy`, why metrics lack a figure, those of which all variants are so near to 0 that they say
    nothing at this budget, and what the runs have: variant -> metric -> mean."""

    name: str
    floor: float | None = None
    accuracy: float | None = None
    other_split: str = ""
    real: dict[str, float | None] = {}
    unmeasured: dict[str, str] = {}
    near_floor: list[str] = []
    means: dict[str, dict[str, Mean]] = {}


class ReportProvenance(Part):
    """Where the figures come from, and what a reader must know of them. Facts are `what` and `value`; a protocol is
    `space`, `metric`, its full `name` and its `settings`. `busy`: a machine that trained had other work, and no quiet
    runs say what a step costs."""

    facts: list[dict[str, str]] = []
    protocols: list[dict[str, str]] = []
    machines: dict[str, int] = {}
    busy: bool = False
    warnings: list[str] = []
    experiment: str = ""
    searched: tuple[int, int] | None = None
    class_rows: dict[str, list[str]] = {}


class Report(Part):
    """report.json. `waits`: what is missing before the questions have answers; `seeds_asked`: how many seeds each cell
    is asked for now. Rows are those of `deciding.interactions`, `ranking.steadier` and `power.design_power`."""

    design: Design
    provenance: ReportProvenance
    spaces: list[Space]
    counts: Counts
    by_variant: dict[str, Counts]
    too_short: bool = False
    seeds: int = 0
    seeds_asked: int = 0
    waits: str | None = None
    questions: list[Question] = []
    pairs: list[Question] = []
    interactions: list[Row] = []
    steadier: list[Row] = []
    rankings: list[Ranking] = []
    claims: list[Claim] = []
    power: list[Row] = []

    @property
    def dependences(self) -> list[Row]:
        """Sure interactions, one of each pair of an effect and a factor."""
        sure = [one for one in self.interactions if one["sure"]]
        return list({(one["question"], one["level"], one["by"]): one for one in sure}.values())

    def ranking(self, at: At) -> Ranking | None:
        return next((ranking for ranking in self.rankings if ranking.at == at), None)

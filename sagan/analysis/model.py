"""What a report says, as data: the rows of effects.csv, and report.json. Pages render these and nothing else.

Effects on a metric that is a distance are ratios, told in percent; on others they are differences in the metric's unit.
`low` and `high` are the ends of a 95 % interval, `decide_low` and `decide_high` those of the deciding one, simultaneous
over its family. `at` is `steps` or `time`, and a `budget` in steps or seconds.
"""

from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from sagan.metrics.table import METRICS, Metric

At = Literal["steps", "time"]
Row = dict[str, Any]  # of a table, whose columns are told by the function that makes it


def metric_of(name: str, better: str | None = None, scale: str | None = None) -> Metric:
    """A metric by name. Of one that is not known here lower is better and effects are ratios, unless told otherwise."""
    known = METRICS.get(name) or Metric(name, name, "lower", "log")
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
    factor (`given`: `factor=level`) or all. `answer` is `contrasts.verdict` of the deciding interval, which rows along
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
    """What was asked and how it was measured: all that the tables of figures do not say. Settings are in words."""

    suite: str
    title: str = ""
    dataset: str = ""
    resolution: int | None = None
    variants: dict[str, VariantFacts]
    baseline: str
    recipe: dict[str, str] = {}  # of the baseline
    questions: list[str] = []
    grid: str = ""  # that answers them, and its
    factors: dict[str, Factor] = {}
    alpha: float = 0.05
    smallest_effect: float = 0.05
    looks: list[Look] = []
    spaces: list[str]  # that of the answers first
    metric: str = "fid"
    better: Literal["lower", "higher"] | None = None  # of a metric that `metrics.table` does not know
    scale: Literal["log", "linear"] | None = None
    steps: int | None = None
    training: dict[str, str] = {}
    evaluation: dict[str, str] = {}
    no_shorter: str | None = None  # why a snapshot is not what a shorter training gives

    @property
    def space(self) -> str:
        return self.spaces[0]

    @property
    def main(self) -> Metric:
        """The metric of the answers."""
        return metric_of(self.metric, self.better, self.scale)

    @property
    def rows(self) -> dict[str, str]:
        """Each name of a variant, further ones too -> the one that the tables have."""
        return {name: row for row, of in self.variants.items() for name in (row, *of.aliases)}

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
    """A question's answer at one budget."""

    effect: Effect | None = None  # its row of effects.csv
    why: str | None = None  # there is none: a key of `words.NO_ANSWER`
    lost: int = 0  # runs, which count as the worst of the design
    answered_at: int | None = None  # seeds of the look that gave the answer, where later ones were taken
    won: int = 0  # of so many pairs of runs, those in which the level is better
    pairs: int = 0
    changes: tuple[float, float] | None = None  # how far the effect moved over the last two snapshots, 95 % interval
    still_changing: bool = False
    contradicted_by: list[str] = []  # further spaces that surely say the opposite
    depends_on: list[str] = []  # factors
    needed: int | None = None  # seeds a cell that would find the smallest effect worth having in 80 % of cases
    error: float | None = None  # standard error, of a ratio that of its logarithm


class Question(Compared):
    """The answers per step and per second."""

    steps: Answer
    time: Answer
    cost: Cost | None = None  # None: no step times to compare
    worth_in_steps: float | None = None  # how many times the steps; None where a curve was not measured so far


class Standing(Part):
    """A variant among all."""

    variant: str
    mean: float  # geometric where effects are ratios
    may_be_best: bool


class Ranking(Part):
    """All variants at one budget, best first. Those that `may_be_best` hold the best with 95 % probability."""

    at: At
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


class Space(Part):
    """A feature space, and what was measured in it."""

    name: str
    floor: float | None = None  # FID between real images
    accuracy: float | None = None  # of a trained classifier
    other_split: str = ""  # whose `real` images' figures these are
    real: dict[str, float | None] = {}
    unmeasured: dict[str, str] = {}  # metric -> why it has no figure
    near_floor: list[str] = []  # metrics of which all variants are too near to 0 to say anything at this budget
    means: dict[str, dict[str, Mean]] = {}  # variant -> metric -> of the runs


class ReportProvenance(Part):
    """Where the figures come from, and what a reader must know of them."""

    facts: list[dict[str, str]] = []  # `what` and `value`
    protocols: list[dict[str, str]] = []  # `space`, `metric`, its full `name` and its `settings`
    machines: dict[str, int] = {}
    busy: bool = False  # a machine that trained had other work, and no quiet runs say what a step costs
    warnings: list[str] = []
    experiment: str = ""
    searched: tuple[int, int] | None = None
    class_rows: dict[str, list[str]] = {}


class Report(Part):
    """report.json. Rows are those of `contrasts.interactions`, `spreads.steadier` and `spreads.design_power`."""

    design: Design
    provenance: ReportProvenance
    spaces: list[Space]
    counts: Counts
    by_variant: dict[str, Counts]
    too_short: bool = False
    seeds: int = 0
    seeds_asked: int = 0  # how many each cell is asked for now
    waits: str | None = None  # for what, before the questions have answers
    questions: list[Question] = []
    pairs: list[Question] = []
    interactions: list[Row] = []
    steadier: list[Row] = []
    rankings: list[Ranking] = []
    claims: list[Claim] = []
    power: list[Row] = []

    @property
    def dependences(self) -> list[Row]:
        """Sure interactions, one of each pair of an effect that is asked for and a factor."""
        sure = [one for one in self.interactions if one["sure"] and one["question"] in self.design.questions]
        return list({(one["question"], one["level"], one["by"]): one for one in sure}.values())

    @property
    def ranking(self) -> Ranking | None:
        """At equal steps."""
        return next((ranking for ranking in self.rankings if ranking.at == "steps"), None)

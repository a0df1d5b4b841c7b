"""What a report says, as data: the rows of effects.csv, and report.json. Pages render these and nothing else.

Effects on a metric that is a distance are ratios, told in percent; on others they are differences in the metric's unit.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal[
    "helps",
    "hurts",
    "no difference worth having",
    "helps, by less than is worth having",
    "hurts, by less than is worth having",
    "not decided",
    "",
]
# Why there is no answer.
Why = Literal[
    "too few runs",
    "no step times",
    "several machines",
    "too few snapshots",
    "learning rates decay",
    "networks grow",
]
At = Literal["steps", "time"]


class Part(BaseModel):
    # Fields of other versions are passed over, so that reports of other commits can be compared.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Effect(Part):
    """A row of effects.csv: what one level does instead of another to one metric.

    Attributes:
        question: a factor of the design; `variant` of a single pair against the baseline.
        given: empty, or `factor=level`: among runs with that level alone.
        budget: steps, or seconds.
        scale: `ratio` in percent, or `difference` in the metric's unit.
        low, high: the 95 % interval.
        decide_low, decide_high: the deciding interval, simultaneous over its family; None along the budget.
        answer: what the deciding interval says; empty where there is none.
        runs: figures that the estimate is of.
    """

    question: str
    level: str
    instead_of: str
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
    answer: Verdict = ""
    runs: int = 0

    @property
    def direction(self) -> Literal["helps", "hurts"] | None:
        """Where it is sure."""
        return next((way for way in ("helps", "hurts") if self.answer.startswith(way)), None)


COLUMNS = tuple(Effect.model_fields)


class Factor(Part):
    """A factor of the design: its name in words, and each level in words. The first level is what others replace."""

    title: str
    levels: dict[str, str]

    @property
    def first(self) -> str:
        return next(iter(self.levels))


class VariantFacts(Part):
    """A recipe. `aliases`: further names of it. `differs`: the settings in which it differs from the baseline. One that
    is not `ranked` is shown, and never compared."""

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

    Attributes:
        variants: in the suite's order.
        recipe: the baseline's settings; empty where no record says.
        factors: of the grid that answers the questions, in its order; empty where nothing is asked.
        spaces: feature spaces, the one of the answers first.
        better, scale: of a metric that `sagan.analysis.metrics` does not know.
        steps: the budget. `training`, `evaluation`: the suite's settings in words.
        no_shorter: why a snapshot is not what a shorter training gives.
    """

    suite: str
    title: str = ""
    dataset: str = ""
    kind: str | None = None
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
    no_shorter: Why | None = None

    @property
    def space(self) -> str:
        return self.spaces[0]


class Cost(Part):
    """Seconds of a step at one level over those at the other, with its 95 % interval, and the machine.

    `busy`: the machine had other work, so that only each run's fastest stretch between two snapshots counts.
    """

    ratio: float
    low: float
    high: float
    machine: str
    busy: bool = False


class Worth(Part):
    """How many times the steps it is worth, with its interval; None where a curve was not measured so far."""

    times: float
    low: float | None
    high: float | None


class Answer(Part):
    """A question's answer at one budget.

    Attributes:
        effect: its row of effects.csv; None where `why` says why there is none.
        seeds: the fewest runs in a cell. `lost`: lost runs, which count as the worst of the design.
        answered_at: seeds of the look that gave the answer, where later ones were taken.
        won, pairs: in how many of so many pairs of runs the level is better.
        changes: the interval, in percent, of how far the effect moved over the last two snapshots; `still_changing`
            where that is clear of 0.
        contradicted_by: further spaces that surely say the opposite.
        depends_on: factors with which it surely interacts.
        needed: seeds a cell that would find the smallest effect worth having in 80 % of cases.
        at_this_cost: its 95 % interval were the cost ratio known and interpolation exact; of answers per second.
        error: the standard error, of a ratio that of its logarithm.
    """

    effect: Effect | None = None
    why: Why | None = None
    seeds: int = 0
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


class Question(Part):
    """One level of a factor instead of another, per step and per second. `cost` None: no step times to compare."""

    question: str
    level: str
    instead_of: str
    steps: Answer
    time: Answer
    cost: Cost | None = None
    worth: Worth | None = None


class Interaction(Part):
    """How far a question's effect changes with another factor's level, in percent of the ratio; `sure` at the family's
    deciding interval. Its effects at either level are the rows of effects.csv with `given`."""

    question: str
    level: str
    instead_of: str
    by: str
    by_level: str
    by_instead_of: str
    estimate: float
    low: float
    high: float
    decide_low: float
    decide_high: float
    sure: bool


class Steadier(Part):
    """The spread of runs at one level over that at another, with its 95 % and deciding intervals."""

    question: str
    level: str
    instead_of: str
    ratio: float
    low: float
    high: float
    decide_low: float
    decide_high: float
    answer: Literal["steadier", "less steady", "not decided"]


class Standing(Part):
    """A variant among all. `mean` is geometric; `beats_best` and `beats_baseline` are shares of pairs of runs."""

    variant: str
    mean: float
    runs: int
    may_be_best: bool
    beats_best: float | None
    beats_baseline: float | None


class Ranking(Part):
    """All variants at one budget, best first. Not excluded as the best: a set that holds it with 95 % probability."""

    at: At
    budget: float
    standings: list[Standing]
    left_out: list[str] = []


class Clause(Part):
    """What was measured of a part of a claim, for one layer where it is of layers."""

    text: str
    layer: str = ""
    measured: str
    verdict: Literal["supported", "contradicted", "not decided", "not tested here", "not comparable"]
    why: str = ""


class AcrossSuites(Part):
    """One effect over several suites, in percent: a random-effects mean with its 95 % interval, and where the effect in
    a new suite lies with 95 %. `spread_share` is I^2."""

    suites: int
    mean: float
    low: float
    high: float
    new_low: float
    new_high: float
    spread_share: float


class Claim(Part):
    text: str
    source: str
    clauses: list[Clause]


class Power(Part):
    """What a design can find in 80 % of cases: an effect of `finds` percent, with `seeds` seeds in each of `cells`
    cells. `spread` is the standard deviation of log FID within a cell; `measured` says whether it is this suite's."""

    seeds: int
    cells: int
    finds: float | None
    spread: float
    measured: bool
    needed: int | None = None


class Fact(Part):
    what: str
    value: str


class Protocol(Part):
    space: str
    metric: str
    name: str
    settings: str


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
    """A feature space.

    Attributes:
        floor: FID between real images. `real`: figures of real images of the other split, by metric.
        real_count: real images that generated ones are compared with. `accuracy`: of a trained classifier.
        unmeasured: why metrics lack a figure.
        near_floor: metrics of which all variants are so near to 0 that they say nothing at this budget.
        means: variant -> metric -> what its runs have.
    """

    name: str
    floor: float | None = None
    real_count: int | None = None
    accuracy: float | None = None
    other_split: str = ""
    real: dict[str, float | None] = {}
    unmeasured: dict[str, str] = {}
    near_floor: list[str] = []
    means: dict[str, dict[str, Mean]] = {}


class ReportProvenance(Part):
    """Where the figures come from, and what a reader must know of them."""

    facts: list[Fact] = []
    protocols: list[Protocol] = []
    machines: dict[str, int] = {}
    busy: bool = False
    warnings: list[str] = []
    experiment: str = ""
    searched: tuple[int, int] | None = None
    class_rows: dict[str, list[str]] = {}


class Report(Part):
    """report.json. `waits`: what is missing before the questions have answers; `seeds_asked`: how many seeds each cell
    is asked for now."""

    version: Literal[1] = 1
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
    interactions: list[Interaction] = []
    steadier: list[Steadier] = []
    rankings: list[Ranking] = []
    claims: list[Claim] = []
    power: list[Power] = []

    def asked(self, question: str, level: str) -> Question | None:
        """A question by its factor and level."""
        return next((q for q in self.questions if (q.question, q.level) == (question, level)), None)

    @property
    def dependences(self) -> list[Interaction]:
        """Sure interactions, one of each pair of an effect and a factor."""
        return list({(one.question, one.level, one.by): one for one in self.interactions if one.sure}.values())

    def ranking(self, at: At) -> Ranking | None:
        return next((ranking for ranking in self.rankings if ranking.at == at), None)

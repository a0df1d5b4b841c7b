"""What the literature and its ports claim, clause by clause, and what this suite's figures say to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from sagan.analysis.design import amount, only_ingredient
from sagan.analysis.effects import all_effects
from sagan.analysis.model import Claim, Clause, Design, Effect, Question, Report
from sagan.analysis.tables import Tables
from sagan.analysis.words import change_with_interval, number, ratio_with_interval

SIGNIFICANT = 0.05
# The port whose gamma it is trains at this rate (Adam), so that gamma moves at most by it in a step.
PORT_RATE, RATE_FACTOR = 1e-4, 5.0
# Below this share of the entropy of uniform maps, a map counts as concentrated.
CONCENTRATED = 0.95
# Fewer runs decide nothing.
FEWEST_RUNS = 4
# So many of the runs have to show what a claim says of single runs, and so few to contradict it.
MOST, FEW = 0.8, 0.2


@dataclass(frozen=True)
class _Suite:
    """What claims are decided from. `runs`: of the main space and of ranked variants."""

    report: Report
    rows: list[Effect]
    tables: Tables
    runs: pd.DataFrame

    @property
    def design(self) -> Design:
        return self.report.design

    def question(self, title: str) -> Question | None:
        """The question, or else the single pair, that tests one ingredient alone: more of it instead of less."""
        found = (of for of in self.report.questions if self.design.factors[of.question].title == title)
        differs = {of.level: self.design.variants[of.level].differs for of in self.report.pairs}
        pairs = (of for of in self.report.pairs if only_ingredient(sorted(differs[of.level])) == title)
        if (of := next(found, None) or next(pairs, None)) is None or of.question != "variant":
            return of
        setting, word = min(differs[of.level].items())
        less, more = amount(word), amount(self.design.recipe.get(setting, "none"))
        return self._turned(of) if word == "none" or (None not in (less, more) and less < more) else of

    def _turned(self, of: Question) -> Question:
        """The same pair asked the other way round."""
        both = {name: self.design.variants[name] for name in (of.level, of.instead_of)}
        share = self.design.alpha / len(self.report.pairs)
        asked = {"baseline": of.level, "variants": both, "alpha": share, "questions": [], "factors": {}}
        tables = self.tables
        return all_effects(self.design.model_copy(update=asked), tables.runs, tables.snapshots, tables.costs).pairs[0]


Say = Callable[[_Suite, str], Iterator[Clause]]


def claims(report: Report, rows: list[Effect], tables: Tables) -> list[Claim]:
    """Every claim, each clause with what was measured; a clause of which nothing is tested here says so."""
    runs = tables.runs[tables.runs["space"] == report.design.space]
    suite = _Suite(report, rows, tables, runs[~runs["variant"].isin(report.design.unranked)])
    return [
        Claim(
            text=text,
            source=source,
            clauses=[
                clause
                for said, say in clauses.items()
                for clause in list(say(suite, said)) or [Clause(text=said, measured="", verdict="not tested here")]
            ],
        )
        for text, source, clauses in CLAIMS
    ]


def _verdict(supported: bool, contradicted: bool) -> str:
    return "supported" if supported else "contradicted" if contradicted else "not decided"


def _by_share(holds: pd.Series) -> str:
    """Of what a claim says of single runs."""
    share = holds.mean() if len(holds) >= FEWEST_RUNS else 0.5
    return _verdict(share >= MOST, share <= FEW)


def _improves(title: str, metric: str | None = None, is_claimed: bool = True) -> Say:
    """Whether an ingredient surely helps, per step; or (not `is_claimed`) surely gains nothing worth having."""

    def say(suite: _Suite, text: str) -> Iterator[Clause]:
        if (of := suite.question(title)) is None:
            return
        found = of.steps.effect
        if metric not in (None, suite.design.metric):
            key = (of.question, of.level, metric, suite.design.space, "steps", "")
            rows = (e for e in suite.rows if (e.question, e.level, e.metric, e.space, e.at, e.given) == key)
            found = next((row for row in rows if row.answer), None)
        if found is not None:
            sides = found.answer == "helps", found.direction == "hurts" or "worth having" in found.answer
            verdict = _verdict(*(sides if is_claimed else sides[::-1]))
            yield Clause(text=text, measured=change_with_interval(found), verdict=verdict)

    return say


def _costs(title: str, least: float, most: float) -> Say:
    """Whether the time of a step is so many times that without."""

    def say(suite: _Suite, text: str) -> Iterator[Clause]:
        if (of := suite.question(title)) is not None and (cost := of.cost) is not None:
            verdict = _verdict(least <= cost.low and cost.high <= most, cost.high < least or cost.low > most)
            yield Clause(text=text, measured=ratio_with_interval(cost), verdict=verdict)

    return say


def _layers(
    prefix: str, holds: Callable[[pd.Series], pd.Series], unlike: Callable[[Design], str] = lambda _: ""
) -> Say:
    """Of the magnitudes of each layer's runs, generators before discriminators; `unlike` says why not to compare."""

    def say(suite: _Suite, text: str) -> Iterator[Clause]:
        why = unlike(suite.design)
        for name in sorted((name for name in suite.runs if name.startswith(prefix)), reverse=True):
            network, _, side = name.removeprefix(prefix).partition(".")
            of = suite.runs[name].dropna().abs()
            if len(of):
                low, high = number(of.min()), number(of.max())
                told = low if low == high else f"{low} to {high}"
                yield Clause(
                    text=text,
                    layer=f"{network} at {side}x{side}",
                    measured=f"{told} in {len(of)} run{'s' if len(of) > 1 else ''}",
                    verdict="not comparable" if why else _by_share(holds(of)),
                    why=why,
                )

    return say


def _faster_than_the_port(design: Design) -> str:
    rate = float(design.recipe.get("optimizer.lr_g", "nan"))
    told = f"rates are {rate / PORT_RATE:.0f} times the port's, and gamma moves with the rate"
    return told if rate > RATE_FACTOR * PORT_RATE else ""


def _fewer_lost(suite: _Suite, text: str) -> Iterator[Clause]:
    if (of := suite.question("spectral norm in the generator")) is None:
        return
    runs = suite.runs[suite.runs["status"] != "missing"]
    bad = runs["lost"].astype(bool) | runs["went_wrong"].fillna(0).astype(bool)
    sides = [bad[runs[of.question] == level] for level in (of.level, of.instead_of)]
    (a, n), (b, m) = ((int(side.sum()), len(side)) for side in sides)
    p = float(stats.fisher_exact([[a, b], [n - a, m - b]]).pvalue)
    told = f"{a} of {n} with, {b} of {m} without (Fisher's p {number(p)})"
    yield Clause(text=text, measured=told, verdict=_verdict(p <= SIGNIFICANT and a < b, p <= SIGNIFICANT and a > b))


def _less_spread(suite: _Suite, text: str) -> Iterator[Clause]:
    of = suite.question("spectral norm in the generator")
    for one in [one for one in suite.report.steadier if of and one.question == of.question][:1]:
        told = f"{number(one.ratio)} times the spread ({number(one.low)} to {number(one.high)})"
        verdict = _verdict(one.answer == "steadier", one.answer == "less steady")
        yield Clause(text=text, measured=told, verdict=verdict)


def _loss(name: str, holds: Callable[[pd.Series], pd.Series]) -> Say:
    """A loss's trend over the last three quarters of the log, in units of its scatter, of runs that attend."""

    def say(suite: _Suite, text: str) -> Iterator[Clause]:
        log = suite.tables.training
        attends = log[[column for column in log if column.startswith("gamma.")]].notna().any(axis=1)
        runs = log[attends].groupby(["variant", "seed"])
        trends = pd.Series([_trend(of, name) for _, of in runs] if name in log else [], dtype=float).dropna()
        if len(trends):
            told = f"in {holds(trends).sum()} of {len(trends)} runs"
            yield Clause(text=text, measured=told, verdict=_by_share(holds(trends)))

    return say


def _trend(log: pd.DataFrame, name: str) -> float:
    late = log[log["step"] > log["step"].max() / 4].dropna(subset=[name])
    if len(late) < 10:
        return np.nan
    steps, losses = late["step"].to_numpy(float), late[name].to_numpy(float)
    fit = stats.linregress(steps, losses)
    scatter = float(np.std(losses - fit.intercept - fit.slope * steps))
    return float(fit.slope * (steps[-1] - steps[0])) / max(scatter, 1e-12)


CLAIMS: tuple[tuple[str, str, dict[str, Say]], ...] = (
    (
        "Attention improves FID and IS",
        "Zhang et al. 2018, ImageNet 128: FID 27.62 to 18.65, IS 36.8 to 52.52 for the whole recipe",
        {"FID falls": _improves("attention", "fid"), "IS rises": _improves("attention", "is")},
    ),
    (
        "Attention costs 10 to 30 % more training time",
        "an MNIST port",
        {"10 to 30 % more time a step": _costs("attention", 1.1, 1.3)},
    ),
    (
        # Its magnitude: with gamma and the output convolution both negated a layer is the same layer.
        "gamma leaves 0 and grows to 0.1 to 0.3",
        "a 64x64 face port; others see it near 0 or negative",
        {"its magnitude ends at 0.1 to 0.3": _layers("gamma.", lambda of: of.between(0.1, 0.3), _faster_than_the_port)},
    ),
    (
        "Attention maps start uniform and concentrate",
        "ports of SAGAN",
        {
            "they start uniform": _layers("entropy_untrained.", lambda of: of >= CONCENTRATED),
            "their entropy falls below 95 % of uniform maps'": _layers("entropy.", lambda of: of < CONCENTRATED),
        },
    ),
    (
        "Spectral norm in the generator steadies training: fewer lost runs, less spread",
        "Zhang et al. 2018, section 4.1",
        {"fewer runs are lost or go wrong": _fewer_lost, "runs spread less": _less_spread},
    ),
    (
        "With spectral norm and TTUR, one discriminator step per generator step is enough",
        "Zhang et al. 2018, section 4.2",
        {"more gain nothing worth having": _improves("discriminator steps per generator step", is_claimed=False)},
    ),
    (
        "One power iteration is enough",
        "Miyato et al. 2018; a port says five are needed",
        {"more gain nothing worth having": _improves("power iterations", is_claimed=False)},
    ),
    (
        "Losses settle early; then the generator's falls while the discriminator's stays level",
        "a 64x64 face port",
        {
            "the generator's falls": _loss("loss_g", lambda trend: trend < -1),
            "the discriminator's stays level": _loss("loss_d", lambda trend: trend.abs() < 1),
        },
    ),
)

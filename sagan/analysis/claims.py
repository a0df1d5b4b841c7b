"""What the literature and its ports claim, clause by clause, and what this suite's figures say to each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from sagan.analysis.design import only_ingredient
from sagan.analysis.model import Claim, Clause, Design, Effect, Question, Report
from sagan.analysis.tables import Tables
from sagan.analysis.words import change_with_interval, number, ratio_with_interval

SIGNIFICANT = 0.05
TIME_RANGE = (1.1, 1.3)
GAMMA_RANGE = (0.1, 0.3)
# The port whose gamma it is trains at this rate (Adam), so that gamma moves at most by it in a step.
PORT_RATE, RATE_FACTOR = 1e-4, 5.0
# Below this share of the entropy of uniform maps, a map counts as concentrated.
CONCENTRATED = 0.95
# Fewer runs decide nothing.
FEWEST_RUNS = 4
# So many of the runs have to show what a claim says of single runs, and so few to contradict it.
MOST, FEW = 0.8, 0.2
ATTENTION, GENERATOR_NORM, D_STEPS = (
    "attention",
    "spectral norm in the generator",
    "discriminator steps per generator step",
)
POWER_ITERATIONS = "power iterations"
# What becomes of a ratio's ends where it is turned over.
TURNED = {
    **{"estimate": "estimate", "low": "high", "high": "low"},
    **{"decide_low": "decide_high", "decide_high": "decide_low"},
}


@dataclass(frozen=True)
class _Suite:
    """What claims are decided from."""

    design: Design
    rows: list[Effect]
    report: Report
    tables: Tables
    runs: pd.DataFrame  # of the main space

    def question(self, title: str) -> Question | None:
        """The question, or else the single pair, that tests one ingredient alone: more of it instead of less."""
        names = {name for name, factor in self.design.factors.items() if factor.title == title}
        found = next((found for found in self.report.questions if found.question in names), None)
        return found or next((pair for of in self.report.pairs if (pair := self._pair(of, title))), None)

    def _pair(self, of: Question, title: str) -> Question | None:
        differs = self.design.variants[of.level].differs
        if only_ingredient(sorted(differs)) != title:
            return None
        setting = min(differs)
        return _reversed(of) if _is_less(differs[setting], self.design.recipe.get(setting, "none")) else of

    def metric(self, of: Question, metric: str) -> Effect | None:
        key = (of.question, of.level, metric, self.design.space, "steps", "")
        return next(
            (e for e in self.rows if (e.question, e.level, e.metric, e.space, e.at, e.given) == key and e.answer), None
        )


def claims(report: Report, rows: list[Effect], tables: Tables) -> list[Claim]:
    """Every claim, each clause with what was measured; a claim of which nothing is tested here says so."""
    runs = tables.runs[tables.runs["space"] == report.design.space]
    left_out = [name for name, of in report.design.variants.items() if not of.ranked]
    runs = runs[~runs["variant"].isin(left_out)]
    suite = _Suite(report.design, rows, report, tables, runs)
    return [
        Claim(text=text, source=source, clauses=[clause for of in clauses for clause in of(suite)])
        for text, source, clauses in CLAIMS
    ]


def _is_less(word: str, other: str) -> bool:
    """Whether a setting is less of something than another: off, or a smaller number."""
    try:
        return float(word) < float(other)
    except ValueError:
        return word in ("off", "none")


def _reversed(of: Question) -> Question:
    """The same pair asked the other way round."""
    effect, cost = of.steps.effect, of.cost
    if effect is not None:
        turned = {a: _inverse(getattr(effect, b)) for a, b in TURNED.items()}
        answer = effect.answer.replace("helps", "@").replace("hurts", "helps").replace("@", "hurts")
        effect = effect.model_copy(update={**turned, "answer": answer})
    if cost is not None:
        cost = cost.model_copy(update={"ratio": 1 / cost.ratio, "low": 1 / cost.high, "high": 1 / cost.low})
    steps = of.steps.model_copy(update={"effect": effect})
    sides = {"level": of.instead_of, "instead_of": of.level}
    return of.model_copy(update={**sides, "steps": steps, "cost": cost})


def _inverse(percent: float | None) -> float | None:
    return None if percent is None else 100 * (1 / (1 + percent / 100) - 1)


def _not_tested(text: str) -> list[Clause]:
    return [Clause(text=text, measured="", verdict="not tested here")]


def _improves(title: str, metric: str, text: str) -> Callable[[_Suite], list[Clause]]:
    """Whether an ingredient surely helps in one metric, per step."""

    def clause(suite: _Suite) -> list[Clause]:
        of = suite.question(title)
        found = of and (of.steps.effect if metric == suite.design.metric else suite.metric(of, metric))
        if not found:
            return _not_tested(text)
        small = found.answer.startswith("no difference") or "less than" in found.answer
        is_needless = found.direction == "hurts" or small
        verdict = "contradicted" if is_needless else "supported" if found.direction == "helps" else "not decided"
        return [Clause(text=text, measured=change_with_interval(found), verdict=verdict)]

    return clause


def _needless(title: str, text: str) -> Callable[[_Suite], list[Clause]]:
    """More instead of one: needless where it surely hurts, or surely gains nothing worth having."""

    def clause(suite: _Suite) -> list[Clause]:
        of = suite.question(title)
        if of is None or of.steps.effect is None:
            return _not_tested(text)
        answer = of.steps.effect.answer
        needless = answer.startswith(("no difference", "hurts")) or "less than" in answer
        verdict = "supported" if needless else "contradicted" if answer == "helps" else "not decided"
        return [Clause(text=text, measured=change_with_interval(of.steps.effect), verdict=verdict)]

    return clause


def _attention_costs(suite: _Suite) -> list[Clause]:
    text, of = "10 to 30 % more time a step", suite.question(ATTENTION)
    if of is None or of.cost is None:
        return _not_tested(text)
    (low, high), cost = TIME_RANGE, of.cost
    verdict = "not decided"
    if low <= cost.low and cost.high <= high:
        verdict = "supported"
    elif cost.high < low or cost.low > high:
        verdict = "contradicted"
    return [Clause(text=text, measured=ratio_with_interval(cost), verdict=verdict)]


def _gamma_grows(suite: _Suite) -> list[Clause]:
    """Of its magnitude, by layer: with gamma and the output convolution both negated a layer is the same layer."""
    low, high = GAMMA_RANGE
    text, found = "its magnitude ends at 0.1 to 0.3", _by_layer(suite.runs, "gamma.")
    if not found:
        return _not_tested(text)
    rate = float(suite.design.recipe.get("optimizer.lr_g", "nan"))
    why = ""
    if rate > RATE_FACTOR * PORT_RATE:
        why = f"rates are {rate / PORT_RATE:.0f} times the port's, and gamma moves with the rate"
    clauses = []
    for layer, values in found.items():
        magnitudes = values.abs()
        verdict = "not comparable" if why else _by_share(int(magnitudes.between(low, high).sum()), len(values))
        clauses.append(Clause(text=text, layer=layer, measured=_range(magnitudes), verdict=verdict, why=why))
    return clauses


def _maps_start_uniform(suite: _Suite) -> list[Clause]:
    text = "they start uniform"
    return [
        Clause(text=text, layer=layer, measured=_range(of), verdict=_by_share(int((of >= CONCENTRATED).sum()), len(of)))
        for layer, of in _by_layer(suite.runs, "entropy_untrained.").items()
    ] or _not_tested(text)


def _maps_concentrate(suite: _Suite) -> list[Clause]:
    text = "their entropy falls below 95 % of uniform maps'"
    return [
        Clause(text=text, layer=layer, measured=_range(of), verdict=_by_share(int((of < CONCENTRATED).sum()), len(of)))
        for layer, of in _by_layer(suite.runs, "entropy.").items()
    ] or _not_tested(text)


def _fewer_lost(suite: _Suite) -> list[Clause]:
    text, of = "fewer runs are lost or go wrong", suite.question(GENERATOR_NORM)
    if of is None:
        return _not_tested(text)
    runs = suite.runs[suite.runs["status"] != "missing"]
    bad, well = [], []
    for level in (of.level, of.instead_of):
        side = runs[runs[of.question] == level]
        bad.append(int((side["lost"].astype(bool) | side["went_wrong"].fillna(0).astype(bool)).sum()))
        well.append(len(side) - bad[-1])
    measured = f"{bad[0]} of {bad[0] + well[0]} with, {bad[1]} of {bad[1] + well[1]} without"
    p = float(stats.fisher_exact([bad, well]).pvalue)
    verdict = "not decided" if p > SIGNIFICANT else "supported" if bad[0] < bad[1] else "contradicted"
    return [Clause(text=text, measured=f"{measured} (Fisher's p {number(p)})", verdict=verdict)]


def _less_spread(suite: _Suite) -> list[Clause]:
    text, of = "runs spread less", suite.question(GENERATOR_NORM)
    found = next((one for one in suite.report.steadier if of and one.question == of.question), None)
    if found is None:
        return _not_tested(text)
    verdict = {"steadier": "supported", "less steady": "contradicted"}.get(found.answer, "not decided")
    measured = f"{number(found.ratio)} times the spread ({number(found.low)} to {number(found.high)})"
    return [Clause(text=text, measured=measured, verdict=verdict)]


def _loss(name: str, text: str, holds: Callable[[float], bool]) -> Callable[[_Suite], list[Clause]]:
    """A loss's trend over the last three quarters of the log, in units of its scatter, of runs that attend."""

    def clause(suite: _Suite) -> list[Clause]:
        names = [column for column in suite.tables.training if column.startswith("gamma.")]
        attending = suite.tables.training.dropna(subset=names, how="all") if names else suite.tables.training.iloc[:0]
        trends = [
            trend for _, log in attending.groupby(["variant", "seed"]) if (trend := _trend(log, name)) is not None
        ]
        if not trends:
            return _not_tested(text)
        count = sum(map(holds, trends))
        return [Clause(text=text, measured=f"in {count} of {len(trends)} runs", verdict=_by_share(count, len(trends)))]

    return clause


def _trend(log: pd.DataFrame, name: str) -> float | None:
    late = log[log["step"] > log["step"].max() / 4].dropna(subset=[name]) if name in log else log.iloc[:0]
    if len(late) < 10:
        return None
    steps, losses = late["step"].to_numpy(float), late[name].to_numpy(float)
    fit = stats.linregress(steps, losses)
    scatter = float(np.std(losses - fit.intercept - fit.slope * steps))
    return float(fit.slope * (steps[-1] - steps[0])) / max(scatter, 1e-12)


def _by_layer(runs: pd.DataFrame, prefix: str) -> dict[str, pd.Series]:
    """The finite figures of each layer, generators before discriminators; "generator at 14x14" -> its runs'."""
    names = sorted((name for name in runs if name.startswith(prefix)), reverse=True)
    found = {}
    for name in names:
        network, _, side = name.removeprefix(prefix).partition(".")
        values = runs[name].dropna()
        if len(values):
            found[f"{network} at {side}x{side}"] = values
    return found


def _range(values: pd.Series) -> str:
    low, high = number(float(values.min())), number(float(values.max()))
    return f"{low if low == high else f'{low} to {high}'} in {len(values)} run{'s' if len(values) > 1 else ''}"


def _by_share(count: int, total: int):
    if total < FEWEST_RUNS:
        return "not decided"
    return "supported" if count >= MOST * total else "contradicted" if count <= FEW * total else "not decided"


CLAIMS = (
    (
        "Attention improves FID and IS",
        "Zhang et al. 2018, ImageNet 128: FID 27.62 to 18.65, IS 36.8 to 52.52 for the whole recipe",
        (_improves(ATTENTION, "fid", "FID falls"), _improves(ATTENTION, "is", "IS rises")),
    ),
    ("Attention costs 10 to 30 % more training time", "an MNIST port", (_attention_costs,)),
    ("gamma leaves 0 and grows to 0.1 to 0.3", "a 64x64 face port; others see it near 0 or negative", (_gamma_grows,)),
    ("Attention maps start uniform and concentrate", "ports of SAGAN", (_maps_start_uniform, _maps_concentrate)),
    (
        "Spectral norm in the generator steadies training: fewer lost runs, less spread",
        "Zhang et al. 2018, section 4.1",
        (_fewer_lost, _less_spread),
    ),
    (
        "With spectral norm and TTUR, one discriminator step per generator step is enough",
        "Zhang et al. 2018, section 4.2",
        (_needless(D_STEPS, "more gain nothing worth having"),),
    ),
    (
        "One power iteration is enough",
        "Miyato et al. 2018; a port says five are needed",
        (_needless(POWER_ITERATIONS, "more gain nothing worth having"),),
    ),
    (
        "Losses settle early; then the generator's falls while the discriminator's stays level",
        "a 64x64 face port",
        (
            _loss("loss_g", "the generator's falls", lambda trend: trend < -1),
            _loss("loss_d", "the discriminator's stays level", lambda trend: abs(trend) < 1),
        ),
    ),
)

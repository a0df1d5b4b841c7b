"""What the literature and its ports claim, clause by clause, and what this suite's figures say to each."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats

from sagan.analysis.design import amount, only_ingredient
from sagan.analysis.effects import all_effects
from sagan.analysis.model import Claim, Clause, Question
from sagan.analysis.tables import Analysis
from sagan.analysis.words import change_with_interval, number

SIGNIFICANT = 0.05
# The port whose gamma it is trains at this rate (Adam), so that gamma moves at most by it in a step.
PORT_RATE, RATE_FACTOR = 1e-4, 5.0
# Below this share of the entropy of uniform maps, a map counts as concentrated.
CONCENTRATED = 0.95
# Fewer runs decide nothing.
FEWEST_RUNS = 4
# So many of the runs have to show what a claim says of single runs, and so few to contradict it.
MOST, FEW = 0.8, 0.2
GENERATOR_NORM = "spectral norm in the generator"
STEPS_RATIO = "discriminator steps per generator step"


Found = dict[str, str]  # `measured` and `verdict` of a clause; of layers `layer`, and `why` not to compare
Say = Callable[[Analysis], Iterable[Found]]


def claims(suite: Analysis) -> list[Claim]:
    """Every claim, each clause with what was measured; a clause of which nothing is tested here says so."""
    told, nothing = [], {"measured": "", "verdict": "not tested here"}
    for text, (source, parts) in CLAIMS.items():
        found = [(part, clause) for part, say in parts.items() for clause in list(say(suite)) or [nothing]]
        clauses = [Clause(text=part, **clause) for part, clause in found]
        told.append(Claim(text=text, source=source, clauses=clauses))
    return told


def _question(suite: Analysis, title: str) -> Question | None:
    """The question, or else the single pair, that tests one ingredient alone: more of it instead of less."""
    design, report, tables = suite.design, suite.report, suite.tables
    found = (of for of in report.questions if design.factors[of.question].title == title)
    differs = {of.level: design.variants[of.level].differs for of in report.pairs}
    pairs = (of for of in report.pairs if only_ingredient(sorted(differs[of.level])) == title)
    if (of := next(found, None) or next(pairs, None)) is None or of.question != "variant":
        return of
    setting, word = min(differs[of.level].items())
    if word != "none" and not amount(word) < amount(design.recipe.get(setting, "none")):
        return of
    # The same pair asked the other way round.
    both = {name: design.variants[name] for name in (of.level, of.instead_of)}
    alone = {"questions": [], "factors": {}, "alpha": design.alpha / len(report.pairs)}
    turned = design.model_copy(update={"baseline": of.level, "variants": both} | alone)
    return all_effects(turned, tables.runs, tables.snapshots, tables.costs).pairs[0]


def _runs(suite: Analysis) -> pd.DataFrame:
    """Of the main space and of ranked variants."""
    runs = suite.tables.runs
    return runs[(runs["space"] == suite.design.space) & ~runs["variant"].isin(suite.design.unranked)]


def _verdict(supported: bool, contradicted: bool) -> str:
    return "supported" if supported else "contradicted" if contradicted else "not decided"


def _by_share(holds: pd.Series) -> str:
    """Of what a claim says of single runs."""
    share = holds.mean() if len(holds) >= FEWEST_RUNS else 0.5
    return _verdict(share >= MOST, share <= FEW)


def _improves(suite: Analysis, title: str, metric: str = "fid", gains: bool = True) -> Iterator[Found]:
    """Whether an ingredient surely helps, per step; or (not `gains`) surely gains nothing worth having."""
    if (of := _question(suite, title)) is None:
        return
    found = of.steps.effect
    if metric != suite.design.metric:
        key = (of.question, of.level, metric, suite.design.space, "steps", "")
        rows = (e for e in suite.effects if (e.question, e.level, e.metric, e.space, e.at, e.given) == key)
        found = next((row for row in rows if row.answer), None)
    if found is not None:
        # A sure gain below what is worth having is on both sides: it supports what is claimed.
        sides = found.direction == "helps", found.direction == "hurts" or "worth having" in found.answer
        verdict = _verdict(*(sides if gains else sides[::-1]))
        yield {"measured": change_with_interval(found), "verdict": verdict}


def _attention_costs(suite: Analysis) -> Iterator[Found]:
    if (of := _question(suite, "attention")) is not None and (cost := of.cost) is not None:
        told = f"{cost.ratio:.2f} times the time a step ({cost.low:.2f} to {cost.high:.2f})"
        inside, outside = 1.1 <= cost.low <= cost.high <= 1.3, cost.high < 1.1 or cost.low > 1.3
        yield {"measured": told, "verdict": _verdict(inside, outside)}


def _layers(suite: Analysis, prefix: str, holds: Callable[[pd.Series], pd.Series], why: str = "") -> Iterator[Found]:
    """Of the magnitudes of each layer's runs, generators before discriminators."""
    runs = _runs(suite)
    for name in sorted((name for name in runs if name.startswith(prefix)), reverse=True):
        network, _, side = name.removeprefix(prefix).partition(".")
        if len(of := runs[name].dropna().abs()):
            low, high = number(of.min()), number(of.max())
            told = f"{low if low == high else f'{low} to {high}'} in {len(of)} run{'s' if len(of) > 1 else ''}"
            verdict = "not comparable" if why else _by_share(holds(of))
            yield {"layer": f"{network} at {side}x{side}", "measured": told, "verdict": verdict, "why": why}


def _gamma_grows(suite: Analysis) -> Iterator[Found]:
    """Of its magnitude: with gamma and the output convolution both negated a layer is the same layer."""
    rate = float(suite.design.recipe.get("optimizer.lr_g", "nan"))
    why = f"rates are {rate / PORT_RATE:.0f} times the port's, and gamma moves with the rate"
    return _layers(suite, "gamma.", lambda of: of.between(0.1, 0.3), why if rate > RATE_FACTOR * PORT_RATE else "")


def _fewer_lost(suite: Analysis) -> Iterator[Found]:
    if (of := _question(suite, GENERATOR_NORM)) is None:
        return
    runs = _runs(suite).query("status != 'missing'")
    bad = runs["lost"].astype(bool) | runs["went_wrong"].fillna(0).astype(bool)
    sides = [bad[runs[of.question] == level] for level in (of.level, of.instead_of)]
    (a, n), (b, m) = ((int(side.sum()), len(side)) for side in sides)
    p = float(stats.fisher_exact([[a, b], [n - a, m - b]]).pvalue)
    told = f"{a} of {n} with, {b} of {m} without (Fisher's p {number(p)})"
    yield {"measured": told, "verdict": _verdict(p <= SIGNIFICANT and a < b, p <= SIGNIFICANT and a > b)}


def _less_spread(suite: Analysis) -> Iterator[Found]:
    of = _question(suite, GENERATOR_NORM)
    for one in [one for one in suite.report.steadier if of and one["question"] == of.question][:1]:
        told = f"{number(one['ratio'])} times the spread ({number(one['low'])} to {number(one['high'])})"
        yield {"measured": told, "verdict": _verdict(one["answer"] == "steadier", one["answer"] == "less steady")}


def _loss(suite: Analysis, name: str, holds: Callable[[pd.Series], pd.Series]) -> Iterator[Found]:
    """A loss's trend over the last three quarters of the log, in units of its scatter, of runs that attend."""
    log = suite.tables.training
    attends = log[[column for column in log if column.startswith("gamma.")]].notna().any(axis=1)
    trends = []
    for _, run in log[attends].groupby(["variant", "seed"]) if name in log else ():
        late = run[run["step"] > run["step"].max() / 4].dropna(subset=[name])
        if len(late) >= 10:
            steps, losses = late["step"].to_numpy(float), late[name].to_numpy(float)
            fit = stats.linregress(steps, losses)
            scatter = np.std(losses - fit.intercept - fit.slope * steps)
            trends.append(fit.slope * (steps[-1] - steps[0]) / max(scatter, 1e-12))
    if trends:
        held = holds(pd.Series(trends))
        yield {"measured": f"in {held.sum()} of {len(held)} runs", "verdict": _by_share(held)}


# claim -> its source, and its clauses.
CLAIMS: dict[str, tuple[str, dict[str, Say]]] = {
    "Attention improves FID and IS": (
        "Zhang et al. 2018, ImageNet 128: FID 27.62 to 18.65, IS 36.8 to 52.52 for the whole recipe",
        {
            "FID falls": partial(_improves, title="attention"),
            "IS rises": partial(_improves, title="attention", metric="is"),
        },
    ),
    "Attention costs 10 to 30 % more training time": (
        "an MNIST port",
        {"10 to 30 % more time a step": _attention_costs},
    ),
    "gamma leaves 0 and grows to 0.1 to 0.3": (
        "a 64x64 face port; others see it near 0 or negative",
        {"its magnitude ends at 0.1 to 0.3": _gamma_grows},
    ),
    "Attention maps start uniform and concentrate": (
        "ports of SAGAN",
        {
            "they start uniform": partial(_layers, prefix="entropy_untrained.", holds=lambda of: of >= CONCENTRATED),
            "their entropy falls below 95 % of uniform maps'": partial(
                _layers, prefix="entropy.", holds=lambda of: of < CONCENTRATED
            ),
        },
    ),
    "Spectral norm in the generator steadies training: fewer lost runs, less spread": (
        "Zhang et al. 2018, section 4.1",
        {"fewer runs are lost or go wrong": _fewer_lost, "runs spread less": _less_spread},
    ),
    "With spectral norm and TTUR, one discriminator step per generator step is enough": (
        "Zhang et al. 2018, section 4.2",
        {"more gain nothing worth having": partial(_improves, gains=False, title=STEPS_RATIO)},
    ),
    "One power iteration is enough": (
        "Miyato et al. 2018; a port says five are needed",
        {"more gain nothing worth having": partial(_improves, gains=False, title="power iterations")},
    ),
    "Losses settle early; then the generator's falls while the discriminator's stays level": (
        "a 64x64 face port",
        {
            "the generator's falls": partial(_loss, name="loss_g", holds=lambda trend: trend < -1),
            "the discriminator's stays level": partial(_loss, name="loss_d", holds=lambda trend: trend.abs() < 1),
        },
    ),
}

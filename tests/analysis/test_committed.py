"""The committed reports' effects and deciding intervals, worked out again from their tables with plain numpy."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

REPORTS = Path(__file__).parents[2] / "reports"
SUITES = sorted(path.parent.name for path in REPORTS.glob("*/report.json"))
REPORT = {suite: json.loads((REPORTS / suite / "report.json").read_text(encoding="utf-8")) for suite in SUITES}
# Of two snapshots: a gap of a factor 4 errs by 7 %.
USUAL_CURVATURE = 0.07 / math.log(2) ** 2
ASKING = [suite for suite in SUITES if REPORT[suite]["design"].get("questions")]


class Suite:
    """A report's design and tables, and its rows of effects.csv that have these fields."""

    def __init__(self, name):
        self.design = REPORT[name]["design"]
        self.space, self.factors = self.design["spaces"][0], list(self.design.get("factors", {}))
        words = dict.fromkeys(["variant", "question", "level", "instead_of", "given", "answer", *self.factors], str)
        self.effects, self.runs, self.curves = (
            pd.read_csv(REPORTS / name / file, dtype=words, keep_default_na=False, na_values=[""])
            for file in ("effects.csv", "results.csv", "curves.csv")
        )
        self.levels = {name: list(of["levels"]) for name, of in self.design.get("factors", {}).items()}
        # (question, level, instead_of)
        self.asked = [
            (q, level, self.levels[q][0]) for q in self.design.get("questions", ()) for level in self.levels[q][1:]
        ]
        quiet = REPORTS / name / "costs.csv"
        self.quiet = pd.read_csv(quiet) if quiet.exists() else None

    def rows(self, **wanted):
        found = self.effects.fillna({"given": "", "answer": ""})
        for name, value in ({"metric": "fid", "space": self.space, "given": ""} | wanted).items():
            found = found if value is None else found[found[name] == value]
        return found.to_dict("records")

    def cells(self, table, value="fid", factors=None, log=True, space=None):
        """cell -> figures of the rows that are of the grid."""
        factors = factors or self.factors
        of = table[(table["space"] == (space or self.space))].dropna(subset=factors)
        y = of[value].groupby([of[name] for name in factors])
        return {cell: np.log(its) if log else np.array(its) for cell, its in y}


def interval(parts, estimate, level):
    """Satterthwaite's, of (variance, degrees of freedom)."""
    variance = sum(v for v, _ in parts)
    freedom = variance**2 / sum(v**2 / df for v, df in parts)
    reach = stats.t.ppf(1 - level / 2, freedom) * math.sqrt(variance)
    return estimate - reach, estimate + reach


def contrast(cells, place, level, other):
    sides = [[np.asarray(y) for cell, y in cells.items() if cell[place] == name] for name in (level, other)]
    estimate = np.mean([y.mean() for y in sides[0]]) - np.mean([y.mean() for y in sides[1]])
    return estimate, [(y.var(ddof=1) / len(y) / len(side) ** 2, len(y) - 1) for side in sides for y in side]


def won(cells, place, level, other):
    """Pairs of runs, equal in the other factors, of which the level's has the lower figure."""
    of = {(cell[place], cell[:place] + cell[place + 1 :]): y for cell, y in cells.items()}
    sides = [(y, of[other, rest]) for (mine, rest), y in of.items() if mine == level]
    return sum(int(one < two) for mine, theirs in sides for one in mine for two in theirs)


def percent(log):
    return 100 * (math.exp(log) - 1)


def agree(row, estimate, parts, level, widening=0.0, shown=percent):
    low, high = interval(parts, estimate, 0.05)
    assert row["estimate"] == pytest.approx(shown(estimate), abs=1e-6)
    assert (row["low"], row["high"]) == pytest.approx((shown(low - widening), shown(high + widening)), abs=1e-6)
    if level is None:
        assert np.isnan([row["decide_low"], row["decide_high"]]).all() and row["answer"] == ""
        return
    low, high = interval(parts, estimate, level)
    low, high = shown(low - widening), shown(high + widening)
    assert (row["decide_low"], row["decide_high"]) == pytest.approx((low, high), abs=1e-6)
    clear, small = low > 0 or high < 0, low > -5 and high < 5
    said = row["answer"]
    assert said.startswith(("helps", "hurts")) if clear else said in ("no difference worth having", "not decided")
    if row["scale"] == "ratio":
        assert said.startswith("helps" if high < 0 else "hurts") == clear
        assert ("less than" in said or "no difference" in said) <= small


@pytest.mark.parametrize("suite", map(Suite, ASKING), ids=ASKING)
def test_answers_per_step_at_each_level_of_the_others_and_along_the_budget(suite):
    cells = suite.cells(suite.runs)
    steps = sorted(set(suite.curves["step"][suite.curves["space"] == suite.space]) - {0})
    given = [row for row in suite.rows(at="steps", given=None) if row["given"]]
    assert len(given) == sum(len(suite.levels[by]) for asked in suite.asked for by in suite.factors if by != asked[0])
    for question, level, other in suite.asked:
        place, rows = suite.factors.index(question), suite.rows(question=question, level=level, at="steps")
        assert {row["instead_of"] for row in rows} == {other}
        assert sorted(row["budget"] for row in rows) == steps
        for row in rows:
            if row["budget"] == suite.design["steps"]:
                agree(row, *contrast(cells, place, level, other), 0.05 / len(suite.asked))
            else:
                there = suite.cells(suite.curves[suite.curves["step"] == row["budget"]])
                agree(row, *contrast(there, place, level, other), None)
        for row in (row for row in given if (row["question"], row["level"]) == (question, level)):
            name, _, setting = row["given"].partition("=")
            at = {cell: y for cell, y in cells.items() if cell[suite.factors.index(name)] == setting}
            agree(row, *contrast(at, place, level, other), 0.05 / len(given))


@pytest.mark.parametrize("name", ASKING)
def test_answers_per_second(name):
    """Log FID over log step, at what the cheaper level's last step takes; with the cost's error and interpolation's."""
    suite = Suite(name)
    of = suite.curves[suite.curves["space"] == suite.space].dropna(subset=suite.factors).sort_values("step")
    logs = np.log(sorted(set(of["step"]) - {0}))
    costs, curves = {}, {}
    for (*cell, _), run in of.groupby([*suite.factors, "seed"]):
        seconds = [0.0, *run["step_seconds"][run["step"] > 0]]
        costs.setdefault(tuple(cell), []).append(math.log(min(np.diff(seconds) / np.diff([0, *np.exp(logs)]))))
        curves.setdefault(tuple(cell), []).append(np.log(run["fid"][run["step"] > 0].to_numpy()))
    if suite.quiet is not None:
        cell_of = {row["variant"]: tuple(row[name] for name in suite.factors) for _, row in of.iterrows()}
        rounds = suite.quiet[suite.quiet["variant"].isin(cell_of)].groupby("variant")["step_seconds"]
        costs = {cell_of[variant]: np.log(seconds) for variant, seconds in rounds}
    for question, level, other in suite.asked:
        place = suite.factors.index(question)
        ratio, cost_parts = contrast(costs, place, level, other)
        dear, x = level if ratio > 0 else other, logs[-1] - abs(ratio)
        cells = {c: [np.interp(x, logs, y) if c[place] == dear else y[-1] for y in of] for c, of in curves.items()}
        estimate, parts = contrast(cells, place, level, other)
        mean = np.mean([np.mean(of, axis=0) for cell, of in curves.items() if cell[place] == dear], axis=0)
        near = int(np.searchsorted(logs, x))
        slope = (mean[near] - mean[near - 1]) / (logs[near] - logs[near - 1])
        curvature = (
            max(
                abs(np.interp(logs[k], logs[[k - 1, k + 1]], mean[[k - 1, k + 1]]) - mean[k])
                / ((logs[k] - logs[k - 1]) * (logs[k + 1] - logs[k]))
                for k in range(1, len(logs) - 1)
            )
            if len(logs) > 2
            else USUAL_CURVATURE
        )
        widening = curvature * (x - logs[near - 1]) * (logs[near] - x)
        [row] = [row for row in suite.rows(question=question, level=level, at="time") if row["answer"]]
        [told] = [of["time"] for of in REPORT[name]["questions"] if (of["question"], of["level"]) == (question, level)]
        assert told.get("won", 0) == won(cells, place, level, other) and told["effect"]["answer"] == row["answer"]
        parts = [*parts, *((slope**2 * variance, freedom) for variance, freedom in cost_parts)]
        assert told["error"] == pytest.approx(math.sqrt(sum(variance for variance, _ in parts)))
        agree(row, estimate, parts, 0.05 / len(suite.asked), widening)


@pytest.mark.parametrize("suite", map(Suite, SUITES), ids=SUITES)
def test_single_pairs(suite):
    base, others = suite.design["baseline"], set(suite.design["variants"]) - {suite.design["baseline"]}
    cells = suite.cells(suite.runs, factors=["variant"])
    answered = {name for name in others if np.isfinite(cells[name,]).sum() > 1}
    rows = [row for row in suite.rows(question="variant", at="steps") if row["budget"] == suite.design["steps"]]
    assert sorted(row["level"] for row in rows) == sorted(answered)
    for row in rows:
        agree(row, *contrast(cells, 0, row["level"], base), 0.05 / len(others))


@pytest.mark.parametrize("suite", map(Suite, ASKING), ids=ASKING)
def test_other_metrics_and_spaces_are_simultaneous_among_themselves(suite):
    rows = [row for row in suite.rows(metric=None, space=None) if row["answer"]]
    others = [row for row in rows if (row["metric"], row["space"]) != ("fid", suite.space)]
    others = [row for row in others if row["question"] in suite.factors]
    assert len({row["space"] for row in others}) == len(suite.design["spaces"])
    for row, asked in itertools.product(others, suite.asked):
        if row["at"] == "steps" and (row["question"], row["level"]) == asked[:2]:
            is_ratio = row["scale"] == "ratio"
            cells = suite.cells(suite.runs, row["metric"], log=is_ratio, space=row["space"])
            found = contrast(cells, suite.factors.index(asked[0]), *asked[1:])
            agree(row, *found, 0.05 / len(others), shown=percent if is_ratio else float)

"""Which questions, variants and runs a report shows, where there is no room for all."""

from __future__ import annotations

import pandas as pd

from sagan.analysis.build import Analysis
from sagan.analysis.model import Question, Report

# Variants in charts and on sheets, and comparisons in the first lines of a suite that asks nothing.
SHOWN = 8


def told_questions(report: Report) -> list[Question]:
    """What the first lines answer: the questions; of a suite that asks none, variants against the baseline."""
    if report.questions:
        return report.questions
    answered = [pair for pair in report.pairs if pair.steps.effect]
    if len(answered) <= SHOWN:
        return report.pairs[:SHOWN] if len(report.pairs) <= SHOWN else answered
    by_size = sorted(answered, key=lambda pair: pair.steps.effect.estimate)
    return [*by_size[: SHOWN // 2], *by_size[-SHOWN // 2 :]]


def shown_variants(report: Report) -> list[str]:
    """The baseline, and of a large suite the best and the worst."""
    ranking, names = report.ranking("steps"), list(report.design.variants)
    if len(names) <= SHOWN or ranking is None:
        return names[:SHOWN]
    order = [one.variant for one in ranking.standings if one.variant != report.design.baseline]
    half = (SHOWN - 1) // 2
    return [report.design.baseline, *order[: SHOWN - 1 - half], *order[-half:]]


def extremes(report: Report) -> list[str]:
    """The variants of the lowest and of the highest mean."""
    ranking = report.ranking("steps")
    return [ranking.standings[0].variant, ranking.standings[-1].variant] if ranking else []


def typical_run(analysis: Analysis, variant: str) -> pd.Series | None:
    """The row of results.csv of a variant's median run; of two in the middle, the worse. None without a figure."""
    runs, metric = analysis.tables.runs, analysis.design.metric
    of = runs[(runs["space"] == analysis.design.space) & (runs["variant"] == variant)].dropna(subset=[metric])
    return of.sort_values(metric, kind="stable").iloc[len(of) // 2] if len(of) else None

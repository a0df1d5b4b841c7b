"""Which questions, variants and runs a report shows, where there is no room for all."""

from __future__ import annotations

import pandas as pd

from sagan.analysis.build import Analysis
from sagan.analysis.model import Question, Report

# Variants in charts and on sheets, and comparisons in the first lines of a suite that asks nothing.
SHOWN = 8


def shown_variants(report: Report) -> list[str]:
    """All variants, or of a large suite the baseline, the best and the worst."""
    ranking, baseline, names = report.ranking("steps"), report.design.baseline, list(report.design.variants)
    if len(names) <= SHOWN:
        return names
    order = [one.variant for one in ranking.standings] if ranking else names
    others = [name for name in order if name != baseline]
    half = SHOWN // 2
    return [baseline, *others[:half], *others[half - SHOWN + 1 :]]


def told_questions(report: Report) -> list[Question]:
    """What the first lines answer: the questions; of a suite that asks none, variants against the baseline."""
    shown = shown_variants(report)
    return report.questions or [pair for pair in report.pairs if pair.level in shown]


def typical_run(analysis: Analysis, variant: str) -> pd.Series | None:
    """The row of results.csv of a variant's median run; of two in the middle, the worse. None without a figure."""
    runs, metric = analysis.tables.runs, analysis.design.metric
    of = runs[(runs["space"] == analysis.design.space) & (runs["variant"] == variant)].dropna(subset=[metric])
    return of.sort_values(metric, kind="stable").iloc[len(of) // 2] if len(of) else None

"""Which runs the answers are of: all of a plain number of seeds, or those of the looks that were taken.

The plan is a replay of the looks over the runs that there are, so that it depends on these alone, and not on when it
is made or what was interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from sagan.analysis.contrasts import contrast, figures_of
from sagan.analysis.deciding import (
    contrasts_asked,
    first_seeds,
    in_grid,
    interactions,
    main_metric,
    row,
    trusted,
    weights_of,
)
from sagan.analysis.metrics import metric_of
from sagan.analysis.model import Design, Effect, Interaction, Look

Asked = tuple[str, str]  # question, level


@dataclass(frozen=True)
class Replay:
    """What the looks say of the runs that there are.

    Attributes:
        runs: the grid's rows of the last look that was taken, in the main space; empty before the first.
        look: that look; None before the first.
        asked: how many seeds each cell is asked for now.
        answers: the row of each question with its first answer, size and interval being of the last look.
        answered_at: seeds of an earlier look that answered.
    """

    runs: pd.DataFrame
    look: Look | None
    asked: int
    answers: dict[Asked, Effect] = field(default_factory=dict)
    answered_at: dict[Asked, int] = field(default_factory=dict)
    interactions: list[Interaction] = field(default_factory=list)

    def depends_on(self, question: str) -> set[str]:
        """The factors with which a question surely interacts."""
        pairs = [{found.question, found.by} for found in self.interactions if found.sure]
        return set().union(*(pair - {question} for pair in pairs if question in pair))


def replay(design: Design, runs: pd.DataFrame) -> Replay:
    """Takes the looks in turn while their runs are there and a question is open. First answers stand.

    Look j is judged at its level over the number of questions: by Boole it errs with at most alpha / 2^j, and all of
    them with less than alpha. The size of an effect is that of the last look, since one that ends a question early is
    large by luck too.

    Args:
        runs: as of results.csv.
    """
    grid = in_grid(runs, design, design.space)
    looks = design.looks or [Look(seeds=grid["seed"].nunique(), level=design.alpha)]
    state = Replay(grid.iloc[:0], None, looks[0].seeds)
    for look in looks:
        of = first_seeds(grid, look.seeds)
        if of["seed"].nunique() < look.seeds or ("status" in of and (of["status"] == "missing").any()):
            return Replay(state.runs, state.look, look.seeds, state.answers, state.answered_at, state.interactions)
        state = _look(design, of, look, state)
        if all(effect.answer not in ("", "not decided") for effect in state.answers.values()):
            break
    return state


def _look(design: Design, runs: pd.DataFrame, look: Look, before: Replay) -> Replay:
    metric = main_metric(design)
    figures = figures_of(runs, list(design.factors), metric)
    crossed = interactions(design, figures, metric, look.level)
    now_crossed = Replay(runs, look, look.seeds, interactions=crossed)
    asked, answers, answered_at = contrasts_asked(design), {}, dict(before.answered_at)
    for question, level, instead_of in asked:
        empty = asked_row(design, question, level, instead_of)
        weights = weights_of(design, list(figures), question, level, instead_of)
        now = row(
            empty,
            trusted(contrast(figures, weights), weights),
            metric,
            design,
            look.level / len(asked),
            0,
            bool(now_crossed.depends_on(question)),
        )
        first = before.answers.get((question, level))
        if first is not None and first.answer not in ("", "not decided"):
            decided = {name: getattr(first, name) for name in ("decide_low", "decide_high", "answer")}
            now = now.model_copy(update=decided)
            answered_at.setdefault((question, level), before.look.seeds)
        answers[question, level] = now
    return Replay(runs, look, look.seeds, answers, answered_at, crossed)


def asked_row(design: Design, question: str, level: str, instead_of: str, **changes) -> Effect:
    """A row without figures, of the main metric per step at the end unless told otherwise."""
    metric = metric_of(changes["metric"]) if "metric" in changes else main_metric(design)
    settings = {
        "metric": design.metric,
        "space": design.space,
        "at": "steps",
        "budget": design.steps or 0,
        "scale": "ratio" if metric.scale == "log" else "difference",
    }
    return Effect(question=question, level=level, instead_of=instead_of, **(settings | changes))

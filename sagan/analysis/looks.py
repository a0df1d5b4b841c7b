"""Seeds until decided: when runs are looked at, at which level, and what is asked for next.

Whole seeds are added to every cell. Look j uses exactly seeds 0 to n_j - 1, n_j = least * 2^(j - 1), at level
alpha / 2^j. The plan is a replay of the looks over the runs that there are, so that it depends on these alone, and not
on when it is made or what was interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sagan.analysis.answers import SMALLEST_EFFECT, Answer, answers
from sagan.analysis.factorial import Effect, Factorial, effect

ALPHA = 0.05
# A question: the effect of this factor of this design.
Question = tuple[Factorial, str]


@dataclass(frozen=True)
class Look:
    """Seeds 0 to seeds - 1 of every cell, judged at `level`."""

    seeds: int
    level: float


@dataclass(frozen=True)
class Given:
    """A question's first answer, or its state at the last look that was taken; `seeds` says at which."""

    answer: Answer
    seeds: int


@dataclass(frozen=True)
class Replay:
    """What the looks say of the runs that there are.

    Attributes:
        seeds: how many seeds each cell is asked for now: 0 to seeds - 1. Those of the looks before are among them.
        complete: whether nothing more is asked for: all is answered, or the last look was taken.
        taken: the looks that were taken.
        given: question -> its first answer, else how it stood at the last look; empty before the first.
        effects: question -> its effect over all runs of the last look. That of the look that answered flatters, since
            it was large enough to end the question.
    """

    seeds: int
    complete: bool
    taken: tuple[Look, ...]
    given: Mapping[str, Given]
    effects: Mapping[str, Effect] = field(default_factory=dict)


def one_look(seeds: int, alpha: float = ALPHA) -> tuple[Look, ...]:
    """A plain number of seeds: one look at the whole level."""
    return (Look(seeds, alpha),)


def doubling_looks(least: int, most: int, alpha: float = ALPHA) -> tuple[Look, ...]:
    """Looks at least, 2 least, 4 least, ... seeds, none above `most`, at alpha / 2, alpha / 4, ...

    A `most` between two looks ends at the lower one. A last look clipped to `most` would be another look at the same
    level for each `most` that is tried; without it a lower `most` only leaves looks out. ValueError unless
    1 <= least <= most.
    """
    if not 1 <= least <= most:
        raise ValueError(f"seeds from {least} to {most}: the least is at least 1, and at most the most")
    count = (most // least).bit_length()
    return tuple(Look(least * 2**j, alpha / 2 ** (j + 1)) for j in range(count))


def replay(
    questions: Mapping[str, Question], looks: Sequence[Look], smallest_effect: float = SMALLEST_EFFECT
) -> Replay:
    """Takes the looks in turn while their runs are there and a question is open. First answers stand.

    Look j corrects with `holm_of_groups` over all questions; a null that an earlier look rejected is rejected.
    Until the first false rejection all m_0 true nulls are left, each in a question of its own, so that it takes one of
    them with p <= (alpha / 2^j) / m_0 at some look j: by Boole alpha / 2^j at each, and alpha over all of them,
    whatever is stopped when. A question that is answered by one of its nulls goes on counting for the other.

    Seeds beyond a look do not enter it. Where two questions share a design or cells, each has the runs of both.
    """
    given: dict[str, Given] = {}
    effects: dict[str, Effect] = {}
    answered: set[str] = set()
    different: set[str] = set()
    negligible: set[str] = set()
    for number, look in enumerate(looks):
        if not all(design.has(look.seeds) for design, _ in questions.values()):
            return Replay(look.seeds, False, tuple(looks[:number]), given, effects)
        effects = {name: effect(design.first(look.seeds), factor) for name, (design, factor) in questions.items()}
        for question, answer in answers(effects, look.level, smallest_effect, different, negligible).items():
            if question not in answered:
                given[question] = Given(answer, look.seeds)
            if answer.decided:
                answered.add(question)
            if answer.direction:
                different.add(question)
            if answer.negligible:
                negligible.add(question)
        if answered == questions.keys():
            return Replay(look.seeds, True, tuple(looks[: number + 1]), given, effects)
    return Replay(looks[-1].seeds, True, tuple(looks), given, effects)

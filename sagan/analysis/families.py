"""Several tests that are read together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def holm(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """Adjusted p of each test of a family (Holm 1979): at most a level's share of families has a false one below it."""
    return {name: p for name, (p,) in holm_of_groups({name: [p] for name, p in p_values.items()}).items()}


def holm_of_groups(groups: Mapping[Name, Sequence[float]]) -> dict[Name, list[float]]:
    """Holm's correction where at most one null of each group can be true (Shaffer 1986); adjusted p as in `groups`.

    A p is multiplied by the number of groups that had a null left before it. Until the first false rejection all m_0
    true nulls are left, each in a group of its own, so that it takes one of them with p <= level / m_0: by Boole, its
    probability is at most the level.
    """
    nulls = [(p, name, place) for name, ps in groups.items() for place, p in enumerate(ps)]
    left = {name: len(ps) for name, ps in groups.items()}
    adjusted = {name: [1.0] * len(ps) for name, ps in groups.items()}
    largest = 0.0
    for p, name, place in sorted(nulls, key=lambda null: null[0]):
        largest = max(largest, min(1.0, p * sum(count > 0 for count in left.values())))
        adjusted[name][place] = largest
        left[name] -= 1
    return adjusted

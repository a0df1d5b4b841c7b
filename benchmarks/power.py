"""Size and power of the rules that answer a suite's questions, simulated: a 2x2x2 grid, log FID, spread 7.5 %.

    python -m benchmarks.power [--draws N]

Prints a Markdown table: how often an answer is false, and how often effects of 13, 10, 5 and 3 % are found, by

- old: sign flips of per-seed differences of FID, Holm over nine comparisons; 3 and 6 seeds cannot give an answer;
- new: `sagan.analysis`, one look at 3, 6 or 12 seeds, and looks at 3, 6 and 12;
- apart: new, but each of the two kinds of answers corrected by Holm for itself.

A second table is of interactions: how often any of three is falsely sure, and how often one of 21 % is found.

p-values are of 1,999 rearrangements, drawn anew for each block of draws, instead of `sagan.analysis`'s exact ones, for
speed; a test holds the two together.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from sagan.analysis.answers import SMALLEST_EFFECT
from sagan.analysis.looks import Look, doubling_looks, one_look

SPREAD = 0.075
SEEDS = (3, 6, 12)
SIGNS = np.array(list(itertools.product((-1, 1), repeat=3)))  # [cells, factors]
PARTNERS = [[int(np.flatnonzero((row * (1 - 2 * np.eye(3)[f]) == SIGNS).all(1))[0]) for row in SIGNS] for f in range(3)]
NOISES = ("normal", "skewed", "heavy tails", "unequal spreads", "crossing")
OF_INTERACTIONS = (*NOISES[:-1], "one wild cell")
EFFECTS = {
    "none": (0.0, 0.0, 0.0),
    "measured": (math.log(1.13), -math.log(1.10), math.log(1.03)),
    "worth having": (math.log(1 + SMALLEST_EFFECT), 0.0, 0.0),
}
# To the first factor's effect this is added or taken away, by the level of the second: an interaction of 21 %.
CROSSED = math.log(1.10)
REARRANGED = 1999
BLOCK = 500
COLUMNS = (
    "noise",
    "rule",
    "seeds",
    "false, no effect",
    "false, one of 5 %",
    "13 %",
    "10 %",
    "5 %",
    "3 %",
    "none: said so",
    "seeds a cell",
)
INTERACTION_COLUMNS = ("noise", "seeds", "false, none there", "21 %")


@dataclass(frozen=True)
class Given:
    """First answers, each [draws, questions]: -1, 0 or 1 for the sign of a sure difference; no difference worth having.

    `seeds` [draws] is the number of seeds a cell at which nothing more was asked for.
    """

    direction: np.ndarray
    negligible: np.ndarray
    seeds: np.ndarray


def figures(noise: str, effects: Sequence[float], draws: int, rng: np.random.Generator) -> np.ndarray:
    """log FID of `draws` suites of 12 seeds, float64 [draws, cells, seeds]. All noise has mean 0 and spread 7.5 %.

    Skewed: lognormal with sigma 0.6. Heavy tails: Student's t with 3 degrees of freedom. Unequal spreads: 1 to 3
    between the levels of the first factor. One wild cell: 3 to 1 between it and the others. Crossing: to the first
    factor's effect 10 % are added or taken away, by the level of the second.
    """
    shape = (draws, 8, SEEDS[-1])
    if noise == "skewed":
        unit = (rng.lognormal(0, 0.6, shape) - math.exp(0.18)) / math.sqrt(math.expm1(0.36) * math.exp(0.36))
    elif noise == "heavy tails":
        unit = rng.standard_t(3, shape) / math.sqrt(3)
    else:
        unit = rng.normal(size=shape)
    if noise == "unequal spreads":
        unit *= np.where(SIGNS[:, 0] > 0, 3, 1)[:, None] / math.sqrt(5)
    if noise == "one wild cell":
        unit *= np.where(np.arange(8) == 0, 3, 1)[:, None] / math.sqrt(2)
    means = SIGNS @ np.array(effects) / 2
    if noise == "crossing":
        means = means + SIGNS[:, 0] * SIGNS[:, 1] * CROSSED / 2
    return 3 + means[:, None] + SPREAD * unit


def rearranged_p(y_DLN: np.ndarray, factor: int, rng: np.random.Generator) -> np.ndarray:
    """Two-sided p of a factor's effect from rearrangements within the settings of the others, float64 [draws]."""
    draws, cells, seeds = y_DLN.shape
    labels = np.zeros((REARRANGED + 1, cells, seeds), dtype=np.float32)
    labels[0] = SIGNS[:, factor, None]
    for high in np.flatnonzero(SIGNS[:, factor] > 0):
        both = np.tile(np.repeat(np.float32([1, -1]), seeds), (REARRANGED, 1))
        both = rng.permuted(both, axis=1)
        labels[1:, high], labels[1:, PARTNERS[factor][high]] = both[:, :seeds], both[:, seeds:]
    centred = (y_DLN - y_DLN.mean(axis=(1, 2), keepdims=True)).astype(np.float32)
    sums = np.abs(labels.reshape(REARRANGED + 1, -1) @ centred.reshape(draws, -1).T)
    # The observed one is the first row, and counts as one of the sample; rounding must not lose it.
    return (sums >= sums[0] * (1 - 1e-5)).mean(axis=0)


def by_holm(p: np.ndarray, level: float, before: np.ndarray) -> np.ndarray:
    """Which nulls Holm rejects, bool [draws, tests], those rejected `before` left out and true in the result."""
    order = np.argsort(np.where(before, np.inf, p), axis=1)
    left = (~before).sum(axis=1, keepdims=True) - np.arange(p.shape[1])
    small = np.take_along_axis(p, order, axis=1) <= level / np.maximum(left, 1)
    rejected = np.zeros_like(before)
    np.put_along_axis(rejected, order, np.logical_and.accumulate(small & (left > 0), axis=1), axis=1)
    return rejected | before


def by_groups(p_different: np.ndarray, p_negligible: np.ndarray, level: float, before: np.ndarray) -> np.ndarray:
    """Which nulls `holm_of_groups` rejects, those rejected `before` among them; bool [draws, questions, 2]."""
    p, rejected = np.stack([p_different, p_negligible], axis=2), before
    for _ in range(p.shape[1]):
        left = (~rejected.all(axis=2)).sum(axis=1)
        rejected = rejected | (p <= (level / np.maximum(left, 1))[:, None, None])
    return rejected


def apart(p_different: np.ndarray, p_negligible: np.ndarray, level: float, before: np.ndarray) -> np.ndarray:
    """The same with Holm for each kind of null."""
    kinds = (p_different, p_negligible)
    return np.stack([by_holm(p, level, before[:, :, kind]) for kind, p in enumerate(kinds)], axis=2)


def tests(y_DLN: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effect, p of a difference and p of "no difference worth having" of each factor, each [draws, factors]."""
    draws, cells, seeds = y_DLN.shape
    effect = 2 / cells * y_DLN.mean(axis=2) @ SIGNS
    error = 2 * np.sqrt(y_DLN.var(axis=2, ddof=1).mean(axis=1, keepdims=True) / (cells * seeds))
    negligible = stats.t.sf((math.log1p(SMALLEST_EFFECT) - np.abs(effect)) / error, cells * (seeds - 1))
    blocks = [y_DLN[start : start + BLOCK] for start in range(0, draws, BLOCK)]
    different = [np.stack([rearranged_p(block, factor, rng) for factor in range(3)], axis=1) for block in blocks]
    return effect, np.concatenate(different), negligible


def new_rule(
    by_seeds: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]],
    looks: Sequence[Look],
    correct: Callable[..., np.ndarray] = by_groups,
) -> Given:
    """The first answers at the looks, from `tests` at each number of seeds."""
    shape = by_seeds[looks[0].seeds][0].shape
    direction, negligible, rejected = np.zeros(shape), np.zeros(shape, dtype=bool), np.zeros((*shape, 2), dtype=bool)
    answered, seeds = negligible.copy(), np.zeros(shape[0])
    for look in looks:
        seeds = np.where(answered.all(axis=1), seeds, look.seeds)
        effect, p_different, p_negligible = by_seeds[look.seeds]
        rejected = correct(p_different, p_negligible, look.level, rejected)
        direction = np.where(~answered & rejected[:, :, 0], np.sign(effect), direction)
        negligible = negligible | (~answered & rejected[:, :, 1])
        answered = answered | rejected.any(axis=2)
    return Given(direction, negligible, seeds)


def old_rule(y_DLN: np.ndarray) -> Given:
    """Sign flips of per-seed differences of FID; Holm over three effects, three interactions and three pairs of cells.

    The old report also asked for an interval that does not reach 0, which is left out here.
    """
    draws, _, seeds = y_DLN.shape
    pairs = np.stack([np.eye(8)[PARTNERS[f][0]] - np.eye(8)[0] for f in range(3)], axis=1)
    products = np.stack([SIGNS[:, a] * SIGNS[:, b] for a, b in itertools.combinations(range(3), 2)], axis=1)
    contrasts = np.einsum("dln,lc->ndc", np.exp(y_DLN), np.concatenate([SIGNS / 4, products / 4, pairs], axis=1))
    flips = np.array(list(itertools.product((1, -1), repeat=seeds - 1)))
    flips = np.concatenate([np.ones((len(flips), 1)), flips], axis=1)
    p = np.ones((draws, 9))
    for start in range(0, draws, BLOCK):
        sums = np.abs(np.einsum("fn,ndc->fdc", flips, contrasts[:, start : start + BLOCK], optimize=True))
        p[start : start + BLOCK] = (sums >= sums[0] * (1 - 1e-9)).mean(axis=0)
    sure = by_holm(p, 0.05, np.zeros(p.shape, dtype=bool))[:, :3]
    direction = np.where(sure, np.sign(contrasts.mean(axis=0)[:, :3]), 0)
    return Given(direction, np.zeros(sure.shape, dtype=bool), np.full(draws, seeds))


def rules(y_DLN: np.ndarray, rng: np.random.Generator) -> dict[tuple[str, str], Given]:
    """(rule, seeds) -> the answers that it gives to each draw."""
    by_seeds = {n: tests(y_DLN[:, :, :n], rng) for n in SEEDS}
    most = SEEDS[-1]
    given = {("old", str(most)): old_rule(y_DLN), ("apart", str(most)): new_rule(by_seeds, one_look(most), apart)}
    given |= {("new", str(n)): new_rule(by_seeds, one_look(n)) for n in SEEDS}
    given["new, looks", "3 to 12"] = new_rule(by_seeds, doubling_looks(SEEDS[0], most))
    return given


def sure_interactions(y_DLN: np.ndarray) -> np.ndarray:
    """Which of the three interactions are sure at 5 % after Holm, bool [draws, 3]; the first is of factors 0 and 1."""
    cells, seeds = y_DLN.shape[1:]
    products = np.stack([SIGNS[:, a] * SIGNS[:, b] for a, b in itertools.combinations(range(3), 2)], axis=1)
    change = 4 / cells * y_DLN.mean(axis=2) @ products
    error = 4 * np.sqrt(y_DLN.var(axis=2, ddof=1).mean(axis=1, keepdims=True) / (cells * seeds))
    p = 2 * stats.t.sf(np.abs(change) / error, cells * (seeds - 1))
    return by_holm(p, 0.05, np.zeros(p.shape, dtype=bool))


def simulate_interactions(noise: str, draws: int, seed: int = 0) -> list[tuple]:
    """Rows of the second table; shares from 0 to 1. The one to be found is of the noise "crossing"."""
    rng = np.random.default_rng([seed, OF_INTERACTIONS.index(noise), len(EFFECTS)])
    y_DLN = figures(noise, EFFECTS["measured"], draws, rng)
    crossed = y_DLN + (SIGNS[:, 0] * SIGNS[:, 1] * CROSSED / 2)[:, None]
    rows = []
    for seeds in (2, *SEEDS):
        false, found = (sure_interactions(y[:, :, :seeds]) for y in (y_DLN, crossed))
        rows.append((noise, str(seeds), float(false.any(axis=1).mean()), float(found[:, 0].mean())))
    return rows


def false_answers(given: Given, effects: Sequence[float]) -> float:
    """The share of draws with any false answer: a wrong sign, or "no difference" of what is worth having."""
    truth = np.array(effects)
    wrong = (given.direction != 0) & (given.direction != np.sign(truth))
    wrong |= given.negligible & (np.abs(truth) >= math.log1p(SMALLEST_EFFECT) - 1e-12)
    return float(wrong.any(axis=1).mean())


def simulate(noise: str, draws: int, seed: int = 0) -> list[tuple]:
    """Rows of the table for one kind of noise; shares from 0 to 1."""
    given = {}
    for number, (name, effects) in enumerate(EFFECTS.items()):
        rng = np.random.default_rng([seed, NOISES.index(noise), number])
        given[name] = rules(figures(noise, effects, draws, rng), rng)

    def found(name: str, rule: tuple[str, str], question: int) -> float:
        sign = np.sign(EFFECTS[name][question])
        return float((given[name][rule].direction[:, question] == sign).mean())

    return [
        (
            noise,
            *rule,
            false_answers(given["none"][rule], EFFECTS["none"]),
            false_answers(given["worth having"][rule], EFFECTS["worth having"]),
            found("measured", rule, 0),
            found("measured", rule, 1),
            found("worth having", rule, 0),
            found("measured", rule, 2),
            float(given["none"][rule].negligible.mean()),
            float(given["measured"][rule].seeds.mean()),
        )
        for rule in given["none"]
    ]


def line(cells: Iterable[object]) -> str:
    """A row in Markdown; shares in percent."""
    return f"| {' | '.join(c if isinstance(c, str) else f'{100 * c:.1f}' for c in cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10_000)
    options = parser.parse_args()
    print(line(COLUMNS), "| --- | --- | ---: |" + " ---: |" * (len(COLUMNS) - 3), sep="\n")
    for noise in NOISES:
        for *shares, seeds in simulate(noise, options.draws):
            print(line([*shares, f"{seeds:.1f}"]), flush=True)
    print("\n" + line(INTERACTION_COLUMNS), "| --- |" + " ---: |" * (len(INTERACTION_COLUMNS) - 1), sep="\n")
    for noise in OF_INTERACTIONS:
        for row in simulate_interactions(noise, options.draws):
            print(line(row))


if __name__ == "__main__":
    main()

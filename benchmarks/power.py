"""Size and power of the interval that decides, simulated: a 2x2x2 grid, log FID, spread 7.5 % a run, three questions.

    python -m benchmarks.power [--draws N]

Prints two Markdown tables: in how many of all suites any of the three deciding intervals misses the truth, by seeds a
cell and by how the cells spread; and how often effects of 13, 10 and 3 % are found, with "no difference worth having"
where there is none, at a number of seeds and with looks. The arithmetic is `sagan.analysis.contrasts` over arrays; a
test holds the two together.
"""

import argparse
import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

from sagan.analysis.contrasts import doubling_looks

SPREAD = 0.075
SEEDS = (2, 3, 4, 6, 12)
ALPHA, QUESTIONS = 0.05, 3
SIGNS = np.array(list(itertools.product((-1, 1), repeat=QUESTIONS)))  # [cells, factors]
EFFECTS = (math.log(1.13), -math.log(1.10), math.log(1.03))
WORTH_HAVING = 5.0  # percent
# Standard deviations of log FID within the eight cells of `celeba64-cpu`, 16-fold apart.
FACES = np.array([0.061, 0.036, 0.038, 0.074, 0.035, 0.194, 0.012, 0.148])
SPREADS = {
    "equal": np.ones(8),
    "1 to 3 by level": np.where(SIGNS[:, 0] > 0, 3.0, 1.0),
    "one wild cell (3)": np.where(np.arange(8) == 0, 3.0, 1.0),
    "as on faces (16)": FACES,
}
NOISES = [(name, "normal") for name in SPREADS] + [("equal", "skewed"), ("equal", "heavy tails")]
NOISES += [("as on faces (16)", "skewed")]


def figures(spreads: str, noise: str, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of log FID, float64 [draws, cells, seeds]: mean 0, mean square of all cells 7.5 %.

    Skewed: lognormal with sigma 0.6. Heavy tails: Student's t with 3 degrees of freedom.
    """
    shape = (draws, len(SIGNS), SEEDS[-1])
    if noise == "skewed":
        unit = (rng.lognormal(0, 0.6, shape) - math.exp(0.18)) / math.sqrt(math.expm1(0.36) * math.exp(0.36))
    elif noise == "heavy tails":
        unit = rng.standard_t(3, shape) / math.sqrt(3)
    else:
        unit = rng.normal(size=shape)
    scale = SPREADS[spreads] / math.sqrt(float((SPREADS[spreads] ** 2).mean()))
    return SPREAD * scale[:, None] * unit


def intervals(y_DLN: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of each factor's Satterthwaite interval, float64 [draws, factors]."""
    cells, seeds = y_DLN.shape[1:]
    parts = (2 / cells) ** 2 * y_DLN.var(axis=2, ddof=1) / seeds
    variance = parts.sum(axis=1)
    freedom = variance**2 / (parts**2 / (seeds - 1)).sum(axis=1)
    reach = stats.t.isf(level / 2, freedom) * np.sqrt(variance)
    effects = 2 / cells * y_DLN.mean(axis=2) @ SIGNS
    return effects - reach[:, None], effects + reach[:, None]


def misses(y_DLN: np.ndarray, seeds: int) -> float:
    """In how many of all draws any interval misses its effect, which is 0."""
    low, high = intervals(y_DLN[:, :, :seeds], ALPHA / QUESTIONS)
    return float(((low > 0) | (high < 0)).any(axis=1).mean())


def found(y_DLN: np.ndarray, looks: Sequence[tuple[int, float]]) -> tuple[list[float], float]:
    """How often each effect is found with its sign, and "no difference" said of the same noise without any effect."""
    with_effects = y_DLN + (SIGNS @ np.array(EFFECTS) / 2)[:, None]
    direction, negligible = np.zeros((len(y_DLN), QUESTIONS)), np.zeros((len(y_DLN), QUESTIONS), dtype=bool)
    for seeds, level in looks:
        low, high = intervals(with_effects[:, :, :seeds], level / QUESTIONS)
        direction = np.where(direction == 0, (low > 0).astype(int) - (high < 0).astype(int), direction)
        low, high = intervals(y_DLN[:, :, :seeds], level / QUESTIONS)
        inside = np.maximum(-100 * np.expm1(low), 100 * np.expm1(high)) < WORTH_HAVING
        negligible |= inside & (low <= 0) & (high >= 0)
    return list((direction == np.sign(EFFECTS)).mean(axis=0)), float(negligible.mean())


def line(cells: Iterable[object]) -> str:
    """A row in Markdown; shares in percent."""
    return f"| {' | '.join(c if isinstance(c, str) else f'{100 * c:.1f}' for c in cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20_000)
    draws = parser.parse_args().draws
    rng = np.random.default_rng(0)
    print(line(["spreads", "noise", *map(str, SEEDS)]), f"| --- | --- |{' ---: |' * len(SEEDS)}", sep="\n")
    for spreads, noise in NOISES:
        y_DLN = figures(spreads, noise, draws, rng)
        print(line([spreads, noise, *(misses(y_DLN, seeds) for seeds in SEEDS)]), flush=True)
    y_DLN = figures("equal", "normal", draws, rng)
    print(
        "\n" + line(["seeds", "13 %", "10 %", "3 %", "none: said so"]), "| --- | ---: | ---: | ---: | ---: |", sep="\n"
    )
    designs = [(str(seeds), [(seeds, ALPHA)]) for seeds in SEEDS]
    designs.append(("3, 6, 12 (looks)", [(look.seeds, look.level) for look in doubling_looks(3, 12, ALPHA)]))
    for name, looks in designs:
        shares, negligible = found(y_DLN, looks)
        print(line([name, *shares, negligible]), flush=True)


if __name__ == "__main__":
    main()

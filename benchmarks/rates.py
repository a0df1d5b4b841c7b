"""Effects where each variant has the best of k learning rates that were tried for it (Lucic et al. 2018, section 5).

    python -m benchmarks.rates reports/quick-rates

Of every set of k rates a cell takes the one with the lowest mean log FID in the other seeds, and is judged by the seed
that is left out: a rate that is best by luck gains nothing. The figure of a cell and seed is the mean over all sets, so
that k = 1 is a rate picked blindly and the last k the best of all. Intervals are those of `docs/statistics.md`, 95 %;
the seeds of a cell share a choice, which they leave out.
"""

import argparse
import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd

from sagan.analysis.contrasts import Cell, contrast, effect_weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="a folder with results.csv and effects.csv")
    parser.add_argument("--rate", default="rate", help="the factor whose levels are the rates")
    arguments = parser.parse_args()
    runs, effects = (pd.read_csv(arguments.report / f"{name}.csv", na_filter=False) for name in ("results", "effects"))
    asked = effects[~effects["question"].isin(["variant", arguments.rate]) & effects["question"].isin(runs.columns)]
    asked = asked[["question", "level", "instead_of"]].drop_duplicates()
    runs = runs[(runs["space"] == runs["space"].iloc[0]) & (runs[arguments.rate] != "")]
    print("\n".join(told(tried(runs, list(asked["question"].unique()), arguments.rate), asked)))


def tried(runs: pd.DataFrame, factors: list[str], rate: str) -> dict[Cell, pd.DataFrame]:
    """log FID of each cell, rates x seeds; a lost run takes the worst of all."""
    lost = runs["lost"].astype(bool)
    fid = pd.to_numeric(runs["fid"])
    fid = np.log(fid.mask(lost, fid[~lost].max()))
    table = runs.assign(y=fid, **{name: runs[name].astype(str) for name in factors})
    return {cell: of.pivot(index=rate, columns="seed", values="y") for cell, of in table.groupby(factors)}


def best_of(y: pd.DataFrame, k: int) -> np.ndarray:
    """Expected log FID of each seed at the best of k rates, chosen in the other seeds. float64 [seeds]"""
    values, found = y.to_numpy(), []
    for seed in range(values.shape[1]):
        others = np.delete(values, seed, axis=1).mean(axis=1)
        sets = (list(some) for some in itertools.combinations(range(len(values)), k))
        found.append(np.mean([values[some[int(others[some].argmin())], seed] for some in sets]))
    return np.array(found)


def told(tables: dict[Cell, pd.DataFrame], asked: pd.DataFrame) -> list[str]:
    """Markdown: each effect on FID for each k, and each cell's best rate."""
    count = min(len(y) for y in tables.values())
    lines = [f"| best of k rates | {' | '.join(f'k = {k}' for k in range(1, count + 1))} |", "|---|" + "---|" * count]
    factors = list(asked["question"].unique())
    for factor, level, instead_of in asked.itertuples(index=False, name=None):
        weights = effect_weights(list(tables), factors.index(factor), level, instead_of)
        effects = []
        for k in range(1, count + 1):
            effect = contrast({cell: best_of(y, k) for cell, y in tables.items()}, weights)
            values = (effect.estimate, *effect.interval()) if effect else (math.nan,) * 3
            percent = [f"{100 * math.expm1(value):+.1f}" for value in values]
            effects.append(f"{percent[0]} % ({percent[1]} to {percent[2]})")
        lines.append(f"| {factor}: {level} instead of {instead_of} | {' | '.join(effects)} |")
    lines += ["", "| cell | lowest mean | at the rate | FID at each rate |", "|---|---:|---|---|"]
    for cell, y in tables.items():
        means = np.exp(y.mean(axis=1))
        every = ", ".join(f"{rate}: {fid:.1f}" for rate, fid in means.items())
        lines.append(f"| {', '.join(cell)} | {means.min():.1f} | {means.idxmin()} | {every} |")
    return lines


if __name__ == "__main__":
    main()

"""Made-up tables of runs and snapshots, as `results.csv` and `curves.csv` have them."""

import itertools
import math

import numpy as np
import pandas as pd

from sagan.analysis.model import Design, Factor, Look, VariantFacts

FACTORS = {"attention": ("off", "on"), "norm": ("batch", "spectral"), "ratio": ("1", "4")}


def design(seeds: int = 3, factors: dict[str, tuple[str, ...]] = FACTORS, **changes: object) -> Design:
    variants = {"-".join(cell): VariantFacts() for cell in itertools.product(*factors.values())}
    settings = {
        "suite": "made-up",
        "variants": variants,
        "baseline": next(iter(variants)),
        "questions": list(factors),
        "grid": "grid",
        "factors": {name: Factor(title=name, levels={of: of for of in levels}) for name, levels in factors.items()},
        "looks": [Look(seeds=seeds, level=0.05)],
        "spaces": ["classifier"],
        "steps": 800,
    }
    return Design(**(settings | changes))


def tables(
    effects: dict[str, float],
    seeds: int = 3,
    spread: float = 0.05,
    cost: dict[str, float] | None = None,
    slope: float = -0.5,
    steps: tuple[int, ...] = (200, 400, 600, 800),
    seed: int = 0,
    factors: dict[str, tuple[str, ...]] = FACTORS,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs and snapshots of a full factorial: log FID falls along a straight line over log step.

    Args:
        effects: factor -> log ratio of its last level over its first at any step.
        cost: factor -> ratio of step seconds of its last level over its first; a step of the first takes 0.01 s.
        slope: of log FID over log step.
    """
    rng = np.random.default_rng(seed)
    runs, snapshots = [], []
    for cell in itertools.product(*factors.values()):
        levels = dict(zip(factors, cell, strict=True))
        at_last = {name for name in factors if levels[name] == factors[name][-1]}
        mean = sum(effects.get(name, 0.0) for name in at_last)
        seconds = 0.01 * math.prod((cost or {}).get(name, 1.0) for name in at_last)
        for number in range(seeds):
            noise = rng.normal(0, spread)
            key = {"variant": "-".join(cell), "seed": number, **levels, "space": "classifier"}
            rate = seconds * math.exp(rng.normal(0, spread / 10))

            def fid(step, mean=mean, noise=noise):
                return math.exp(3 + mean + noise + slope * math.log(step / steps[-1]))

            told = {"status": "measured", "lost": 0, "collapsed": 0, "went_wrong": 0, "fid": fid(steps[-1])}
            runs.append(key | told | {"fid_untrained": 1000.0, "load": 0.5, "device": "cpu (A)", "threads": 1})
            snapshots += [
                key
                | {
                    "step": step,
                    "images": 64 * step,
                    "seconds": step * rate,
                    "step_seconds": step * rate,
                    "fid": fid(step),
                }
                for step in steps
            ]
    return pd.DataFrame(runs), pd.DataFrame(snapshots)

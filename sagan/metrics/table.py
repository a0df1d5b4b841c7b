"""Every metric once: what it is called, which way is better, how it is shown, who proposed it, and where it exists.

Without torch, for plans and pages; `sagan.metrics.measures.FUNCTIONS` has the function of each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A metric as the pages show it.

    Attributes:
        scale: on which effects are estimated: "log" of a metric that is a distance, whose effects are ratios.
        factor: what figures are multiplied by in tables; `title` says so.
        stacks: whether stacked digits alone have it (True), all else alone (False), or every space (None).
    """

    name: str
    title: str
    better: Literal["lower", "higher"]
    scale: Literal["log", "linear"]
    source: str
    factor: int = 1
    stacks: bool | None = None

    @property
    def least(self) -> float:
        """No figure lies below it: 0 of what is a distance."""
        return 0.0 if self.scale == "log" else -math.inf

    @property
    def heading(self) -> str:
        return f"{self.title} {'↓' if self.better == 'lower' else '↑'}"

    @property
    def sign(self) -> int:
        """1 where less is better, else -1."""
        return 1 if self.better == "lower" else -1


METRICS = {
    metric.name: metric
    for metric in (
        Metric("fid", "FID", "lower", "log", "Heusel et al. 2017, section 3"),
        Metric("fid_infinity", "FID∞", "lower", "log", "Chong & Forsyth 2020, section 3"),
        Metric("kid", "1000 KID", "lower", "linear", "Binkowski et al. 2018", factor=1000),
        # Stacks have no one set of classes.
        Metric("is", "IS", "higher", "linear", "Salimans et al. 2016", stacks=False),
        Metric("precision", "precision", "higher", "linear", "Kynkaanniemi et al. 2019"),
        Metric("recall", "recall", "higher", "linear", "Kynkaanniemi et al. 2019"),
        Metric("density", "density", "higher", "linear", "Naeem et al. 2020, equation 3"),
        Metric("modes", "modes", "higher", "linear", "Metz et al. 2017, section 3.3.1", stacks=True),
        Metric("mode_kl", "mode KL", "lower", "linear", "Metz et al. 2017, section 3.3.1", stacks=True),
        Metric("coverage", "coverage", "higher", "linear", "Naeem et al. 2020, equation 4"),
    )
}


def applicable(space: str) -> list[str]:
    """The metrics that a feature space has."""
    return [name for name, metric in METRICS.items() if metric.stacks in (None, space == "stacked-digits")]

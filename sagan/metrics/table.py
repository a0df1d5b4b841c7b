"""Every metric once: what it is called, which way is better, how it is shown, and where it exists.

Without torch, for plans and pages; `sagan.metrics.measures.FUNCTIONS` has the function of each.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A metric as the pages show it."""

    name: str
    title: str
    better: Literal["lower", "higher"]
    scale: Literal["log", "linear"]  # on which effects are estimated: "log" of a distance, whose effects are ratios
    factor: int = 1  # what figures are multiplied by in tables; `title` says so
    stacks: bool | None = None  # whether stacked digits alone have it (True), all else alone (False), or all (None)

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
        Metric("fid", "FID", "lower", "log"),
        Metric("fid_infinity", "FID∞", "lower", "log"),
        Metric("kid", "1000 KID", "lower", "linear", factor=1000),
        # Stacks have no one set of classes.
        Metric("is", "IS", "higher", "linear", stacks=False),
        Metric("precision", "precision", "higher", "linear"),
        Metric("recall", "recall", "higher", "linear"),
        Metric("density", "density", "higher", "linear"),
        Metric("modes", "modes", "higher", "linear", stacks=True),
        Metric("mode_kl", "mode KL", "lower", "linear", stacks=True),
        Metric("coverage", "coverage", "higher", "linear"),
    )
}


def applicable(space: str) -> list[str]:
    """The metrics that a feature space has."""
    return [name for name, metric in METRICS.items() if metric.stacks in (None, space == "stacked-digits")]

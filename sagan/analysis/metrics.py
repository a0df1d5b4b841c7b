"""The metrics, as `sagan.metrics.table` has them."""

from dataclasses import replace

from sagan.metrics.table import METRICS, Metric

__all__ = ["METRICS", "Metric", "metric_of"]


def metric_of(name: str, better: str | None = None, scale: str | None = None) -> Metric:
    """A metric by name. Of one that is not known here lower is better and effects are ratios, unless told otherwise."""
    known = METRICS.get(name) or Metric(name, name, "lower", "log", "")
    return replace(known, better=better or known.better, scale=scale or known.scale)

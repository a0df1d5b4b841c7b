"""The metrics, as `sagan.metrics.table` has them."""

from sagan.metrics.table import METRICS, Metric

__all__ = ["METRICS", "Metric"]

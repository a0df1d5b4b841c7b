"""Which of a record's figures the present code would give: each metric's value carries its code's hash. Without torch.

An evaluation's key covers sampling, features, the curve and FID; every other metric is covered by its own code, so
that adding or mending one measures nothing else anew.
"""

from __future__ import annotations

from sagan.code.fingerprint import entry_code
from sagan.store.records import Json

# The entries of `sagan.metrics.measures.METRICS`.
NAMES = (
    *("fid", "fid_infinity", "intra_fid", "kid", "is", "precision", "recall", "density", "coverage"),
    *("modes", "mode_kl"),
)
# Those that only generators which are told of the class have.
OF_CLASSES = ("intra_fid",)
# Those that only the extractor of stacked digits gives, and the one that it does not: it has no one set of classes.
OF_STACKS, NOT_OF_STACKS = ("modes", "mode_kl"), ("is",)
NOT_MEASURED: Json = {"value": None, "status": "not measured by the present code; `--add` brings it"}


def metric_code(metric: str) -> str:
    """The hash of a metric's present code, 16 hex digits."""
    return entry_code("sagan.metrics.measures:METRICS", metric)


def applicable(condition: str | None, extractor: str | None = None) -> list[str]:
    """The metrics, in an extractor's space, of a run whose variant has this condition."""
    left_out = NOT_OF_STACKS if extractor == "stacked-classifier" else OF_STACKS
    return [name for name in NAMES if name not in left_out and (condition is not None or name not in OF_CLASSES)]


def lacking(record: Json) -> list[str]:
    """The metrics that a record (`metrics.json`, or `other_split` of a `reference.json`) has not by the present code.

    None are lacking where the run diverged.
    """
    if record.get("status") == "diverged":
        return []
    metrics = record["metrics"]
    names = applicable(record.get("condition"), record.get("extractor"))
    return [name for name in names if metrics.get(name, {}).get("code") != metric_code(name)]

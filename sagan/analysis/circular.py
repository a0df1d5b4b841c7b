"""Variants that were trained on the features in which they are measured: shown with a mark, and never ranked.

Their figures say how well they matched these features, and not how good their images are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sagan.analysis.rows import SuiteRecords
from sagan.params.spaces import learnt_alike
from sagan.params.variants import Regularisers


@dataclass(frozen=True)
class TrainedOn:
    """Why a variant is not ranked in a feature space.

    Attributes:
        network: whose features it was trained to match.
        learnt: what this network and that of the space learnt their features from.
    """

    network: str
    learnt: str


def trained_on(records: SuiteRecords, variant: str) -> TrainedOn | None:
    """Why a variant is not ranked among these figures; None for one that is."""
    network = Regularisers.model_validate(records.config(variant).get("regularisers", {})).fixed_network
    learnt = learnt_alike(network, records.extractor)
    return TrainedOn(network, learnt) if learnt else None


def ranked(records: SuiteRecords) -> SuiteRecords:
    """A suite's records without the variants that are not ranked: all that comparisons and claims may see."""
    left_out = {variant for variant in records.variants if trained_on(records, variant)}
    return replace(records, rows=[row for row in records.rows if row.variant not in left_out])

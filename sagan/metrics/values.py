"""Features to metric values, by torch-fidelity's own functions."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

KID_SUBSETS = 50
KID_SUBSET_SIZE = 1000
IS_SPLITS = 10
NEIGHBOURHOOD = 3
_RNG_SEED = 2020

Statistics = dict[str, np.ndarray]


def statistics(features: Tensor) -> Statistics:
    """Mean [D] and covariance [D, D] of features [N, D], in float64."""
    return fid_features_to_statistics(features.double())


def fid(generated: Statistics, real: Statistics) -> float:
    """Frechet distance |mu - mu'|^2 + tr(S + S' - 2 (S S')^(1/2)) (Heusel et al. 2017, section 3)."""
    return fid_statistics_to_metric(generated, real, verbose=False)["frechet_inception_distance"]


def kid(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """Mean and standard deviation over subsets of the unbiased cubic-kernel MMD^2 (Binkowski et al. 2018)."""
    result = kid_features_to_metric(
        generated,
        real,
        kid_subsets=KID_SUBSETS,
        kid_subset_size=min(KID_SUBSET_SIZE, len(generated), len(real)),
        rng_seed=_RNG_SEED,
        verbose=False,
    )
    return result["kernel_inception_distance_mean"], result["kernel_inception_distance_std"]


def inception_score(logits: Tensor) -> tuple[float, float]:
    """Mean and standard deviation over splits of exp E KL(p(y|x) || p(y)) (Salimans et al. 2016)."""
    result = isc_features_to_metric(logits, splits=IS_SPLITS, shuffle=True, rng_seed=_RNG_SEED)
    return result["inception_score_mean"], result["inception_score_std"]


def precision_recall(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """Improved precision and recall with 3 neighbours (Kynkaanniemi et al. 2019)."""
    result = prc_features_to_metric(
        generated, real, prc_neighborhood=NEIGHBOURHOOD, prc_batch_size=10_000, save_cpu_ram=True, verbose=False
    )
    return result["precision"], result["recall"]

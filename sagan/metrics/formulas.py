"""Features to metric values, by torch-fidelity's own functions where it has them.

Nothing here asks whether a value can be trusted: `sagan.metrics.measures` does.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

KID_SUBSETS = 50
KID_SUBSET_SIZE = 1000
IS_SPLITS = 10
NEIGHBOURHOOD = 3
DENSITY_NEIGHBOURHOOD = 5
EXTRAPOLATION_POINTS = 8
_BATCH = 1000
_RNG_SEED = 2020

Statistics = dict[str, np.ndarray]


def statistics(features: Tensor) -> Statistics:
    """Mean [D] and covariance [D, D] of features [N, D], in float64."""
    return fid_features_to_statistics(features.double())


def fid(generated: Statistics, real: Statistics) -> float:
    """Frechet distance |mu - mu'|^2 + tr(S + S' - 2 (S S')^(1/2)) (Heusel et al. 2017, section 3)."""
    return fid_statistics_to_metric(generated, real, verbose=False)["frechet_inception_distance"]


def kid(generated: Tensor, real: Tensor, subset_size: int = KID_SUBSET_SIZE) -> tuple[float, float]:
    """Mean and standard deviation over subsets of the unbiased cubic-kernel MMD^2 (Binkowski et al. 2018)."""
    result = kid_features_to_metric(
        generated,
        real,
        kid_subsets=KID_SUBSETS,
        kid_subset_size=min(subset_size, len(generated), len(real)),
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
        generated, real, prc_neighborhood=NEIGHBOURHOOD, prc_batch_size=_BATCH, save_cpu_ram=True, verbose=False
    )
    return result["precision"], result["recall"]


def recall(generated: Tensor, real: Tensor) -> float:
    """`precision_recall`'s recall alone, which spares the distances between real images."""
    radii = torch.cat(
        [torch.cdist(part, generated).kthvalue(NEIGHBOURHOOD + 1).values for part in generated.split(_BATCH)]
    )
    reached = [(torch.cdist(part, generated) <= radii).any(1) for part in real.split(_BATCH)]
    return float(torch.cat(reached).float().mean())


def density_coverage(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """Density (not negative, about 1 for equal distributions) and coverage in [0, 1], with 5 neighbours.

    Naeem et al. 2020, equations 3 and 4: a real image's ball reaches to its 5th nearest real
    neighbour; density is the mean number of balls that a generated image lies in, over 5; coverage is
    the share of balls that hold a generated image.
    """
    radii = torch.cat(
        [torch.cdist(part, real).kthvalue(DENSITY_NEIGHBOURHOOD + 1).values for part in real.split(_BATCH)]
    )
    held = torch.zeros(len(real), dtype=torch.int64)
    for part in generated.split(_BATCH):
        held += (torch.cdist(part, real) < radii).sum(0)
    density = float(held.sum()) / (DENSITY_NEIGHBOURHOOD * len(generated))
    return density, float((held > 0).float().mean())


def mode_kl(generated: Tensor, real: Tensor) -> float:
    """KL(generated || real) in nats between counts [K] of modes, none of the real ones 0 (Srivastava et al. 2017)."""
    q, p = generated.double() / generated.sum(), real.double() / real.sum()
    return float((torch.xlogy(q, q) - torch.xlogy(q, p)).sum())


def extrapolation_sizes(count: int, feature_dim: int) -> list[int]:
    """The numbers of samples whose FIDs are extrapolated; none where they would all be too few for the features."""
    smallest = max(2 * feature_dim, count // 5)
    if 2 * smallest > count:
        return []
    return np.linspace(smallest, count, EXTRAPOLATION_POINTS).astype(int).tolist()


def fid_infinity(generated: Tensor, real: Statistics, sizes: list[int]) -> float:
    """FID at infinitely many generated samples (Chong & Forsyth 2020, section 3).

    FID's bias is linear in 1/N: a line through the FIDs of random subsets of the given sizes, at 1/N = 0.
    """
    rng = np.random.default_rng(_RNG_SEED)
    rows = [torch.from_numpy(rng.permutation(len(generated))[:size]) for size in sizes]
    found = [fid(statistics(generated[chosen]), real) for chosen in rows]
    return float(np.polyfit(1 / np.array(sizes), found, 1)[1])


def nearest(queries: Tensor, bank: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
    """Distances [Q, count], ascending, from queries [Q, D] to their nearest rows of `bank` [N, D], and those rows."""
    distances, rows = [], []
    for part in queries.split(_BATCH):
        found = torch.cdist(part, bank).topk(count, largest=False).indices
        # cdist's matrix product rounds small distances, and a copy of an image must have distance 0.
        exact = (part[:, None] - bank[found]).norm(dim=2)
        exact, order = exact.sort(dim=1)
        distances.append(exact)
        rows.append(found.gather(1, order))
    return torch.cat(distances), torch.cat(rows)

"""Features to metric values, by torch-fidelity's own functions where it has them; `measures` says what to trust."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric

KID_SUBSETS = 50
KID_SUBSET_SIZE = 1000
IS_SPLITS = 10
NEIGHBOURHOOD = 3
DENSITY_NEIGHBOURHOOD = 5
EXTRAPOLATION_POINTS = 8
_BATCH = 1000
# Rows of a kernel's matrix at a time, which then stays in the cache.
_TILE = 100
_RNG_SEED = 2020

Statistics = dict[str, np.ndarray]


def statistics(features: Tensor) -> Statistics:
    """Mean [D] and covariance [D, D] of features [N, D], in float64."""
    return fid_features_to_statistics(features.double())


def fid(generated: Statistics, real: Statistics) -> float:
    """Frechet distance |mu - mu'|^2 + tr(S + S' - 2 (S S')^(1/2)) (Heusel et al. 2017, section 3)."""
    return fid_statistics_to_metric(generated, real, verbose=False)["frechet_inception_distance"]


def kid(generated: Tensor, real: Tensor, subset_size: int = KID_SUBSET_SIZE) -> tuple[float, float]:
    """Mean and standard deviation over subsets of the unbiased MMD^2 of (x y / D + 1)^3 (Binkowski et al. 2018).

    The subsets are torch-fidelity's. Its float32 loses the figure where features lie far from 0: here only products of
    features less their mean are float32, and all else is float64.
    """
    centre = real.double().mean(0)
    sets = [_Centred.of(rows.double(), centre) for rows in (generated, real)]
    size, rng = min(subset_size, len(generated), len(real)), np.random.RandomState(_RNG_SEED)
    found = []
    for _ in range(KID_SUBSETS):
        x, y = (rows.part(torch.from_numpy(rng.choice(len(rows.own), size, replace=False))) for rows in sets)
        across = sum(_cubes(x.part(tile), y) for tile in _tiles(size))
        found.append((_cubes_within(x) + _cubes_within(y)) / (size * (size - 1)) - 2 * across / size**2)
    return float(np.mean(found)), float(np.std(found))


@dataclass(frozen=True)
class _Centred:
    """Rows x = centre + u, `scaled` to u / sqrt(D), [N, D], such that x y / D + 1 = u v / D + own + own'."""

    scaled: Tensor
    own: Tensor

    @staticmethod
    def of(rows: Tensor, centre: Tensor) -> _Centred:
        own = (rows - centre / 2) @ centre / rows.shape[1] + 0.5
        return _Centred(((rows - centre) / rows.shape[1] ** 0.5).float(), own)

    def part(self, chosen: Tensor | slice) -> _Centred:
        return _Centred(self.scaled[chosen], self.own[chosen])


def _tiles(size: int) -> list[slice]:
    return [slice(start, start + _TILE) for start in range(0, size, _TILE)]


def _cubes(x: _Centred, y: _Centred) -> float:
    """Sum of the cubic kernel over all pairs of rows."""
    kernel = (x.scaled @ y.scaled.T).double().add_(x.own[:, None]).add_(y.own)
    return float(kernel.square().flatten() @ kernel.flatten())


def _cubes_within(x: _Centred) -> float:
    """The same over all ordered pairs of two different rows."""
    total = -float((x.scaled.double().square().sum(1) + 2 * x.own).pow(3).sum())
    for tile in _tiles(len(x.own)):
        rows = x.part(tile)
        total += _cubes(rows, rows) + 2 * _cubes(rows, x.part(slice(tile.stop, None)))
    return total


def inception_score(logits: Tensor) -> tuple[float, float]:
    """Mean and standard deviation over splits of exp E KL(p(y|x) || p(y)) (Salimans et al. 2016)."""
    result = isc_features_to_metric(logits, splits=IS_SPLITS, shuffle=True, rng_seed=_RNG_SEED)
    return result["inception_score_mean"], result["inception_score_std"]


@dataclass(frozen=True)
class Neighbourhoods:
    """What one table of distances says of two sets.

    `precision` and `recall`: shares of images inside some ball of the other set that reaches to a 3rd nearest neighbour
    (Kynkaanniemi et al. 2019). `density` (not negative, about 1 for equal distributions) is the mean number of real
    balls, to the 5th neighbour, that a generated image lies in, over 5; `coverage` the share of these balls that hold a
    generated image (Naeem et al. 2020, equations 3 and 4).
    """

    precision: float
    recall: float
    density: float
    coverage: float


def radii(features: Tensor) -> Tensor:
    """Distances [N, 2] from each row of [N, D] to its 3rd and to its 5th nearest other row."""
    ranks = [NEIGHBOURHOOD, DENSITY_NEIGHBOURHOOD]
    centred = features - features.mean(0)
    parts = [torch.cdist(part, centred).topk(max(ranks) + 1, largest=False).values for part in centred.split(_BATCH)]
    return torch.cat(parts)[:, ranks]


def neighbourhoods(generated: Tensor, real: Tensor, radii_of_real: Tensor) -> Neighbourhoods:
    """Both sets need six rows; `radii_of_real` are the `radii` of the real one."""
    near, wide = radii_of_real.unbind(1)
    radii_of_generated = radii(generated)[:, :1]
    # Distances far from the origin would be lost in the rounding of squares.
    centre = real.mean(0)
    centred = real - centre
    precise, held = [], torch.zeros(len(real))
    reached = torch.full((len(real),), torch.inf)
    for part, reach in zip((generated - centre).split(_BATCH), radii_of_generated.split(_BATCH), strict=True):
        distances = torch.cdist(part, centred)
        precise.append((distances - near).amin(1) <= 0)
        reached = torch.minimum(reached, (distances - reach).amin(0))
        held += (distances < wide).float().sum(0)
    return Neighbourhoods(
        precision=float(torch.cat(precise).float().mean()),
        recall=float((reached <= 0).float().mean()),
        density=float(held.double().sum()) / (DENSITY_NEIGHBOURHOOD * len(generated)),
        coverage=float((held > 0).float().mean()),
    )


def recall(generated: Tensor, real: Tensor) -> float:
    """`neighbourhoods`' recall alone."""
    centre = real.mean(0)
    centred, reach = generated - centre, radii(generated)[:, 0]
    reached = [(torch.cdist(part, centred) - reach).amin(1) <= 0 for part in (real - centre).split(_BATCH)]
    return float(torch.cat(reached).float().mean())


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
    """Distances [Q, <= count], ascending, from queries [Q, D] to the nearest rows of `bank` [N, D], and those rows."""
    count = min(count, len(bank))
    distances, rows = [], []
    for part in queries.split(_BATCH):
        found = torch.cdist(part, bank).topk(count, largest=False).indices
        # cdist's matrix product rounds small distances, and a copy of an image must have distance 0.
        exact = (part[:, None] - bank[found]).norm(dim=2)
        exact, order = exact.sort(dim=1)
        distances.append(exact)
        rows.append(found.gather(1, order))
    return torch.cat(distances), torch.cat(rows)

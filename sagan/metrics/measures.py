"""Every metric of one set of generated images, each with a status: what cannot be trusted is said or withheld."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sagan.metrics import values
from sagan.metrics.classes import ClassSide
from sagan.metrics.features import Features
from sagan.metrics.real import RealSide
from sagan.records import Json

MEASURED = "measured"
CONSTANT = "the generator is constant: all images have the same features"
# Features of equal images differ by rounding, since batches of another size are summed in another order.
_SAME = 1e-5


@dataclass(frozen=True)
class Measure:
    """One metric's value with its status.

    Attributes:
        value: None where no figure would mean anything.
        status: "measured", or in words what is wrong.
        facts: what belongs to the metric's protocol alone: spread, subsets, neighbours.
    """

    value: float | None
    status: str = MEASURED
    facts: Json = field(default_factory=dict)


def fid(generated: Tensor, real: RealSide) -> Measure:
    """FID of features [N, D]; needs at least D images on both sides (torch-fidelity: 2,048 for Inception)."""
    if defect := not_finite(generated):
        return Measure(None, defect)
    if lacking := too_few(min(len(generated), real.record["real_count"]), generated.shape[1]):
        return Measure(None, lacking)
    return measured(values.fid(values.statistics(generated), real.statistics), is_constant(generated))


def all_measures(generated: Features, real: RealSide) -> dict[str, Measure]:
    """FID, extrapolated FID, KID, IS, precision, recall, density and coverage of one set of features."""
    features, logits = generated["features"], generated.get("logits")
    found = {"fid": fid(features, real)}
    if defect := not_finite(features):
        names = ("fid_infinity", "kid", "is", "precision", "recall", "density", "coverage")
        return found | dict.fromkeys(names, Measure(None, defect))
    constant = is_constant(features)
    found["fid_infinity"] = _fid_infinity(features, real, constant)
    kid, kid_std = values.kid(features, real.features)
    subset_size = min(values.KID_SUBSET_SIZE, len(features), len(real.features))
    kept = {"real_count": len(real.features)}
    found["kid"] = measured(kid, constant, std=kid_std, subsets=values.KID_SUBSETS, subset_size=subset_size, **kept)
    precision, recall = values.precision_recall(features, real.features)
    density, coverage = values.density_coverage(features, real.features)
    # One image in a dense place is precise without being good.
    found["precision"] = _without(constant, precision, neighbourhood=values.NEIGHBOURHOOD, **kept)
    found["recall"] = measured(recall, constant, neighbourhood=values.NEIGHBOURHOOD, **kept)
    own = {"neighbourhood": values.DENSITY_NEIGHBOURHOOD, "library": "sagan (Naeem et al. 2020)", **kept}
    found["density"] = _without(constant, density, **own)
    found["coverage"] = measured(coverage, constant, **own)
    found["is"] = _inception_score(logits, constant)
    return found


def intra_class_fid(
    features: Tensor, labels: Tensor, real: ClassSide, names: Sequence[str]
) -> tuple[Measure, dict[str, Json]]:
    """Mean over classes of the FID between a class's generated and real images (Miyato & Koyama 2018), and of each.

    There is no mean where a class has fewer images than features on either side: leaving it out would flatter.

    Args:
        features, labels: of generated images, [N, D] and int64 [N].
        names: of the classes.
    """
    if defect := not_finite(features):
        return Measure(None, defect), {}
    each: dict[str, Json] = {}
    lacking = None
    for index, name in enumerate(names):
        mine = features[labels == index]
        counts = {"generated_count": len(mine), "real_count": real.counts[index]}
        short = too_few(min(counts.values()), features.shape[1])
        if short is None:
            each[name] = {"fid": values.fid(values.statistics(mine), real.statistics[index]), **counts}
        else:
            each[name] = {"fid": None, **counts}
            lacking = lacking or f"class {name!r} has {short}"
    if lacking:
        return Measure(None, lacking), each
    return measured(float(np.mean([entry["fid"] for entry in each.values()])), is_constant(features)), each


def _fid_infinity(features: Tensor, real: RealSide, constant: bool) -> Measure:
    count, feature_dim = features.shape
    if lacking := too_few(real.record["real_count"], feature_dim):
        return Measure(None, lacking)
    sizes = values.extrapolation_sizes(count, feature_dim)
    if not sizes:
        return Measure(
            None, f"too few images: {count}, and to extrapolate with {feature_dim} features {4 * feature_dim}"
        )
    return measured(values.fid_infinity(features, real.statistics, sizes), constant, sizes=sizes)


def _inception_score(logits: Tensor | None, constant: bool) -> Measure:
    if logits is None:
        return Measure(None, "refused: the extractor's weights have no classifier layer")
    if defect := not_finite(logits):
        return Measure(None, defect)
    score, std = values.inception_score(logits)
    return measured(score, constant, std=std, splits=values.IS_SPLITS)


def measured(value: float, constant: bool, **facts: Json) -> Measure:
    """A value as it is, and said to be of a constant generator where it is; None where it is not finite."""
    if not math.isfinite(value):
        return Measure(None, "the value is not finite", facts)
    return Measure(value, CONSTANT if constant else MEASURED, facts)


def _without(constant: bool, value: float, **facts: Json) -> Measure:
    """A figure that means nothing where the generator is constant."""
    return Measure(None, CONSTANT, facts) if constant else measured(value, False, **facts)


def not_finite(features: Tensor) -> str | None:
    """What is wrong where features [N, D] hold NaN or infinities."""
    bad = int((~features.isfinite()).any(1).sum())
    return f"not finite: the features of {bad} of {len(features)} generated images" if bad else None


def too_few(count: int, feature_dim: int) -> str | None:
    """What is wrong where a covariance of D features is asked of fewer than D images."""
    return f"too few images: {count}, and {feature_dim} features need {feature_dim}" if count < feature_dim else None


def is_constant(features: Tensor) -> bool:
    """Whether all rows of finite features [N, D] are the same, up to rounding."""
    return bool((features - features[0]).abs().max() <= _SAME * features.abs().max())


def memorisation(generated: Tensor, real: RealSide) -> Json:
    """Distances from generated to nearest training images in feature space, beside those of held-out images.

    `closer` is the share of generated images that are nearer to a training image than all but one
    percent of real held-out images are: about 0.01 where the generator neither copies nor strays.
    """
    held_out = real.record["memorisation"]
    if not_finite(generated):
        return {"status": not_finite(generated), **held_out}
    distances = values.nearest(generated, real.train)[0][:, 0]
    return {
        "status": MEASURED,
        "median": float(distances.median()),
        "p01": float(torch.quantile(distances, 0.01)),
        "closer": float((distances < held_out["held_out_p01"]).float().mean()),
        "generated_count": len(generated),
        **held_out,
    }

"""The metrics of one set of images, each with a status: what cannot be trusted is said or withheld."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from sagan.metrics import formulas
from sagan.metrics.features import Sampled
from sagan.metrics.networks import MODES, modes_of
from sagan.store.records import Json

MEASURED = "measured"
CONSTANT = "the generator is constant: all images have the same features"
# Features of equal images differ by rounding, since batches of another size are summed in another order.
_SAME = 1e-5


@dataclass(frozen=True, eq=False)
class RealSide:
    """A reference as it is compared with."""

    record: Json  # `reference.json`
    statistics: formulas.Statistics  # mean and covariance of all images of the split
    features: Tensor  # [<= 10,000, D], of the split
    train: Tensor  # [N, D], features of training images: of all, or of as many as there is room for
    train_rows: Tensor  # int64, the rows of `train` in the dataset's train split
    held_out: dict[str, Tensor]  # features (and logits) of [<= 10,000] images of the other split
    radii: Tensor  # of `features`; none where they are too few for neighbourhoods


@dataclass(frozen=True)
class Measure:
    """One metric's value with its status."""

    value: float | None  # None where no figure would mean anything
    status: str = MEASURED  # or in words what is wrong
    facts: Json = field(default_factory=dict)  # of the metric's own protocol: spread, subsets, neighbours


def measures(names: Iterable[str], generated: Sampled, real: RealSide) -> dict[str, Measure]:
    """Some of `FUNCTIONS` of one set of images; none has a value of features not finite, or equal of all real ones."""
    if defect := not_finite(generated.features["features"]) or _dull(real):
        return dict.fromkeys(names, Measure(None, defect))
    return {name: FUNCTIONS[name](generated, real) for name in names}


def fid(generated: Sampled, real: RealSide) -> Measure:
    """FID of D features; needs at least D images on both sides (torch-fidelity: 2,048 for Inception)."""
    features = generated.features["features"]
    if lacking := too_few(min(len(generated), real.record["real_count"]), features.shape[1]):
        return Measure(None, lacking)
    return measured(formulas.fid(formulas.statistics(features), real.statistics), is_constant(features))


def fid_infinity(generated: Sampled, real: RealSide) -> Measure:
    """FID extrapolated to infinitely many generated images."""
    features = generated.features["features"]
    count, feature_dim = features.shape
    if lacking := too_few(real.record["real_count"], feature_dim):
        return Measure(None, lacking)
    sizes = formulas.extrapolation_sizes(count, feature_dim)
    if not sizes:
        return Measure(
            None, f"too few images: {count}, and to extrapolate with {feature_dim} features {4 * feature_dim}"
        )
    return measured(formulas.fid_infinity(features, real.statistics, sizes), is_constant(features), sizes=sizes)


def kid(generated: Sampled, real: RealSide) -> Measure:
    """KID against the kept real features."""
    features = generated.features["features"]
    size = min(formulas.KID_SUBSET_SIZE, len(features), len(real.features))
    if size < 2:
        return Measure(None, f"too few images: {size}, and an image is compared with others of its set")
    value, std = formulas.kid(features, real.features)
    facts = {"std": std, "subsets": formulas.KID_SUBSETS, "subset_size": size, "real_count": len(real.features)}
    return measured(value, is_constant(features), **facts)


def inception_score(generated: Sampled, real: RealSide) -> Measure:
    """Inception score; refused where the extractor has no classes."""
    logits = generated.features.get("logits")
    if logits is None:
        return Measure(None, "refused: the extractor's weights have no classifier layer")
    if defect := not_finite(logits):
        return Measure(None, defect)
    if len(logits) < formulas.IS_SPLITS:
        return Measure(None, f"too few images: {len(logits)}, and each of {formulas.IS_SPLITS} parts needs one")
    score, std = formulas.inception_score(logits)
    return measured(score, is_constant(generated.features["features"]), std=std, splits=formulas.IS_SPLITS)


def precision(generated: Sampled, real: RealSide) -> Measure:
    """Precision; no figure for a constant generator, since one image in a dense place is precise without being good."""
    return _of_neighbours("precision", generated, real, says_of_constant=False)


def recall(generated: Sampled, real: RealSide) -> Measure:
    return _of_neighbours("recall", generated, real)


def density(generated: Sampled, real: RealSide) -> Measure:
    """Density; no figure for a constant generator, as of precision."""
    return _of_neighbours("density", generated, real, says_of_constant=False)


def coverage(generated: Sampled, real: RealSide) -> Measure:
    return _of_neighbours("coverage", generated, real)


def modes(generated: Sampled, real: RealSide) -> Measure:
    """How many of the 1,000 modes of stacked digits some image is in (Metz et al. 2017, section 3.3.1)."""
    counts = _mode_counts(generated)
    value = float((counts > 0).sum())
    return measured(value, is_constant(generated.features["features"]), modes=len(counts))


def mode_kl(generated: Sampled, real: RealSide) -> Measure:
    """KL divergence in nats of the generated images' modes from the real split's, which its labels give."""
    counts, real_counts = _mode_counts(generated), torch.tensor(real.record["class_counts"])
    if missing := int((real_counts == 0).sum()):
        return Measure(None, f"{missing} modes have no real image; say more `stacks` of the dataset")
    # The floor is what as many perfect images would have by chance.
    facts = {"modes": len(counts), "floor": (len(counts) - 1) / (2 * len(generated))}
    return measured(formulas.mode_kl(counts, real_counts), is_constant(generated.features["features"]), **facts)


# Of each metric of `sagan.metrics.table`: what is generated and the real side, to a figure; features are finite.
FUNCTIONS: dict[str, Callable[[Sampled, RealSide], Measure]] = {
    "fid": fid,
    "fid_infinity": fid_infinity,
    "kid": kid,
    "is": inception_score,
    "precision": precision,
    "recall": recall,
    "density": density,
    "coverage": coverage,
    "modes": modes,
    "mode_kl": mode_kl,
}

_NEIGHBOURS = {
    **dict.fromkeys(("precision", "recall"), formulas.NEIGHBOURHOOD),
    **dict.fromkeys(("density", "coverage"), formulas.DENSITY_NEIGHBOURHOOD),
}


def _of_neighbours(name: str, generated: Sampled, real: RealSide, says_of_constant: bool = True) -> Measure:
    """One of the four metrics of neighbourhoods; `says_of_constant`: whether a constant generator's means anything."""
    facts = {"neighbourhood": _NEIGHBOURS[name], "real_count": len(real.features)}
    if lacking := too_few_neighbours(generated.features["features"], real.features):
        return Measure(None, lacking, facts)
    constant = is_constant(generated.features["features"])
    if constant and not says_of_constant:
        return Measure(None, CONSTANT, facts)
    return measured(getattr(_neighbourhoods(generated, real), name), constant, **facts)


# Four metrics of one computation: the others find what the first has left.
@lru_cache(maxsize=1)
def _neighbourhoods(generated: Sampled, real: RealSide) -> formulas.Neighbourhoods:
    return formulas.neighbourhoods(generated.features["features"], real.features, real.radii)


def _mode_counts(generated: Sampled) -> Tensor:
    """Images of each mode, int64 [1000]."""
    return torch.bincount(modes_of(generated.features["digits"]), minlength=MODES)


def measured(value: float, constant: bool, **facts: Json) -> Measure:
    """A value as it is, and said to be of a constant generator where it is; None where it is not finite."""
    if not math.isfinite(value):
        return Measure(None, "the value is not finite", facts)
    return Measure(value, CONSTANT if constant else MEASURED, facts)


def not_finite(features: Tensor) -> str | None:
    """What is wrong where features [N, D] hold NaN or infinities."""
    bad = int((~features.isfinite()).any(1).sum())
    return f"not finite: the features of {bad} of {len(features)} generated images" if bad else None


def too_few(count: int, feature_dim: int) -> str | None:
    """What is wrong where a covariance of D features is asked of fewer than D images."""
    return f"too few images: {count}, and {feature_dim} features need {feature_dim}" if count < feature_dim else None


def too_few_neighbours(generated: Tensor, real: Tensor) -> str | None:
    """What is wrong where features of images, generated or real, have too few others to be neighbours."""
    needed = formulas.DENSITY_NEIGHBOURHOOD + 1
    for what, count in (("generated", len(generated)), ("real", len(real))):
        if count < needed:
            return f"too few {what} images: {count}, and neighbourhoods need {needed}"
    return None


def is_constant(features: Tensor) -> bool:
    """Whether all rows of finite features [N, D] are the same, up to rounding."""
    return bool((features - features[0]).abs().max() <= _SAME * features.abs().max())


def _dull(real: RealSide) -> str | None:
    return "the feature space tells no two real images apart" if is_constant(real.features) else None


def memorisation(generated: Tensor, distances: Tensor, real: RealSide) -> Json:
    """Distances [N] from generated to nearest training images in feature space, beside those of held-out images."""
    held_out = real.record["memorisation"]
    if not_finite(generated):
        return {"status": not_finite(generated), **held_out}
    if not held_out["held_out_count"]:
        return {"status": "no real image was held out", **held_out}
    return {
        "status": MEASURED,
        "median": float(distances.median()),
        "p01": float(torch.quantile(distances, 0.01)),
        "closer": float((distances < held_out["held_out_p01"]).float().mean()),
        "generated_count": len(generated),
        **held_out,
    }

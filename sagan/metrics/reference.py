"""The real side of every comparison, made once for a dataset's split in one feature space."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file
from torch import Tensor

from sagan.code.fingerprint import Table
from sagan.data import PreparedDataset
from sagan.errors import UserError
from sagan.metrics import formulas
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import Sampled, deviation_of_images, features_of_images
from sagan.metrics.measures import RealSide, measures, too_few_neighbours
from sagan.metrics.parts import FeatureParts, Tensors
from sagan.metrics.table import applicable
from sagan.plan import Reference
from sagan.store.locks import exclusive
from sagan.store.paths import Paths
from sagan.store.reading import read_reference
from sagan.store.records import Json, file_digest, write_json
from sagan.store.tensors import save_tensors
from sagan.store.types import ReferenceRecord
from sagan.training.classifier import accuracy, train_classifier
from sagan.training.devices import device_for
from sagan.training.seeds import derived_seed

# Rows of real features that are kept for KID, precision and recall; FID's statistics are of all.
KEPT_FEATURES = 10_000
# Numbers in the features of the training images among which nearest ones are looked for, 256 MB: of 128 features
# each, half a million images; of Inception's 2,048, 32,768.
BANK_NUMBERS = 2**26
# Of a real side, beside the features of held-out images, what `features.safetensors` holds.
_KEPT, _HELD_OUT = ("features", "train", "train_rows", "radii"), "held_out."


def make_reference(reference: Reference, dataset: PreparedDataset, paths: Paths) -> ReferenceRecord:
    """The record of a real split's statistics, features and trained classifier, if any; at once where it is there."""
    folder = paths.reference(reference.key)
    parts = FeatureParts(paths.features(reference.key), reference.key)
    with exclusive(folder):
        if read_reference(reference.key, paths).record is None:
            with device_for(reference.execution, reference.threads) as device:
                record = reference_record(reference, dataset, paths, device, parts)
                write_json(folder / "reference.json", record.content())
        parts.remove()
        return read_reference(reference.key, paths).record


def reference_record(
    reference: Reference, dataset: PreparedDataset, paths: Paths, device: torch.device, parts: FeatureParts
) -> ReferenceRecord:
    folder, manifest = paths.reference(reference.key), dataset.manifest
    accuracy_held_out, counts = None, None
    weights = paths.weights_file(reference.extractor, folder)
    if reference.extractor in TRAINED:
        state, accuracy_held_out = TRAINED[reference.extractor](dataset)
        save_tensors(weights, state)
    extractor = Extractor(reference.extractor, folder, paths, device)
    weights_digest = file_digest(weights)

    def features_of(name: str, images: np.ndarray, rows: int | None) -> Tensors:
        carried = parts.of(f"{name} images", [name, rows, weights_digest, device.type])
        features = features_of_images(extractor, images, device, carried)
        if not features["features"].isfinite().all():
            raise UserError(f"{weights}: features of real images are not finite; delete the file and make it again")
        return features

    found = measure_real(dataset, reference.split, features_of)
    if manifest["labels"]["kind"] == "classes":
        counts = np.bincount(dataset.split(reference.split)[1], minlength=len(manifest["labels"]["names"])).tolist()
    record = {
        "key": reference.key,
        "dataset": reference.dataset,
        "dataset_digest": reference.dataset_digest,
        "extractor": reference.extractor,
        "split": reference.split,
        "weights_digest": weights_digest,
        "accuracy": accuracy_held_out,
        **{name: manifest[name] for name in ("kind", "crop", "resize", "resolution", "channels")},
        "class_counts": counts,
        **found.facts,
    }
    other = found.held_out
    real = RealSide(record, found.statistics, found.kept, found.train, found.train_rows, other.features, found.radii)
    kept = {name: getattr(real, name) for name in _KEPT}
    kept |= {f"{_HELD_OUT}{name}": rows for name, rows in real.held_out.items()}
    save_tensors(folder / "features.safetensors", kept)
    save_tensors(folder / "statistics.safetensors", {n: torch.from_numpy(a) for n, a in real.statistics.items()})
    metrics = as_if_generated(applicable(reference.extractor), other, real) if len(other) else {}
    other_split = {"split": _other(reference.split), "count": len(other), "metrics": metrics}
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_digest(path)} for path in folder.glob("*.safetensors")
    }
    return ReferenceRecord(**record, files=files, other_split=other_split)


def load_reference(key: str, paths: Paths) -> RealSide:
    """The real side of a comparison, as `make_reference` left it.

    Raises:
        UserError: it is not there, or has other bytes than its record says.
    """
    folder, found = paths.reference(key), read_reference(key, paths, verify=True)
    if found.record is None:
        why = f"damaged ({found.why})" if found.why else "no such reference"
        raise UserError(f"{folder}: {why}; make it with `python -m sagan reference {key}`")
    kept = load_file(folder / "features.safetensors")
    return RealSide(
        record=found.record.content(),
        statistics=load_arrays(folder / "statistics.safetensors"),
        held_out={name.removeprefix(_HELD_OUT): rows for name, rows in kept.items() if name.startswith(_HELD_OUT)},
        **{name: kept[name] for name in _KEPT},
    )


@dataclass(frozen=True)
class RealMeasures:
    """What is measured of real images: a `RealSide`'s tensors (`kept` are its features), and figures for its record."""

    statistics: formulas.Statistics
    kept: Tensor
    radii: Tensor
    train: Tensor
    train_rows: Tensor
    held_out: Sampled
    facts: Json


def measure_real(
    dataset: PreparedDataset, split: str, features_of: Callable[[str, np.ndarray, int | None], Tensors]
) -> RealMeasures:
    """The real side; `features_of`: (a split's name, images of it, at most how many they are) -> their features."""
    images, other = dataset.split(split)[0], _other(split)
    features = features_of(split, images, None)["features"]
    bank = max(1, BANK_NUMBERS // features.shape[1])
    other_images = dataset.split(other)[0]
    limit = KEPT_FEATURES if other == "test" else bank
    other_rows = some_rows(len(other_images), limit)
    other_found = features_of(other, other_images[other_rows], limit)
    other_features = other_found["features"]
    statistics = formulas.statistics(features)
    kept = features[some_rows(len(features), KEPT_FEATURES)]
    train_rows = some_rows(len(features), bank) if split == "train" else other_rows
    train, test = (features[train_rows], other_features) if split == "train" else (other_features, kept)
    facts = {
        "real_count": len(features),
        "feature_dim": features.shape[1],
        "pixel_deviation": deviation_of_images(images),
        "floor": _noise_floor(split, features, other_features, statistics),
        "memorisation": {**_held_out_distances(train, test), "training_images": len(dataset.split("train")[0])},
    }
    return RealMeasures(
        statistics=statistics,
        kept=kept,
        radii=kept.new_zeros(0, 2) if too_few_neighbours(kept, kept) else formulas.radii(kept),
        train=train,
        train_rows=torch.from_numpy(train_rows),
        held_out=Sampled(other_found).rows(some_rows(len(other_features), KEPT_FEATURES)),
        facts=facts,
    )


def _other(split: str) -> str:
    return "test" if split == "train" else "train"


def as_if_generated(names: Iterable[str], images: Sampled, real: RealSide) -> Json:
    """Metrics of images, without a protocol; of real ones they say how good a figure can be."""
    found = measures(names, images, real)
    return {name: {"value": measure.value, "status": measure.status} for name, measure in found.items()}


def _order(count: int) -> np.ndarray:
    """A fixed permutation: datasets may lie sorted by class or source."""
    return np.random.default_rng(derived_seed(0, "kept features", 0)).permutation(count)


def some_rows(count: int, limit: int) -> np.ndarray:
    """At most `limit` rows of `count`, drawn at random, in order."""
    return np.sort(_order(count)[:limit])


def _train_classifier(dataset: PreparedDataset) -> tuple[dict[str, Tensor], float]:
    """The state of a classifier of a dataset's own classes, and its accuracy on held-out images."""
    labels = dataset.manifest["labels"]
    if labels["kind"] != "classes":
        name = dataset.manifest["dataset"]
        raise UserError(
            f"params.yaml: evaluation: the extractor 'classifier': dataset {name!r} has no classes to train one on; "
            "use 'inception'"
        )
    network = train_classifier(*dataset.split("train"), len(labels["names"]))
    return network.state_dict(), accuracy(network, *dataset.split("test"))


# Spaces whose weights are trained for each reference.
TRAINED: Table[str, Callable[[PreparedDataset], tuple[dict[str, Tensor], float]]] = {"classifier": _train_classifier}


def _noise_floor(split: str, features: Tensor, other_features: Tensor, statistics: formulas.Statistics) -> Json:
    """FID between real images, held-out ones against the split and one half of the split against the other."""
    feature_dim, half = features.shape[1], len(features) // 2
    other = "test" if split == "train" else "train"
    halves: Json = {"fid": None, "count": half, "what": f"one half of the {split} split against the other, {half} each"}
    if half >= feature_dim:
        order = _order(len(features))
        parts = (formulas.statistics(features[order[:half]]), formulas.statistics(features[order[half : 2 * half]]))
        halves["fid"] = formulas.fid(*parts)
    if len(other_features) < feature_dim:
        return {**halves, "halves": halves}
    return {
        "fid": formulas.fid(formulas.statistics(other_features), statistics),
        "count": len(other_features),
        "what": f"{len(other_features)} real {other} images against the {split} split",
        "halves": halves,
    }


def _held_out_distances(train: Tensor, test: Tensor) -> Json:
    """How far real images that nothing was trained on are from the nearest training image, in feature space."""
    if not len(test):
        return {"held_out_count": 0, "train_count": len(train)}
    distances = formulas.nearest(test, train)[0][:, 0]
    return {
        "held_out_median": float(distances.median()),
        "held_out_p01": float(torch.quantile(distances, 0.01)),
        "held_out_count": len(test),
        "train_count": len(train),
    }

"""The real side of every comparison, made once for a dataset's split in one feature space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sagan.conditions import class_labels, class_names
from sagan.data import PreparedDataset, load
from sagan.errors import UserError
from sagan.metrics import values
from sagan.metrics.classes import ClassSide, class_file, load_classes, save_classes
from sagan.metrics.classifier import accuracy, train_classifier
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import Features, deviation_of_images, features_of_images
from sagan.metrics.measures import all_measures
from sagan.metrics.real import RealSide
from sagan.paths import Paths
from sagan.plan import Reference
from sagan.records import Json, file_digest, read_json, write_json
from sagan.seeds import derived_seed
from sagan.tensors import save_tensors
from sagan.training.devices import device_for
from sagan.training.locks import exclusive

# Rows of real features that are kept for KID, precision and recall; FID's statistics are of all.
KEPT_FEATURES = 10_000
# Numbers in the features of the training images among which nearest ones are looked for, 256 MB: of 128 features
# each, half a million images; of Inception's 2,048, 32,768.
BANK_NUMBERS = 2**26


def make_reference(reference: Reference, dataset: PreparedDataset, paths: Paths) -> Json:
    """Statistics and features of the real split, and the classifier where one is trained.

    Returns:
        The content of `reference.json`; at once where it is there already.
    """
    folder = paths.reference(reference.key)
    with exclusive(paths.state(reference.key) / "lock", reference.key):
        if (folder / "reference.json").exists():
            return read_json(folder / "reference.json")
        with device_for(reference.execution, reference.threads) as device:
            return _make(reference, dataset, folder, paths, device)


def _make(reference: Reference, dataset: PreparedDataset, folder: Path, paths: Paths, device: torch.device) -> Json:
    manifest, split = dataset.manifest, reference.split
    accuracy_held_out = None
    if reference.extractor == "classifier":
        accuracy_held_out = _train_classifier(dataset, folder / "classifier.safetensors")
    extractor = Extractor(reference.extractor, folder, paths, device)
    weights = paths.weights_file(reference.extractor, folder)
    images, other = dataset.split(split)[0], "test" if split == "train" else "train"
    features = features_of_images(extractor, images, device)["features"]
    bank = max(1, BANK_NUMBERS // features.shape[1])
    other_images = dataset.split(other)[0]
    other_rows = _some_rows(len(other_images), KEPT_FEATURES if other == "test" else bank)
    other_found = features_of_images(extractor, other_images[other_rows], device)
    other_features = other_found["features"]
    if not (features.isfinite().all() and other_features.isfinite().all()):
        raise UserError(f"{weights}: features of real images are not finite; delete the file and make it again")
    statistics = values.statistics(features)
    save_tensors(folder / "statistics.safetensors", {name: torch.from_numpy(a) for name, a in statistics.items()})
    kept = features[_some_rows(len(features), KEPT_FEATURES)]
    train_rows = _some_rows(len(features), bank) if split == "train" else other_rows
    train, test = (features[train_rows], other_features) if split == "train" else (other_features, kept)
    arrays = {"features": kept, "train": train, "train_rows": torch.from_numpy(train_rows)}
    save_tensors(folder / "features.safetensors", arrays)
    for condition in reference.conditions:
        _save_classes(dataset, split, condition, features, folder)
    record = {
        "key": reference.key,
        "dataset": reference.dataset,
        "dataset_digest": reference.dataset_digest,
        "extractor": reference.extractor,
        "split": split,
        "real_count": len(features),
        "weights_digest": file_digest(weights),
        "feature_dim": features.shape[1],
        "accuracy": accuracy_held_out,
        "pixel_deviation": deviation_of_images(images),
        "floor": _noise_floor(split, features, other_features, statistics),
        "memorisation": {**_held_out_distances(train, test), "training_images": len(dataset.split("train")[0])},
        "kind": manifest["kind"],
        "crop": manifest["crop"],
        "resize": manifest["resize"],
        "resolution": manifest["resolution"],
        "channels": manifest["channels"],
    }
    real = RealSide(record, statistics, kept, train, arrays["train_rows"])
    record["other_split"] = _as_if_generated(other, other_found, real)
    write_json(folder / "reference.json", record)
    return record


def _as_if_generated(split: str, found: Features, real: RealSide) -> Json:
    """Every metric of real images of the other split in the place of generated ones: how good a figure can be."""
    rows = _some_rows(len(found["features"]), KEPT_FEATURES)
    measures = all_measures({name: value[rows] for name, value in found.items()}, real)
    metrics = {name: {"value": measure.value, "status": measure.status} for name, measure in measures.items()}
    return {"split": split, "count": len(rows), "metrics": metrics}


def _order(count: int) -> np.ndarray:
    """A fixed permutation: datasets may lie sorted by class or source."""
    return np.random.default_rng(derived_seed(0, "kept features", 0)).permutation(count)


def _some_rows(count: int, limit: int) -> np.ndarray:
    """At most `limit` rows of `count`, drawn at random, in order."""
    return np.sort(_order(count)[:limit])


def _train_classifier(dataset: PreparedDataset, path: Path) -> float:
    labels = dataset.manifest["labels"]
    if labels["kind"] != "classes":
        name = dataset.manifest["dataset"]
        raise UserError(
            f"params.yaml: evaluation: the extractor 'classifier': dataset {name!r} has no classes to train one on; "
            "use 'inception'"
        )
    network = train_classifier(*dataset.split("train"), len(labels["names"]))
    save_tensors(path, network.state_dict())
    return accuracy(network, *dataset.split("test"))


def _noise_floor(split: str, features: Tensor, other_features: Tensor, statistics: values.Statistics) -> Json:
    """FID between real images: what no generator can be told from.

    Held-out images against the split, and one random half of the split against the other half. Where
    the held-out images are too few for the features, the halves are the floor; None where they are too.
    """
    feature_dim, half = features.shape[1], len(features) // 2
    other = "test" if split == "train" else "train"
    halves: Json = {"fid": None, "count": half, "what": f"one half of the {split} split against the other, {half} each"}
    if half >= feature_dim:
        order = _order(len(features))
        parts = (values.statistics(features[order[:half]]), values.statistics(features[order[half : 2 * half]]))
        halves["fid"] = values.fid(*parts)
    if len(other_features) < feature_dim:
        return {**halves, "halves": halves}
    return {
        "fid": values.fid(values.statistics(other_features), statistics),
        "count": len(other_features),
        "what": f"{len(other_features)} real {other} images against the {split} split",
        "halves": halves,
    }


def _held_out_distances(train: Tensor, test: Tensor) -> Json:
    """How far real images that nothing was trained on are from the nearest training image, in feature space."""
    distances = values.nearest(test, train)[0][:, 0]
    return {
        "held_out_median": float(distances.median()),
        "held_out_p01": float(torch.quantile(distances, 0.01)),
        "held_out_count": len(test),
        "train_count": len(train),
    }


def _save_classes(dataset: PreparedDataset, split: str, condition: str, features: Tensor, folder: Path) -> None:
    labels = class_labels(dataset.split(split)[1], dataset.manifest, condition)
    save_classes(class_file(folder, condition), features, labels, len(class_names(dataset.manifest, condition)))


def class_side(
    folder: Path, condition: str, real: RealSide, extractor: Extractor, paths: Paths, device: torch.device
) -> ClassSide:
    """The real images of each class, from the reference's folder; made there where no suite asked for it before.

    Raises:
        UserError: it has to be made, and the dataset is not here, or is another.
    """
    path, record = class_file(folder, condition), real.record
    with exclusive(paths.state(record["key"]) / "lock", record["key"]):
        if not path.exists():
            prepared = paths.prepared(record["dataset"], record["resolution"])
            dataset = load(prepared)
            if dataset.manifest["digest"] != record["dataset_digest"]:
                raise UserError(f"{prepared}: not the dataset that {folder} was made of; delete {folder}")
            features = features_of_images(extractor, dataset.split(record["split"])[0], device)["features"]
            _save_classes(dataset, record["split"], condition, features, folder)
    return load_classes(path)

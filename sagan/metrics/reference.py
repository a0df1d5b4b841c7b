"""The real side of every comparison, made once for a dataset's split in one feature space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

from sagan.data import PreparedDataset
from sagan.errors import UserError
from sagan.metrics import values
from sagan.metrics.classifier import accuracy, train_classifier
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import features_of_images
from sagan.paths import Paths
from sagan.plan import Reference
from sagan.records import Json, atomic, file_digest, read_json, write_json
from sagan.training.batches import derived_seed
from sagan.training.devices import device_for
from sagan.training.locks import exclusive

# Rows of real features that are kept for KID, precision and recall; FID's statistics are of all.
KEPT_FEATURES = 10_000


def make_reference(reference: Reference, dataset: PreparedDataset, paths: Paths) -> Json:
    """Statistics and features of the real split, and the classifier where one is trained.

    Returns:
        The content of `reference.json`; at once where it is there already.
    """
    folder = paths.reference(reference.key)
    with exclusive(paths.state(reference.key) / "lock", reference.key):
        if (folder / "reference.json").exists():
            return read_json(folder / "reference.json")
        execution = reference.execution
        with device_for(execution["device"], execution["threads"]) as device:
            return _make(reference, dataset, folder, paths, device)


def _make(reference: Reference, dataset: PreparedDataset, folder: Path, paths: Paths, device: torch.device) -> Json:
    manifest = dataset.manifest
    accuracy_held_out = None
    if reference.extractor == "classifier":
        accuracy_held_out = _train_classifier(dataset, folder / "classifier.safetensors", device)
    extractor = Extractor(reference.extractor, folder, paths, device)
    features = features_of_images(extractor, dataset.split(reference.split)[0], device)["features"]
    statistics = values.statistics(features)
    with atomic(folder / "statistics.safetensors") as temporary:
        save_arrays(statistics, temporary)
    order = np.random.default_rng(derived_seed(0, "kept features", 0)).permutation(len(features))
    with atomic(folder / "features.safetensors") as temporary:
        save_arrays({"features": features.numpy()[np.sort(order[:KEPT_FEATURES])]}, temporary)
    weights = paths.weights_file(reference.extractor, folder)
    record = {
        "key": reference.key,
        "dataset": reference.dataset,
        "dataset_digest": reference.dataset_digest,
        "extractor": reference.extractor,
        "split": reference.split,
        "real_count": len(features),
        "weights_digest": file_digest(weights),
        "feature_dim": features.shape[1],
        "accuracy": accuracy_held_out,
        "floor": _noise_floor(reference, dataset, extractor, statistics, device),
        "crop": manifest["crop"],
        "resize": manifest["resize"],
        "resolution": manifest["resolution"],
        "channels": manifest["channels"],
    }
    write_json(folder / "reference.json", record)
    return record


def _train_classifier(dataset: PreparedDataset, path: Path, device: torch.device) -> float:
    labels = dataset.manifest["labels"]
    if labels["kind"] != "classes":
        name = dataset.manifest["dataset"]
        raise UserError(
            f"params.yaml: evaluation.extractor = 'classifier': dataset {name!r} has no classes to train one on; "
            "use 'inception'"
        )
    network = train_classifier(*dataset.split("train"), len(labels["names"]), device)
    with atomic(path) as temporary:
        save_file({name: value.contiguous().cpu() for name, value in network.state_dict().items()}, temporary)
    return accuracy(network, *dataset.split("test"), device)


def _noise_floor(
    reference: Reference,
    dataset: PreparedDataset,
    extractor: Extractor,
    statistics: values.Statistics,
    device: torch.device,
) -> Json:
    """FID of real images that are not in the split against the split: what no generator can be told from."""
    other = "test" if reference.split == "train" else "train"
    images = dataset.split(other)[0][:KEPT_FEATURES]
    held_out = values.statistics(features_of_images(extractor, images, device)["features"])
    return {
        "fid": values.fid(held_out, statistics),
        "count": len(images),
        "what": f"{len(images)} real {other} images against the {reference.split} split",
    }


def load_reference(folder: Path) -> tuple[Json, values.Statistics, torch.Tensor]:
    """`reference.json`, the real statistics, and the kept real features [<= 10,000, D]."""
    features = torch.from_numpy(load_arrays(folder / "features.safetensors")["features"])
    return read_json(folder / "reference.json"), load_arrays(folder / "statistics.safetensors"), features

"""A finished run's generator as an MLflow model: code as files, weights as safetensors, nothing pickled."""

from __future__ import annotations

import re
import shutil
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from mlflow import MlflowClient, pyfunc
from mlflow.entities import LoggedModelOutput, Metric
from mlflow.entities import Run as Mirror
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

import sagan
from sagan.code.extensions import is_trusted
from sagan.store.paths import Paths
from sagan.store.reading import is_own_file, warn_once
from sagan.store.records import Json, file_digest
from sagan.tracking import content
from sagan.tracking.content import Records

# Tags of a run: the id of its model, set when all of it has arrived; and the same once it has its figures.
MODEL_TAG, MEASURED_TAG = "sagan.model", "sagan.model.measured"
_FILE = "generator.safetensors"
# What a generator needs of this package.
_CODE = ("__init__.py", "code", "errors.py", "nn", "shapes.py", "store/__init__.py", "store/paths.py")
_no_cache = shutil.ignore_patterns("__pycache__")
_NEEDS = ("mlflow", "numpy", "safetensors", "torch")


def send_model(client: MlflowClient, mirror: Mirror, records: Records, paths: Paths | None) -> dict[str, str]:
    """Makes the model of a finished run, once, and sends its figures once they are there; returns the run's new tags.

    A run that is followed has finished some time before it is measured. A light copy has no weights, and weights with
    other bytes than were measured make no model; nor does own code that nobody here trusts.

    Args:
        paths: where the run lies; None where no models are wanted.
    """
    tags, model = {}, mirror.data.tags.get(MODEL_TAG)
    if model is None and paths is not None and (folder := _sendable(records, paths)) is not None:
        tags[MODEL_TAG] = model = _make(client, mirror, records, folder)
    if model and records.measures and mirror.data.tags.get(MEASURED_TAG) != model:
        points = [point for point in content.result_points(records) if point.key in records.measures.metrics]
        client.log_batch(mirror.info.run_id, metrics=[Metric(*point, model_id=model) for point in points])
        tags[MEASURED_TAG] = model
    return tags


def _sendable(records: Records, paths: Paths) -> Path | None:
    """The run's folder, where a model can be made of what lies there."""
    folder, kept = paths.run(records.cell.run), records.result.files.get(_FILE)
    if records.result.status != "finished" or not is_own_file(folder / _FILE, folder):
        return None
    if kept and file_digest(folder / _FILE) != kept.sha256:
        warn_once(
            f"{folder / _FILE}: other bytes than were measured, so MLflow gets no model of it; `dvc repro` mends it"
        )
        return None
    if (folder / "extension").is_dir() and not is_trusted(folder, paths):
        warn_once(f"{folder}: own code that came with a copied run, so MLflow gets no model of it")
        return None
    return folder


def _make(client: MlflowClient, mirror: Mirror, records: Records, run_folder: Path) -> str:
    """The id of a run's new model. What an earlier sending left half done is removed."""
    run_id, experiment = mirror.info.run_id, mirror.info.experiment_id
    drop_models(client, mirror)
    told = {"sagan.run": records.cell.run, "sagan.variant": records.cell.variant, "sagan.seed": str(records.cell.seed)}
    # MLflow allows fewer characters in the name of a model than in that of a run.
    name = re.sub(r"[/:.%\"']", "-", records.cell.run)
    model = client.create_logged_model(experiment, name, run_id, told, content.parameters(records), "generator")
    with tempfile.TemporaryDirectory() as folder:
        _save(Path(folder) / "model", records.run.config, run_folder, model.model_id, run_id)
        client.log_model_artifacts(model.model_id, str(Path(folder) / "model"))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, records.result.steps)])
    return model.model_id


def drop_models(client: MlflowClient, mirror: Mirror) -> None:
    """Takes away the models of a mirror; a version that was registered from one stays in the registry."""
    for model in client.search_logged_models([mirror.info.experiment_id], f"source_run_id = '{mirror.info.run_id}'"):
        client.delete_logged_model(model.model_id)


def _save(folder: Path, config: Json, run_folder: Path, model_id: str, run_id: str) -> None:
    """An MLflow model in a folder."""
    package = Path(sagan.__file__).parent
    inputs, example = _inputs(config)
    resolution, channels = config["image"]["resolution"], config["image"]["channels"]
    images = TensorSpec(np.dtype(np.uint8), (-1, resolution, resolution, channels), "images")
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings(record=True):
        # Recorded, which is unheard: MLflow would rather have type hints of its own kind, and filters do not stop it.
        code, kept = Path(name) / "sagan", Path(name) / "kept"
        # By content: MLflow refuses links, which DVC's shared cache is made of.
        kept.mkdir()
        artifacts = {"generator": str(shutil.copyfile(run_folder / _FILE, kept / _FILE))}
        own = [file for file in (run_folder / "extension").glob("*.py") if is_own_file(file, run_folder)]
        if own:
            (kept / "extension").mkdir()
            artifacts["own_code"] = str(kept / "extension")
        for file in own:
            shutil.copyfile(file, kept / "extension" / file.name)
        (code / "store").mkdir(parents=True)
        for part in _CODE:
            if (package / part).is_dir():
                shutil.copytree(package / part, code / part, ignore=_no_cache)
            else:
                shutil.copyfile(package / part, code / part)
        pyfunc.save_model(
            folder,
            python_model=str(package / "tracking" / "generator_model.py"),
            artifacts=artifacts,
            code_paths=[str(code)],
            signature=ModelSignature(Schema(inputs), Schema([images])),
            input_example=example,
            pip_requirements=[f"{name}=={version(name)}" for name in _NEEDS],
            mlflow_model=Model(model_id=model_id, run_id=run_id),
        )


def _inputs(config: Json) -> tuple[list[TensorSpec], dict[str, np.ndarray]]:
    """What a generator takes, and an example of it: two images."""
    z_dim, classes = config["variant"]["generator"]["z_dim"], config["image"].get("classes") or []
    specs = [TensorSpec(np.dtype(np.float32), (-1, z_dim), "z")]
    example = {"z": np.random.default_rng(0).standard_normal((2, z_dim)).astype(np.float32)}
    if classes:
        specs.append(TensorSpec(np.dtype(np.int64), (-1,), "label"))
        example["label"] = np.arange(2, dtype=np.int64) % len(classes)  # type: ignore[assignment]
    return specs, example

"""A finished run's generator as an MLflow model: code as files, weights as safetensors, nothing pickled."""

import re
import shutil
import tempfile
from collections.abc import Iterable
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
from sagan.store.records import file_digest
from sagan.tracking import content
from sagan.tracking.content import Records

MODEL_TAG = "sagan.model"  # of a run: the id of its model, set when all of it has arrived
_FILE = "generator.safetensors"
# What a generator needs of this package, and of others.
_CODE = {"__init__.py", "code", "errors.py", "names.py", "nn", "params", "shapes.py", "store"}
_NEEDS = ("mlflow", "numpy", "pydantic", "safetensors", "torch")


def send_model(client: MlflowClient, mirror: Mirror, records: Records, paths: Paths) -> dict[str, str]:
    """Makes the model of a measured run with its figures; returns the run's new tags, none where it gets no model."""
    folder, kept = paths.run(records.cell.run), records.result.files.get(_FILE)
    if records.result.status != "finished" or not is_own_file(folder / _FILE, folder):
        return {}  # a light copy has no weights
    if kept and file_digest(folder / _FILE) != kept.sha256:
        told = "other bytes than were measured, so MLflow gets no model of it; `dvc repro` mends it"
        warn_once(f"{folder / _FILE}: {told}")
        return {}
    if (folder / "extension").is_dir() and not is_trusted(folder, paths):
        warn_once(f"{folder}: own code that came with a copied run, so MLflow gets no model of it")
        return {}
    run, cell = mirror.info, records.cell
    drop_models(client, mirror)  # what an earlier sending left half done
    tags = {"sagan.run": cell.run, "sagan.variant": cell.variant, "sagan.seed": str(cell.seed)}
    # MLflow allows fewer characters in the name of a model than in that of a run.
    name, parameters = re.sub(r"[/:.%\"']", "-", cell.run), content.parameters(records)
    made = client.create_logged_model(run.experiment_id, name, run.run_id, tags, parameters, "generator").model_id
    with tempfile.TemporaryDirectory() as scratch:
        _save(Path(scratch), records, folder, Model(model_id=made, run_id=run.run_id))
        client.log_model_artifacts(made, f"{scratch}/model")
    points = [point for point in content.result_points(records) if point.key in records.measures[content.MAIN].metrics]
    figures = [Metric(point.key, point.value, point.timestamp, point.step, model_id=made) for point in points]
    client.log_batch(run.run_id, metrics=figures)
    client.finalize_logged_model(made, "READY")
    client.log_outputs(run.run_id, [LoggedModelOutput(made, records.result.steps)])
    return {MODEL_TAG: made}


def copy_own(files: Iterable[Path], source: Path, target: Path) -> None:
    """Copies those files that are a folder's own: a link in a copied result may lead to any file of this machine."""
    for file in files:
        if is_own_file(file, source):
            place = target / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)  # MLflow refuses a link, such as into DVC's cache


def drop_models(client: MlflowClient, mirror: Mirror) -> None:
    """Takes away the models of a mirror; a version that was registered from one stays in the registry."""
    for model in client.search_logged_models([mirror.info.experiment_id], f"source_run_id = '{mirror.info.run_id}'"):
        client.delete_logged_model(model.model_id)


def _save(scratch: Path, records: Records, run_folder: Path, model: Model) -> None:
    """Makes an MLflow model in `scratch`/model."""
    package, image = Path(sagan.__file__).parent, records.run.config["image"]
    inputs = [TensorSpec(np.dtype(np.float32), (-1, records.run.config["variant"]["generator"]["z_dim"]), "z")]
    if image.get("classes"):
        inputs.append(TensorSpec(np.dtype(np.int64), (-1,), "label"))
    shape = (-1, image["resolution"], image["resolution"], image["channels"])
    images = TensorSpec(np.dtype(np.uint8), shape, "images")

    def unneeded(folder: str, names: list[str]) -> set[str]:
        return set(names) - _CODE if Path(folder) == package else {"__pycache__"}

    shutil.copytree(package, scratch / "sagan", ignore=unneeded)
    copy_own([run_folder / _FILE, *run_folder.glob("extension/*.py")], run_folder, scratch / "generator")
    pyfunc.save_model(
        scratch / "model",
        loader_module="generator_model",
        data_path=str(scratch / "generator"),
        code_paths=[str(scratch / "sagan"), str(package / "tracking" / "generator_model.py")],
        signature=ModelSignature(Schema(inputs), Schema([images])),
        input_example={spec.name: np.zeros((2, *spec.shape[1:]), spec.type) for spec in inputs},
        pip_requirements=[f"{need}=={version(need)}" for need in _NEEDS],
        mlflow_model=model,
    )

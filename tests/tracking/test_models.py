"""A finished run's generator as an MLflow model: once, without pickles, and images come out of it."""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from sagan.code.extensions import load_extension, read_sources
from sagan.metrics.features import latents, to_uint8
from sagan.nn import build_generator
from sagan.nn.extension import own_network
from sagan.nn.files import load_generator
from sagan.nn.reparametrised import folded_state, plain
from sagan.store.tensors import save_tensors
from sagan.tracking import TrackingUnavailable
from tests import wait_for
from tests.tracking.conftest import PARAMS, free_port

torch.set_num_threads(1)


def write_weights(workspace, cell) -> Path:
    """generator.safetensors as training leaves it."""
    torch.manual_seed(cell.seed)
    config = workspace.plan.runs[cell.run].typed.networks()
    path = workspace.paths.run(cell.run) / "generator.safetensors"
    generator = build_generator(config).eval()
    with torch.no_grad():
        for parameter in generator.parameters():  # at the start gamma is 0, and all classes are the same
            parameter.add_(0.1 * torch.randn_like(parameter))
    save_tensors(path, folded_state(generator), {"config": json.dumps(config)})
    return path


def models(workspace):
    client = workspace.client
    return client.search_logged_models([client.get_experiment_by_name("sagan-quick").experiment_id])


def folder_of_the_model(workspace) -> Path:
    (model,) = models(workspace)
    return Path(model.artifact_location.removeprefix("file://"))


def images_elsewhere(folder: Path, elsewhere: Path, inputs: dict[str, torch.Tensor]) -> np.ndarray:
    """What a model gives in a process that finds this project nowhere else."""
    shutil.copytree(folder, elsewhere / "model")
    np.savez(elsewhere / "inputs.npz", **{name: value.numpy() for name, value in inputs.items()})
    script = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder)]
import mlflow, numpy
images = mlflow.pyfunc.load_model("model").predict(dict(numpy.load("inputs.npz")))
numpy.save("images.npy", images)
print(sys.modules["sagan"].__file__)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=elsewhere, capture_output=True, encoding="utf-8")
    assert done.stdout.startswith(str(elsewhere / "model" / "code")), done.stderr
    return np.load(elsewhere / "images.npy")


@torch.no_grad()
def images_of(generator, *inputs: torch.Tensor) -> np.ndarray:
    return to_uint8(generator(*inputs)).permute(0, 2, 3, 1).numpy()


@pytest.fixture
def sent(workspace):
    """A cell whose run is finished and sent with its generator."""
    cell = workspace.cells[0]
    workspace.finish(cell)
    write_weights(workspace, cell)
    workspace.send()
    return cell


def test_sending_one_says_nothing_and_leaves_nothing_here(workspace, capfd, recwarn, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    workspace.finish(workspace.cells[0])
    write_weights(workspace, workspace.cells[0])
    monkeypatch.chdir(tmp_path / "elsewhere")
    workspace.send()
    assert len(models(workspace)) == 1
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn.list] == []
    assert list(Path().iterdir()) == []


def test_a_finished_run_has_one_model_until_it_is_measured_again(workspace, sent):
    (model,) = models(workspace)
    assert (model.status, model.tags["sagan.run"]) == ("READY", sent.run)
    assert model.params["generator.attention_at"] == "[14]"
    assert sorted((m.key, m.value) for m in model.metrics) == [("fid", 12.5), ("kid", 0.01)]
    mirror = workspace.mirror(sent)
    assert mirror["tags"]["sagan.model"] == model.model_id
    assert len(mirror["points"]["fid"]) == 1
    assert workspace.send().sent == []
    assert [again.model_id for again in models(workspace)] == [model.model_id]
    workspace.evaluation(sent, fid=10.0, finished="2025-10-10T09:10:00+00:00")
    workspace.send()
    (anew,) = models(workspace)
    assert anew.model_id != model.model_id
    assert [m.value for m in anew.metrics if m.key == "fid"] == [10.0]


def test_a_model_gives_the_generators_images_needs_nothing_of_this_clone_and_holds_no_pickle(workspace, sent, tmp_path):
    folder, weights = folder_of_the_model(workspace), workspace.paths.run(sent.run) / "generator.safetensors"
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert suffixes <= {".py", ".json", ".yaml", ".txt", "", ".safetensors"}
    assert (folder / "data/generator/generator.safetensors").read_bytes() == weights.read_bytes()
    z = latents(128, 3, seed=0)
    images = images_elsewhere(folder, tmp_path, {"z": z})
    assert images.dtype == np.uint8 and images.shape == (3, 28, 28, 1)
    assert np.array_equal(images, images_of(load_generator(weights), z))


def test_a_model_that_knows_classes_is_told_of_them(make, tmp_path, monkeypatch):
    text = PARAMS.replace("width: 64", "width: 8").replace("objective: hinge", "objective: hinge\n    condition: class")
    workspace = make(text=text)
    (cell, *_) = workspace.cells
    workspace.finish(cell)
    path = write_weights(workspace, cell)
    workspace.send()
    z, label = latents(128, 4, seed=0), torch.tensor([0, 2, 1, 2])
    images = images_elsewhere(folder_of_the_model(workspace), tmp_path, {"z": z, "label": label})
    assert np.array_equal(images, images_of(load_generator(path), z, label))
    # Loading puts the model's own copy of the networks first in the path, for the rest of the process.
    monkeypatch.setattr(sys, "path", sys.path)
    loaded = mlflow.pyfunc.load_model(str(folder_of_the_model(workspace)))
    for inputs in ({"z": z.numpy()}, {"z": np.zeros((3, 5), np.float32), "label": label.numpy()}):
        with pytest.raises(mlflow.MlflowException):  # no labels; another z_dim
            loaded.predict(inputs)


def test_a_model_of_own_code_takes_that_code_along_where_it_is_trusted(workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    cell = workspace.cells[0]
    workspace.finish(cell)
    folder, file = workspace.paths.run(cell.run), Path("extensions/examples/upsampling.py")
    config = workspace.plan.runs[cell.run].config
    config = {**config, "variant": {**config["variant"], "extension": {"options": {"kernel": 3}}}}
    generator = own_network("generator", plain(config, "generator"), load_extension(read_sources(file))).eval()
    save_tensors(folder / "generator.safetensors", generator.state_dict(), {"config": json.dumps(config)})
    (folder / "extension").mkdir()
    shutil.copyfile(file, folder / "extension" / "main.py")
    workspace.send()
    assert models(workspace) == []  # code that `sample` refuses
    shutil.copytree("extensions", workspace.paths.root / "extensions")
    workspace.send()
    z = torch.zeros(2, 128)
    assert np.array_equal(images_elsewhere(folder_of_the_model(workspace), tmp_path, {"z": z}), images_of(generator, z))


def test_the_page_loads_one_and_leaves_nothing_but_the_store_behind(workspace, sent):
    page = Path("docs/mlflow.md").read_text(encoding="utf-8")
    lines = re.search(r"In Python:\n\n((?:    .+\n)+)", page)[1].replace("    ", "")
    (model,) = models(workspace)
    script = "import mlflow, numpy\nz = numpy.zeros((2, 128), numpy.float32)\n"
    script += lines.replace("<model id>", model.model_id) + "print(images.shape)"
    root = workspace.paths.root
    before = set(root.iterdir())
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True)
    assert done.stdout == "(2, 28, 28, 1)\n", done.stderr
    assert set(root.iterdir()) == before


def test_links_to_dvcs_cache_are_sent_by_content(workspace, tmp_path):
    cell = workspace.cells[0]
    workspace.finish(cell)
    weights = write_weights(workspace, cell)
    content = weights.read_bytes()
    for path in (weights, workspace.paths.evaluation(cell.evaluation) / "samples.png"):
        # As `dvc config cache.type symlink` does.
        digest = hashlib.md5(path.read_bytes()).hexdigest()
        place = tmp_path / "cache" / "files" / "md5" / digest[:2] / digest[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
        path.symlink_to(place)
    workspace.send()
    folder = folder_of_the_model(workspace)
    assert (folder / "data/generator/generator.safetensors").read_bytes() == content
    assert "samples.png" in [name for name, _ in workspace.mirror(cell)["files"]]


def test_weights_that_changed_after_they_were_measured_make_no_model(workspace, capsys):
    cell = workspace.cells[0]
    workspace.finish(cell)
    weights = write_weights(workspace, cell)
    content = bytearray(weights.read_bytes())
    kept = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    workspace.result(cell, files={"generator.safetensors": kept})
    content[-1] ^= 1
    weights.write_bytes(content)
    workspace.send()
    assert models(workspace) == []
    assert "generator.safetensors: other bytes than were measured" in capsys.readouterr().err


def test_runs_that_diverged_left_no_weights_or_are_not_measured_have_none(workspace):
    light, diverged, unmeasured = workspace.cells[:3]
    workspace.finish(light)
    workspace.log(diverged, range(10, 31, 10))
    workspace.result(diverged, diverged_at=30)
    workspace.evaluation(diverged, diverged=True)
    workspace.log(unmeasured, range(10, 101, 10))
    workspace.result(unmeasured)
    for cell in (diverged, unmeasured):
        write_weights(workspace, cell)
    workspace.send()
    assert models(workspace) == []
    write_weights(workspace, light)  # brought later
    workspace.evaluation(unmeasured)
    params, tracking = workspace.params, workspace.params.tracking.model_copy(update={"models": False})
    workspace.params = params.model_copy(update={"tracking": tracking})
    workspace.send()
    assert models(workspace) == []
    workspace.params = params
    assert workspace.send().sent == [light.run, unmeasured.run]
    assert {model.tags["sagan.run"] for model in models(workspace)} == {light.run, unmeasured.run}


@pytest.mark.parametrize(
    "broken", ["create_logged_model", "log_model_artifacts", "finalize_logged_model", "log_outputs"]
)
def test_one_that_broke_off_is_made_whole(workspace, monkeypatch, broken):
    cell = workspace.cells[0]
    workspace.finish(cell)
    write_weights(workspace, cell)
    write = getattr(MlflowClient, broken)

    def lost(*args, **kwargs):
        write(*args, **kwargs)
        raise ConnectionResetError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, broken, lost)
        with pytest.raises(TrackingUnavailable):
            workspace.send()
    workspace.send()
    (model,) = models(workspace)
    assert model.status == "READY" and workspace.mirror(cell)["tags"]["sagan.model"] == model.model_id
    assert sorted((m.key, m.value) for m in model.metrics) == [("fid", 12.5), ("kid", 0.01)]
    assert workspace.send().sent == []


@pytest.mark.exhaustive
def test_one_is_registered_and_served(workspace, sent, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace.paths.root}/state/mlflow/mlflow.db")
    (model,) = models(workspace)
    workspace.client.create_registered_model("digits")
    workspace.client.create_model_version("digits", f"models:/{model.model_id}", model_id=model.model_id)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/digits/1", "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    log = (tmp_path / "log.txt").open("w+")
    server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True)

    def answers() -> bool:
        assert server.poll() is None, (tmp_path / "log.txt").read_text()
        return socket.socket().connect_ex(("127.0.0.1", port)) == 0

    z = latents(128, 2, seed=0)
    body = json.dumps({"inputs": {"z": z.tolist()}}).encode()
    try:
        wait_for(answers)
        address = f"http://127.0.0.1:{port}/invocations"
        with urllib.request.urlopen(
            urllib.request.Request(address, body, {"Content-Type": "application/json"})
        ) as answer:
            images = np.array(json.load(answer)["predictions"], np.uint8)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    assert np.array_equal(images, images_of(load_generator(workspace.paths.run(sent.run)), z))

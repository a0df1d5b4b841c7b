"""A finished run's generator as an MLflow model: once, without pickles, and images come out of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from sagan.code.extensions import load_extension, read_sources
from sagan.metrics.features import generated_images, to_uint8
from sagan.metrics.latents import latents
from sagan.nn import build_generator
from sagan.nn.extension import own_network
from sagan.nn.files import load_generator
from sagan.nn.reparametrised import folded_state, plain
from sagan.store.tensors import save_tensors
from sagan.tracking import TrackingUnavailable
from tests.tracking.conftest import PARAMS

torch.set_num_threads(1)
PATIENCE_S = 180


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


@pytest.fixture
def load(monkeypatch):
    """Loads a model from its folder, in this process."""
    # Loading puts the model's own copy of the networks first in the path, for the rest of the process.
    monkeypatch.setattr(sys, "path", sys.path)
    return lambda folder: mlflow.pyfunc.load_model(str(folder))


@pytest.fixture
def sent(workspace):
    """A cell whose run is finished and sent with its generator."""
    cell = workspace.cells[0]
    workspace.finish(cell)
    write_weights(workspace, cell)
    workspace.send()
    return cell


def test_sending_one_says_nothing(workspace, capfd, recwarn):
    workspace.finish(workspace.cells[0])
    write_weights(workspace, workspace.cells[0])
    workspace.send()
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn.list] == []


def test_a_finished_run_has_one_model_and_sending_again_makes_no_other(workspace, sent):
    (model,) = models(workspace)
    assert (model.status, model.tags["sagan.run"]) == ("READY", sent.run)
    assert model.params["generator.attention_at"] == "[14]"
    assert [(m.key, m.value) for m in model.metrics if m.key == "fid"] == [("fid", 12.5)]
    mirror = workspace.mirror(sent)
    assert mirror["tags"]["sagan.model"] == model.model_id
    assert len(mirror["points"]["fid"]) == 1
    assert workspace.send().sent == []
    assert [again.model_id for again in models(workspace)] == [model.model_id]


def test_one_made_before_the_run_was_measured_gets_its_figures_later_and_once(workspace, monkeypatch):
    cell = workspace.cells[0]
    workspace.log(cell, range(10, 101, 10))
    workspace.result(cell)
    write_weights(workspace, cell)
    workspace.send()  # as the follower does between the end of training and the measurement
    (model,) = models(workspace)
    assert not model.metrics
    workspace.evaluation(cell)

    write = MlflowClient.log_batch

    def lost(client, run_id, metrics=(), **others):
        write(client, run_id, metrics=metrics, **others)
        if any(metric.model_id for metric in metrics):
            raise ConnectionResetError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", lost)
        with pytest.raises(TrackingUnavailable):
            workspace.send()
    assert workspace.send().sent == [cell.run]
    (measured,) = models(workspace)
    assert measured.model_id == model.model_id
    assert sorted((m.key, m.value) for m in measured.metrics) == [("fid", 12.5), ("kid", 0.01)]
    assert workspace.send().sent == []
    assert sorted(m.key for m in models(workspace)[0].metrics) == ["fid", "kid"]


def test_a_model_gives_the_generators_images_and_holds_no_pickle(workspace, sent, load):
    folder = folder_of_the_model(workspace)
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} <= {
        ".py",
        ".json",
        ".yaml",
        ".txt",
        "",
        ".safetensors",
    }
    assert (folder / "artifacts/generator.safetensors").read_bytes() == (
        workspace.paths.run(sent.run) / "generator.safetensors"
    ).read_bytes()
    loaded = load(folder)
    z = latents(128, 3, seed=0)
    images = loaded.predict({"z": z.numpy()})
    generator = load_generator(workspace.paths.run(sent.run))
    expected = generated_images(generator, z, torch.device("cpu")).permute(0, 2, 3, 1).numpy()
    assert images.dtype == np.uint8 and images.shape == (3, 28, 28, 1)
    assert np.array_equal(images, expected)
    with pytest.raises(mlflow.MlflowException):  # another z_dim
        loaded.predict({"z": np.zeros((3, 5), np.float32)})


def test_a_model_that_knows_classes_is_told_of_them(make, load):
    text = PARAMS.replace("width: 64", "width: 8").replace("objective: hinge", "objective: hinge\n    condition: class")
    workspace = make(text=text)
    (cell, *_) = workspace.cells
    workspace.finish(cell)
    path = write_weights(workspace, cell)
    workspace.send()
    loaded = load(folder_of_the_model(workspace))
    z, label = latents(128, 4, seed=0), torch.tensor([0, 2, 1, 2])
    images = loaded.predict({"z": z.numpy(), "label": label.numpy()})
    with torch.no_grad():
        expected = to_uint8(load_generator(path)(z, label)).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(images, expected)
    other = loaded.predict({"z": z.numpy(), "label": (label + 1).numpy() % 3})
    assert all(not np.array_equal(*pair) for pair in zip(images, other, strict=True))
    with pytest.raises(mlflow.MlflowException):  # no labels
        loaded.predict({"z": z.numpy()})


def test_a_model_needs_nothing_of_this_clone(workspace, sent, tmp_path):
    shutil.copytree(folder_of_the_model(workspace), tmp_path / "elsewhere")
    script = """
import mlflow, numpy, sys
model = mlflow.pyfunc.load_model(sys.argv[1])
print(model.predict({"z": numpy.zeros((2, 128), numpy.float32)}).shape)
print(sys.modules["sagan"].__file__)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "elsewhere")]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split("\n")
    assert out[0] == "(2, 28, 28, 1)" and out[1].startswith(str(tmp_path / "elsewhere" / "code"))


def test_a_model_of_own_code_takes_that_code_along(workspace, tmp_path, monkeypatch):
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
    shutil.copytree(folder_of_the_model(workspace), tmp_path / "elsewhere")
    script = """
import mlflow, numpy, sys
model = mlflow.pyfunc.load_model(sys.argv[1])
print(model.predict({"z": numpy.zeros((2, 128), numpy.float32)}).tolist())
"""
    command = [sys.executable, "-c", script, str(tmp_path / "elsewhere")]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    expected = to_uint8(generator(torch.zeros(2, 128))).permute(0, 2, 3, 1)
    assert json.loads(out) == expected.tolist()


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


def test_sending_leaves_nothing_in_the_current_directory(workspace, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    workspace.finish(workspace.cells[0])
    write_weights(workspace, workspace.cells[0])
    monkeypatch.chdir(elsewhere)
    workspace.send()
    assert len(models(workspace)) == 1
    assert list(elsewhere.iterdir()) == []


def test_links_to_dvcs_cache_are_sent_by_content(workspace, tmp_path):
    cell = workspace.cells[0]
    workspace.finish(cell)
    weights = write_weights(workspace, cell)
    content = weights.read_bytes()
    cached(weights, tmp_path)
    cached(workspace.paths.evaluation(cell.evaluation) / "samples.png", tmp_path)
    workspace.send()
    folder = folder_of_the_model(workspace)
    assert (folder / "artifacts/generator.safetensors").read_bytes() == content
    assert "samples.png" in [name for name, _ in workspace.mirror(cell)["files"]]


def cached(path, cache) -> None:
    """Make a file a link to its content in a cache, as `dvc config cache.type symlink` does."""
    content = path.read_bytes()
    digest = hashlib.md5(content).hexdigest()
    place = cache / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    place.parent.mkdir(parents=True, exist_ok=True)
    path.rename(place)
    path.symlink_to(place)


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


def test_runs_that_diverged_or_left_no_weights_have_none(workspace):
    light, diverged = workspace.cells[:2]
    workspace.finish(light)
    workspace.log(diverged, range(10, 31, 10))
    workspace.result(diverged, diverged_at=30)
    write_weights(workspace, diverged)
    workspace.send()
    assert models(workspace) == []
    write_weights(workspace, light)  # brought later
    assert workspace.send().sent == [light.run]
    assert [model.tags["sagan.run"] for model in models(workspace)] == [light.run]


def test_a_setting_leaves_them_out(workspace):
    tracking = workspace.params.tracking.model_copy(update={"models": False})
    workspace.params = workspace.params.model_copy(update={"tracking": tracking})
    workspace.finish(workspace.cells[0])
    write_weights(workspace, workspace.cells[0])
    workspace.send()
    assert models(workspace) == []


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


def test_a_mirror_made_anew_takes_its_model_along(workspace, sent):
    (before,) = models(workspace)
    workspace.evaluation(sent, fid=10.0, finished="2025-10-10T09:10:00+00:00")
    workspace.send()
    (after,) = models(workspace)
    assert after.model_id != before.model_id
    assert [m.value for m in after.metrics if m.key == "fid"] == [10.0]


@pytest.mark.exhaustive
def test_one_is_registered_and_served(workspace, sent, tmp_path, monkeypatch):
    uri = f"sqlite:///{workspace.paths.root}/state/mlflow/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    (model,) = models(workspace)
    client = workspace.client
    client.create_registered_model("digits")
    client.create_model_version("digits", f"models:/{model.model_id}", model_id=model.model_id)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/digits/1", "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": uri,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    log = (tmp_path / "log.txt").open("w+")
    server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "log.txt").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5)
                break
            except OSError:
                time.sleep(0.5)
        z = latents(128, 2, seed=0)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"inputs": {"z": z.tolist()}}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            images = np.array(json.load(answer)["predictions"], np.uint8)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    expected = generated_images(load_generator(workspace.paths.run(sent.run)), z, torch.device("cpu"))
    assert np.array_equal(images, expected.permute(0, 2, 3, 1).numpy())

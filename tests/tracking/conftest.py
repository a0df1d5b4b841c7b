"""A factory of made-up run and evaluation records, as training and evaluation leave them."""

import json
import math
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import pytest
from mlflow import MlflowClient

from sagan.params import Params
from sagan.params.loading import load_params
from sagan.plan import Cell, Plan, make_plan
from sagan.store.paths import Paths
from sagan.store.records import Json, write_json
from sagan.tracking import SyncReport, sync
from tests import read_lines
from tests.made_up import PROVENANCE, SAGAN, evaluation_record, run_record, write_manifest

PARAMS = f"""
repro: [quick]
datasets:
  mnist5k: {{kind: mnist5k}}
variants:{SAGAN.rstrip()}
  plain: {{like: sagan, generator: {{attention_at: []}}, discriminator: {{attention_at: []}}}}
  grid:
    like: sagan
    grid:
      attention: {{on: {{}}, off: {{generator: {{attention_at: []}}, discriminator: {{attention_at: []}}}}}}
suites:
  quick:
    dataset: mnist5k
    variants: [sagan, plain]
    baseline: sagan
    seeds: 2
    training: {{steps: 100, batch_size: 8, ema: {{decay: 0.9}}, snapshots: 2}}
    evaluation: {{extractor: classifier, split: train, samples: 4000, curve_samples: 1000}}
"""
TIMES = PROVENANCE | {"started": "2025-10-09T08:53:20+00:00", "finished": "2025-10-09T09:03:20+00:00"}


@dataclass
class Workspace:
    """A root folder with a plan, whose records the methods below make up."""

    params: Params
    paths: Paths
    plan: Plan
    start: float = 1_760_000_000.0  # unix seconds

    @property
    def client(self) -> MlflowClient:
        """Of the default store."""
        return MlflowClient(tracking_uri=f"sqlite:///{self.paths.root}/state/mlflow/mlflow.db")

    def send(self) -> SyncReport:
        return sync(self.plan, self.params, self.paths)

    def mirror(self, cell: Cell, client: MlflowClient | None = None) -> Json:
        """All that MLflow holds of a run, of which there must be one."""
        found = [run for run in everything(client or self.client).values() if run["tags"]["sagan.run"] == cell.run]
        assert len(found) == 1
        return found[0]

    @property
    def cells(self) -> list[Cell]:
        return self.plan.suites["quick"]

    def line(self, cell: Cell, step: int, attempt: int = 0) -> Json:
        """A line of the log: the same in every attempt but for the time it took."""
        quality = math.exp(-step / 40) + 0.1 * cell.seed
        line = {"step": step, "images": step * 8, "seconds": step / 10 + attempt}
        line["time"] = self.start + step / 10 + attempt * 100
        line |= {"loss_d": 1.0 + quality / 3, "loss_g": 0.1 - quality, "logits_real": 0.5, "logits_fake": -0.5}
        if self.plan.runs[cell.run].config["variant"]["generator"]["attention_at"]:
            line |= {"gamma.generator.14": step / 1000, "gamma.discriminator.14": None if step == 30 else step / 2000}
        return line | {"sigma.generator.last": 1.0 + quality}

    def log(self, cell: Cell, steps: range, attempt: int = 0) -> None:
        """The log as a training process leaves it: truncated to before `steps`, then written on."""
        path = self.paths.run(cell.run) / "log.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [line for line in read_lines(path) if line["step"] < steps.start]
        lines += [self.line(cell, step, attempt) for step in steps]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def result(self, cell: Cell, diverged_at: int | None = None, **changes) -> None:
        """run.json of a run whose log is there."""
        run, log = self.plan.runs[cell.run], read_lines(self.paths.run(cell.run) / "log.jsonl")
        record = run_record(run, log[-1], diverged_at, 80.0 + cell.seed, provenance=TIMES)
        write_json(self.paths.run(cell.run) / "run.json", record | changes)

    def evaluation(
        self, cell: Cell, fid: float = 12.5, diverged: bool = False, extractor: str = "classifier", **provenance
    ) -> None:
        """metrics.json and the pictures of a run, in the first feature space or in a further one."""
        key = cell.also.get(extractor, cell.evaluation)
        run, folder = self.plan.runs[cell.run], self.paths.evaluation(key)
        metric = {"value": fid, "name": f"fid4000_train.{extractor}", "protocol": {"extractor": extractor}}
        attends = run.config["variant"]["generator"]["attention_at"] and not diverged
        statistics = {"gamma": 0.1, "entropy": 3.0, "entropy_uniform": math.log(49)}
        curve = [{"step": step, "fid": fid + step, "recall": step / 200, "diversity": 0.9} for step in (0, 50, 100)]
        record = evaluation_record(
            run,
            cell,
            self.plan.evaluations[key].reference,
            None if diverged else {"fid": metric, "kid": metric | {"value": 0.01, "name": "kid"}},
            key=key,
            untrained={"fid": metric | {"value": 300.0}},
            curve=curve,
            attention={"generator.14": statistics, "discriminator.14": statistics} if attends else {},
            generated_per_second=500.0,
            seconds=9.0,
            provenance=TIMES | {"finished": "2025-10-09T09:10:00+00:00"} | provenance,
        )
        pictures = {"samples.png": 64, "film.png": 3 * 28 + 4 * 2}
        pictures |= {"attention/generator-14.png": 64} if attends else {}
        for number, (name, width) in enumerate(pictures.items()):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.linear_gradient("L").resize((width, 64)).rotate(90 * number).save(folder / name)
        write_json(folder / "metrics.json", record)

    def finish(self, cell: Cell) -> None:
        self.log(cell, range(10, 101, 10))
        self.result(cell)
        self.evaluation(cell)


@pytest.fixture
def make(tmp_path, monkeypatch, empty_store):
    """Makes a workspace in a folder of this name, with params.yaml and of the prepared dataset the manifest alone.

    Its SQLite store is there already unless told otherwise.
    """
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("sagan.code.fingerprint.code_of", lambda *places, **tokens: "c0de" * 16)

    def make(name: str = "root", store: bool = True, text: str = PARAMS) -> Workspace:
        paths = Paths(tmp_path / name)
        weights = paths.weights_file("inception", paths.root)
        weights.parent.mkdir(parents=True)
        weights.write_bytes(b"weights")
        paths.params.write_text(text)
        params = load_params(paths.params)
        write_manifest(paths, digest="ab" * 32, labels={"kind": "classes", "names": ["circle", "square", "star"]})
        if store:
            folder = paths.root / "state" / "mlflow"
            folder.mkdir(parents=True)
            shutil.copy(empty_store, folder / "mlflow.db")
        return Workspace(params, paths, make_plan(params, paths))

    return make


@pytest.fixture
def workspace(make) -> Workspace:
    return make()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """An SQLite store as MLflow makes it; that takes seconds, so tests take copies."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


def everything(client: MlflowClient) -> Json:
    """All that MLflow holds of the experiments of this project, as plain values to compare."""
    held = {}
    for experiment in client.search_experiments(filter_string="name LIKE 'sagan-%'"):
        for run in client.search_runs([experiment.experiment_id]):
            histories = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
            held[run.info.run_id] = {
                "experiment": experiment.name,
                "tags": run.data.tags,
                "params": run.data.params,
                "points": {key: sorted((m.step, m.timestamp, m.value) for m in histories[key]) for key in histories},
                "status": run.info.status,
                "times": (run.info.start_time, run.info.end_time),
                "inputs": [(i.dataset.name, i.dataset.digest) for i in run.inputs.dataset_inputs],
                "files": sorted(_files(client, run.info.run_id)),
            }
    return held


def _files(client: MlflowClient, run_id: str, folder: str | None = None):
    for entry in client.list_artifacts(run_id, folder):
        if entry.is_dir:
            yield from _files(client, run_id, entry.path)
        else:
            yield entry.path, entry.file_size


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]

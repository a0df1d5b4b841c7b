"""A clone of the working tree with miniature parameters, and the real tools to run in it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from ruamel.yaml import YAML

from tests import commit, edit
from tests.made_up import put

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_for_all():
    """Tests that run in the background of a shell ignore Ctrl-C, and so would all that they start."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


class Clone:
    """A folder like a fresh clone, in which DVC, Snakemake and MLflow really run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_", "SNAKEMAKE_"))}
        self.environment = {
            **kept,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@localhost",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@localhost",
        }

    def run(self, *command: str, check: bool = True, **environment: str) -> str:
        """A command's whole output; an unexpected failure shows it."""
        done = subprocess.run(command, **self._settings(environment), timeout=900)
        if check and done.returncode:
            logs = "\n".join(path.read_text()[-2000:] for path in self.folder.glob("state/**/*.log"))
            pytest.fail(f"{' '.join(command)} left with {done.returncode}:\n{done.stdout[-4000:]}\n{logs}")
        return done.stdout

    def start(self, *command: str) -> subprocess.Popen[str]:
        """A command in a session of its own, whose processes can be killed together; its input and output are pipes."""
        return subprocess.Popen(command, **self._settings({}), stdin=subprocess.PIPE, start_new_session=True)

    def _settings(self, environment: dict[str, str]) -> dict:
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return {"cwd": self.folder, "env": self.environment | environment, **output}

    def repro(self, **environment: str) -> str:
        return self.run(sys.executable, "-m", "dvc", "repro", **environment)

    def sagan(self, *arguments: str, **options) -> str:
        return self.run(sys.executable, "-m", "sagan", *arguments, **options)

    def set_param(self, key_path: str, value: object) -> None:
        self.set_params({key_path: value})

    def set_params(self, values: dict[str, object], under: str = "") -> None:
        """Set values of params.yaml by their key paths, below `under` (which ends in a dot)."""
        yaml = YAML()
        tree = yaml.load(self.folder / "params.yaml")
        for key_path, value in values.items():
            put(tree, f"{under}{key_path}", value)
        yaml.dump(tree, self.folder / "params.yaml")

    def edit(self, name: str, old: str, new: str) -> None:
        edit(self.folder / name, old, new)

    def runs(self) -> dict[str, int]:
        """Key of each finished run -> when its record was written."""
        found = (self.folder / "results/runs").glob("*/run.json")
        return {path.parent.name: path.stat().st_mtime_ns for path in found}

    def evaluations(self) -> set[str]:
        return {path.parent.name for path in (self.folder / "results/evaluations").glob("*/metrics.json")}

    def record(self, key: str) -> dict:
        return json.loads((self.folder / "results/runs" / key / "run.json").read_text())

    def weights(self, key: str) -> bytes:
        return (self.folder / "results/runs" / key / "generator.safetensors").read_bytes()


@pytest.fixture(scope="session")
def copy_finished(make_clone, tmp_path_factory):
    """Copies a clone in which `dvc repro` is done and committed; it is made once for all tests and processes."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    source = shared / "finished"
    with FileLock(shared / "finished.lock"):
        if not source.exists():
            clone = make_clone()
            clone.repro()
            commit(clone.folder)
            clone.folder.rename(source)

    def copied() -> Clone:
        folder = tmp_path_factory.mktemp("copy") / "clone"
        shutil.copytree(source, folder, symlinks=True)
        return Clone(folder)

    return copied


@pytest.fixture(scope="session")
def make_clone(tmp_path_factory):
    """Copies the working tree's own files into a new git repository, with a miniature `quick` suite."""

    def made() -> Clone:
        folder = tmp_path_factory.mktemp("clone")
        listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in filter(None, subprocess.run(listing, capture_output=True, check=True).stdout.decode().split("\0")):
            # Results of the real suites belong to other parameters.
            if (ROOT / name).is_file() and not name.startswith(("reports/", "dvc.lock")):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        clone = Clone(folder)
        suite = {"questions": [], "variants": ["sagan", "sagan-no-attention"], "seeds": 1, "baseline": "sagan"}
        clone.set_params(suite, under="suites.quick.")
        clone.set_params({"steps": 12, "batch_size": 8, "snapshots": 2}, under="suites.quick.training.")
        clone.set_params({"samples": 300, "curve_samples": 200}, under="suites.quick.evaluation.")
        networks = {"generator.width": 8, "generator.z_dim": 64, "discriminator.width": 8}
        clone.set_params({**networks, "optimizer.lr_g": 8e-3}, under="variants.sagan.")
        commit(clone.folder)
        return clone

    return made

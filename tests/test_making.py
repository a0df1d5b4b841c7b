"""`make`: several runs trained and measured in one process; what fails or stops leaves the rest as it should be."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from sagan import making
from sagan.code.fingerprint import PACKAGE
from sagan.plan import Evaluation, Plan
from sagan.store.locks import exclusive, is_locked, lock_of
from sagan.store.paths import Paths
from sagan.store.reading import read_evaluation, read_reference, read_run, run_state
from tests import flip_a_bit, wait_for
from tests.metrics.conftest import PARAMS, World, measured  # noqa: F401 (a fixture)

SEEDS = PARAMS.replace("seeds: 1", "seeds: 3")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}


class Made:
    """A copy of the small world with its reference and no run, in which a suite of three seeds is to be made."""

    def __init__(self, folder, measured, text=SEEDS, files=()):  # noqa: F811
        shutil.copytree(measured.paths.root, folder)
        self.paths, self.measured = Paths(folder), measured
        shutil.rmtree(self.paths.run(measured.run.key))
        shutil.rmtree(self.paths.evaluation(measured.evaluation.key))
        self.paths.params.write_text(text)
        for name, content in dict(files).items():
            (folder / name).parent.mkdir()
            (folder / name).write_text(content)
        self.sagan("plan", "--out", "plan.json")
        self.plan = json.loads((folder / "plan.json").read_text())
        self.runs, self.evaluations = sorted(self.plan["runs"]), sorted(self.plan["evaluations"])

    def start(self, *arguments):
        command = [sys.executable, "-m", "sagan", *arguments]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.paths.root, env=ENVIRONMENT, **output)

    def sagan(self, *arguments):
        process = self.start(*arguments)
        said = process.communicate(timeout=300)[0]
        return process.returncode, said

    def there(self):
        runs = [key for key in self.runs if (self.paths.run(key) / "run.json").is_file()]
        return runs, [key for key in self.evaluations if (self.paths.evaluation(key) / "metrics.json").is_file()]

    def weights(self, key):
        return (self.paths.run(key) / "generator.safetensors").read_bytes()


@pytest.fixture
def made(measured, tmp_path):  # noqa: F811
    return Made(tmp_path / "made", measured)


def test_runs_are_trained_and_measured_and_what_is_there_is_passed_over(made):
    assert made.sagan("make", *made.runs[:2], "--together", "2")[0] == 0
    assert made.there() == (made.runs[:2], made.evaluations[:2])
    first = made.measured.run.key
    assert made.weights(first) == (made.measured.paths.run(first) / "generator.safetensors").read_bytes()
    figures = [read_evaluation(made.measured.evaluation.key, p).record for p in (made.paths, made.measured.paths)]
    assert figures[0].metrics == figures[1].metrics
    before = {key: made.paths.run(key).stat().st_mtime_ns for key in made.runs[:2]}
    code, said = made.sagan("make", *made.runs, "--plan", "plan.json")
    assert code == 0 and made.there() == (made.runs, made.evaluations)
    assert before == {key: made.paths.run(key).stat().st_mtime_ns for key in made.runs[:2]}
    assert said.count("finished after 6 steps") == 1 and said.count(": measured, fid") == 1
    assert not list((made.paths.root / "results").rglob("*.lock"))


def test_a_failure_is_noted_and_stops_nothing_else(made):
    """A file stands where a run's folder has to be."""
    bad = made.runs[1]
    made.paths.run(bad).parent.mkdir(parents=True, exist_ok=True)
    made.paths.run(bad).write_text("in the way")
    code, said = made.sagan("make", *made.runs, "--plan", "plan.json")
    assert code == 2 and "Traceback" not in said and str(made.paths.run(bad).name) in said
    assert made.there()[0] == [made.runs[0], made.runs[2]] and len(made.there()[1]) == 2
    note = (made.paths.log(bad)).read_text().splitlines()
    assert note[-1] == "make left with exit code 2" and "there is a file where a folder has to be" in note[0]
    made.paths.run(bad).unlink()
    assert "exit code 2" in run_state(bad, made.paths)
    assert made.sagan("make", bad, "--plan", "plan.json")[0] == 0 and not made.paths.log(bad).exists()


def test_the_reference_is_made_where_it_is_missing_or_damaged(made):
    [reference] = made.plan["references"]
    flip_a_bit(next(made.paths.reference(reference).glob("*.safetensors")))
    code, said = made.sagan("reference", reference, "--plan", "plan.json")
    assert (
        code == 0 and "is invalid; set aside in" in said and read_reference(reference, made.paths, verify=True).record
    )
    shutil.rmtree(made.paths.reference(reference))
    code, said = made.sagan("make", made.runs[0], "--plan", "plan.json")
    assert code == 0 and read_reference(reference, made.paths).record
    assert said.index("FID between real") < said.index("finished after")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.usefixtures("hears_hangup")
def test_a_signal_stops_it_behind_checkpoints(measured, tmp_path, number):  # noqa: F811
    made = Made(tmp_path / "made", measured, SEEDS.replace("steps: 6", "steps: 4000"))
    process = made.start("make", *made.runs, "--plan", "plan.json", "--together", "2")
    logs = [made.paths.run(key) / "log.jsonl" for key in made.runs[:2]]
    wait_for(lambda: all(log.exists() and log.read_bytes().count(b"\n") > 1 for log in logs), process)
    process.send_signal(number)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 75 and said.count("stopped at step") == 2 and made.there() == ([], [])
    assert [run_state(key, made.paths)[:7] for key in made.runs] == ["stopped", "stopped", "missing"]


def test_a_measurement_is_left_at_once(made):
    assert made.sagan("train", made.runs[0], "--plan", "plan.json")[0] == 0
    with exclusive(made.paths.evaluation(made.evaluations[0])):
        process = made.start("make", made.runs[0], "--plan", "plan.json")
        said = process.stdout.readline()
        while "waiting for it" not in said:
            assert said
            said = process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 75
    assert made.sagan("make", made.runs[0], "--plan", "plan.json")[0] == 0


def test_own_code_goes_alone(measured, tmp_path):  # noqa: F811
    """What it does to the process that executes it changes no other run."""
    own = "  mine: {like: sagan, extension: {file: extensions/mine.py}}\nsuites:"
    text = SEEDS.replace("suites:", own).replace("variants: [sagan]", "variants: [mine, sagan]")
    code = {
        "extensions/mine.py": "import torch\n\ntorch.manual_seed = lambda seed: None\n\n\n"
        "def generator_loss(logits_real, logits_fake, options):\n    return -logits_fake.mean()\n"
    }
    made = Made(tmp_path / "made", measured, text, code)
    mine = [key for key in made.runs if key.startswith("mine")]
    first = measured.run.key
    assert made.sagan("make", *mine[:2], first, "--plan", "plan.json")[0] == 0
    assert all(read_run(key, made.paths).record for key in mine[:2])
    assert made.weights(first) == (measured.paths.run(first) / "generator.safetensors").read_bytes()


def test_a_measurement_takes_its_gpu_before_its_lock(measured, monkeypatch, tmp_path):  # noqa: F811
    """As trainings do: otherwise one process waits for a GPU and the other for the result, for ever."""
    key, order = measured.evaluation.key, []

    @contextmanager
    def gpu(*_):
        order.append(is_locked(lock_of(paths.evaluation(key))))
        yield torch.device("cpu")

    paths = Paths(tmp_path / "clone")
    shutil.copytree(measured.paths.root, paths.root)
    shutil.rmtree(paths.evaluation(key))
    monkeypatch.setattr(making, "device_for", gpu)
    monkeypatch.setattr("sagan.metrics.evaluate.device_for", gpu)
    monkeypatch.chdir(paths.root)
    assert making.Making(measured.plan, tmp_path / "plan.json", paths).make([key]) == 0
    assert order == [False, True]


@pytest.mark.parametrize("on_gpu", [True, False])
def test_on_a_gpu_figures_are_measured_while_the_next_runs_train(run, paths, monkeypatch, tmp_path, on_gpu):
    """All made up: a GPU, trainings of half a second, and processes that measure for as long."""
    told = tmp_path / "told"
    runs = {f"tiny-s{seed}": dataclasses.replace(run, key=f"tiny-s{seed}", seed=seed) for seed in range(3)}
    evaluations = {f"{key}.e": Evaluation(f"{key}.e", key, "r", {}, "c" * 64, run.execution) for key in runs}
    for one in runs.values():
        one.execution["device"] = "auto"

    def tell(what):
        with told.open("a") as file:
            file.write(f"{what}\n")

    def trained(runs, *_):
        for run in runs:
            tell(f"trains {run.key}")
            time.sleep(0.5)
            yield run, SimpleNamespace(key=run.key, status="finished", steps=8, images_per_second=1.0)

    @contextmanager
    def gpu(*_):
        yield torch.device("cuda", 3)
        tell("lets the GPU go")

    def child(command, env, close_fds):
        code = "import os, sys, time; tell = lambda what: print(what, file=open(sys.argv[2], 'a'))\n"
        code += "tell(f'measures {sys.argv[1]} on {os.environ[\"SAGAN_GPU_OF_PARENT\"]}'); time.sleep(0.6)\n"
        return started([sys.executable, "-c", code + "tell(f'measured {sys.argv[1]}')", command[4], told], env=env)

    started = subprocess.Popen
    monkeypatch.setattr(making.subprocess, "Popen", child)
    monkeypatch.setattr(making, "trained", trained)
    monkeypatch.setattr(making, "device_for", gpu)
    monkeypatch.setattr(making, "usable_gpus", lambda: int(on_gpu))
    monkeypatch.setattr(making, "check_code", lambda *_: None)
    monkeypatch.setattr(making, "is_there", lambda *_: False)
    monkeypatch.setattr(making.Making, "_one", lambda *_: None)
    monkeypatch.setattr(making.Making, "_all_measured", lambda self, run: tell(f"measured {run.key}"))
    made = making.Making(Plan(runs, {"r": None}, evaluations, {}), tmp_path / "plan.json", paths)
    assert made.make(list(runs)) == 0
    lines = told.read_text().splitlines()
    if not on_gpu:
        assert lines == [f"{what} tiny-s{seed}" for seed in range(3) for what in ("trains", "measured")]
        return
    # The last one has nothing to train beside it.
    assert [line for line in lines if line.startswith("measures")] == ["measures tiny-s0 on 3", "measures tiny-s1 on 3"]
    for key, following in (("tiny-s0", "tiny-s1"), ("tiny-s1", "tiny-s2")):
        assert lines.index(f"trains {following}") < lines.index(f"measured {key}")
    assert lines.index("measured tiny-s0") < lines.index("measures tiny-s1 on 3"), "one at a time"
    assert "measured tiny-s2" in lines and lines[-1] == "lets the GPU go"


# The plan is made; then, before anything of the engine is imported, another commit is checked out.
CHECKOUT = """
import sys
from pathlib import Path
import sagan.cli.making as making
planned = making._plan
def then_checked_out(*arguments):
    plan = planned(*arguments)
    file = Path(making.__file__).parents[1] / "training" / "ema.py"
    text = file.read_text()
    assert "1.0 - self.decay" in text
    file.write_text(text.replace("1.0 - self.decay", "1.1 - self.decay"))
    return plan
making._plan = then_checked_out
sys.argv = ["sagan", *sys.argv[1:]]
making.app.__module__
from sagan.cli import main
main()
"""


@pytest.mark.parametrize("verb", ["train", "make"])
def test_other_code_that_was_checked_out_before_it_was_imported_is_refused(made, package, verb):
    command = [sys.executable, "-c", CHECKOUT, verb, made.runs[0]]
    environment = os.environ | {"PYTHONPATH": str(package.parent), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, cwd=made.paths.root, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "the code has changed since the plan was made" in done.stderr
    assert "Traceback" not in done.stderr and not made.paths.run(made.runs[0]).exists()

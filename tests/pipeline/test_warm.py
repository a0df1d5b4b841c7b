"""Jobs forked from one process are those that a fresh interpreter makes, and end as their commands do."""

import json
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

from sagan.store.folders import GO_ON_LATER, is_locked
from workflow.warm import WarmStart

COLD = (sys.executable, "-m", "sagan")


@pytest.fixture(scope="module")
def clone(copy_finished):
    clone = copy_finished()
    clone.key = next(key for key in clone.runs() if key.startswith("sagan-s0-"))
    # A training that no test waits for.
    clone.set_param("suites.quick.training.steps", 1_000_000)
    clone.sagan("plan", "--out", "long.json")
    clone.long = next(key for key in json.loads((clone.folder / "long.json").read_text())["runs"] if "sagan-s0-" in key)
    clone.set_param("suites.quick.training.steps", 12)
    return clone


@pytest.fixture(scope="module")
def warm(clone):
    with WarmStart(clone.folder) as start:
        yield start


def wait_for(found, seconds=60):
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return answer


def warmly(warm, *arguments):
    return (sys.executable, "-I", "-S", "workflow/warm.py", str(warm.address), *arguments)


def outcome(clone, command):
    done = subprocess.run(command, cwd=clone.folder, env=clone.environment, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def training(clone, warm):
    """The command of a long training that is at work, and the process that trains."""
    process = clone.start(*warmly(warm, "train", clone.long, "--plan", "long.json"))
    log = clone.folder / "results/runs" / clone.long / "log.jsonl"
    wait_for(lambda: log.exists() and log.stat().st_size)
    [guard] = [p for p in psutil.Process(warm._process.pid).children() if p.children()]
    yield process, guard.children()[0]
    process.kill()
    wait_for(lambda: not is_locked(clone.folder / "state" / clone.long / "lock"))
    shutil.rmtree(clone.folder / "results/runs" / clone.long)
    shutil.rmtree(clone.folder / "state" / clone.long)


def test_a_warm_job_leaves_what_a_cold_one_does(clone, warm):
    weights = clone.folder / "results/runs" / clone.key / "generator.safetensors"
    before = weights.read_bytes()
    shutil.rmtree(weights.parent)
    code, said, _ = outcome(clone, warmly(warm, "train", clone.key))
    assert code == 0 and said.startswith(f"{clone.key}: finished after 12 steps")
    assert weights.read_bytes() == before


def test_a_warm_job_fails_as_a_cold_one_does(clone, warm):
    wrong = ("train", "sagan-s0-no-such-key")
    cold = outcome(clone, (*COLD, *wrong))
    assert cold[0] == 2 and "asks for no such key" in cold[2]
    assert outcome(clone, warmly(warm, *wrong)) == cold


def test_a_job_starts_cold_where_nothing_listens(clone):
    wrong = ("train", "sagan-s0-no-such-key")
    nowhere = (sys.executable, "-I", "-S", "workflow/warm.py", "state/nowhere", *wrong)
    assert outcome(clone, nowhere) == outcome(clone, (*COLD, *wrong))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_command_stops_the_job_behind_a_checkpoint(clone, training, number):
    process, _ = training
    process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == GO_ON_LATER and "stopped at step" in output
    assert list((clone.folder / "state" / clone.long).glob("*.json"))


def test_a_job_does_not_outlive_its_command(training):
    process, job = training
    process.kill()
    wait_for(lambda: not job.is_running())


def test_a_job_that_is_killed_is_told_as_a_shell_tells_it(training):
    process, job = training
    job.kill()
    assert process.wait(60) == 128 + signal.SIGKILL


def test_jobs_are_forked_from_one_thread(warm, training):
    """Threads do not come along, and what they held stays locked."""
    assert psutil.Process(warm._process.pid).num_threads() == 1


def test_a_launch_starts_its_jobs_warm_where_a_core_has_several(clone):
    weights = clone.folder / "results/runs" / clone.key / "generator.safetensors"
    before = weights.read_bytes()
    shutil.rmtree(weights.parent)
    [evaluation] = (clone.folder / "results/evaluations").glob(f"{clone.key}.*")
    shutil.rmtree(evaluation)
    launch = clone.start(sys.executable, "-m", "workflow.launch", "--cores", "1")
    seen = set()
    while launch.poll() is None:
        for process in psutil.Process(launch.pid).children(recursive=True):
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if "workflow/warm.py" in words:
                seen.add(words[words.index("workflow/warm.py") + 2])
        time.sleep(0.05)
    assert launch.returncode == 0 and {"train", "evaluate"} <= seen
    assert weights.read_bytes() == before and (evaluation / "metrics.json").exists()
    assert not (clone.folder / "state/warm").exists()

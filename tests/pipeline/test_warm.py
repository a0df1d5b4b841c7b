"""Jobs forked from one process are those that a fresh interpreter makes, and end as their commands do."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from sagan.store.folders import GO_ON_LATER, is_locked
from workflow.warm import WarmStart, can_fork

pytestmark = pytest.mark.skipif(not can_fork(), reason="no pidfd_open here, so every job starts cold")
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
        wait_for((clone.folder / start.address).exists)  # before it listens jobs start cold
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
    [job] = forked(psutil.Process(warm._process.pid))
    yield process, job
    process.kill()
    wait_for(lambda: not is_locked(clone.folder / "state" / clone.long / "lock"))
    shutil.rmtree(clone.folder / "results/runs" / clone.long)
    shutil.rmtree(clone.folder / "state" / clone.long)


def forked(server):
    """Processes of jobs that it has at work: each is below a guard of its own."""
    try:
        return [process for guard in server.children() for process in guard.children()]
    except psutil.NoSuchProcess:  # one has just ended
        return []


def test_a_warm_job_leaves_what_a_cold_one_does(clone, warm):
    weights = clone.folder / "results/runs" / clone.key / "generator.safetensors"
    before = weights.read_bytes()
    shutil.rmtree(weights.parent)
    process = clone.start(*warmly(warm, "train", clone.key))
    wait_for(lambda: forked(psutil.Process(warm._process.pid)))
    assert f"{clone.key}: finished after 12 steps" in process.communicate(timeout=60)[0] and process.returncode == 0
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


def test_a_signal_to_the_command_stops_the_job_behind_a_checkpoint(clone, training):
    process, _ = training
    process.terminate()
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


def test_a_job_does_not_outlive_its_guard(training):
    process, job = training
    job.parent().kill()
    wait_for(lambda: not job.is_running())
    assert process.wait(60) == 128 + signal.SIGKILL


def test_a_signal_that_comes_before_the_job_is_not_lost(clone, tmp_path):
    """What listens has forked nothing, as while it imports PyTorch, and is gone then: the job would start cold."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "warm"))
        listener.listen()
        command = (sys.executable, "-I", "-S", "workflow/warm.py", str(tmp_path / "warm"), "where")
        process = clone.start(*command)
        connection, _ = listener.accept()
        connection.recv(2**16)
        process.terminate()
        time.sleep(0.2)
        connection.close()
    assert process.wait(60) == -signal.SIGTERM


def is_warm(process):
    try:
        return "workflow.warm" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def launched(clone):
    """A launch on one core whose first training is at work, and the process that trains."""
    launch = clone.start(sys.executable, "-m", "workflow.launch", "--cores", "1")

    def training():
        return [job for server in psutil.Process(launch.pid).children() for job in forked(server) if is_warm(server)]

    return launch, wait_for(training)[0]


def test_a_launch_starts_its_jobs_warm_where_a_core_has_several(clone):
    weights = clone.folder / "results/runs" / clone.key / "generator.safetensors"
    before = weights.read_bytes()
    shutil.rmtree(weights.parent)
    [evaluation] = (clone.folder / "results/evaluations").glob(f"{clone.key}.*")
    shutil.rmtree(evaluation)
    launch, _ = launched(clone)
    launch.communicate(timeout=120)
    assert launch.returncode == 0
    assert weights.read_bytes() == before and (evaluation / "metrics.json").exists()
    assert not (clone.folder / "state/warm").exists()


@pytest.mark.parametrize("stop", ["Ctrl-C", "SIGTERM"])
def test_a_launch_that_is_stopped_stops_its_warm_jobs_behind_a_checkpoint(clone, stop):
    clone.set_param("suites.quick.training.steps", 1_000_000)
    launch, job = launched(clone)
    try:
        logs = (clone.folder / "results/runs").glob
        wait_for(lambda: any(log.stat().st_size for log in logs("*/log.jsonl") if log.parent.name not in clone.runs()))
        group = [*psutil.Process(launch.pid).children(recursive=True), job]
        if stop == "Ctrl-C":
            os.killpg(launch.pid, signal.SIGINT)
        else:
            launch.terminate()
        assert "stopped at step" in launch.communicate(timeout=60)[0]
        assert not any(process.is_running() for process in group)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(launch.pid, signal.SIGKILL)
        clone.set_param("suites.quick.training.steps", 12)

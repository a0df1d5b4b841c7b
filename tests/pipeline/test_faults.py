"""What goes wrong around a run, and that `dvc repro` alone goes on: the same bytes, nothing trained twice.

Each test has its own copy of a clone in which everything is made, and takes away the run that it disturbs.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from tests import wait_for

pytestmark = pytest.mark.exhaustive

DISTURBED = "sagan-s0-"
# How often the last of them kills; the more, the longer the run.
KILLS = int(os.environ.get("SAGAN_TEST_KILLS", "4"))
STEPS, CHECKPOINT_EVERY = 40 * KILLS, 3
# Everything up to the measurements; the report adds nothing to what is tested here.
# What docs/running.md says may go on for a while, and the shells around them.
NAMED = {"dvc", "workflow.launch", "snakemake", "make", "track", "git", "bash", "sh"}
REPRO = (sys.executable, "-m", "dvc", "repro", "runs")


@pytest.fixture(scope="module")
def undisturbed(make_clone):
    clone = make_clone()
    clone.set_params({"steps": STEPS, "snapshots": 1}, under="suites.quick.training.")
    clone.set_params({"checkpoint_every": CHECKPOINT_EVERY, "log_every": 1}, under="suites.quick.execution.")
    clone.run(*REPRO)
    return clone


@pytest.fixture
def clone(undisturbed, tmp_path):
    """A copy in which one run and its measurement are still to be made."""
    clone = type(undisturbed)(tmp_path / "clone")
    shutil.copytree(undisturbed.folder, clone.folder, symlinks=True)
    key = next(key for key in clone.runs() if key.startswith(DISTURBED))
    clone.key = key
    shutil.rmtree(clone.folder / "results/runs" / key)
    for folder in (clone.folder / "results/evaluations").glob(f"{key}.*"):
        shutil.rmtree(folder)
    clone.before = clone.runs()
    return clone


def assert_as_undisturbed(clone, undisturbed):
    assert set(undisturbed.runs()) <= set(clone.runs()) and undisturbed.evaluations() <= clone.evaluations()
    assert clone.weights(clone.key) == undisturbed.weights(clone.key)
    assert clone.before.items() <= clone.runs().items(), "a finished run was trained again"


def wait_for_checkpoint(clone):
    wait_for(lambda: list((clone.folder / "state" / clone.key).glob("*.json")))


def child(process, *words):
    """The process below one whose command holds these words, each a whole argument."""

    def found():
        for other in psutil.Process(process.pid).children(recursive=True):
            try:
                if set(words) <= set(other.cmdline()):
                    return other
            except psutil.Error:
                continue
        return None

    return wait_for(found)


@pytest.mark.parametrize("victim", ["launcher", "snakemake", "dvc"])
def test_ended_at_a_random_moment_and_gone_on(clone, undisturbed, victim):
    """The launcher as a scheduler ends it, the others by kill -9; for a batch see below."""
    process = clone.start(*REPRO)
    wait_for_checkpoint(clone)
    time.sleep(random.random())
    if victim == "dvc":
        process.kill()
        # A zombie, as in a container without an init: `make repro` starts with this.
        assert "cleared" in clone.run(sys.executable, "-m", "workflow.unlock")
    else:
        child(process, "snakemake").kill() if victim == "snakemake" else child(process, "workflow.launch").terminate()
        output = process.communicate(timeout=240)[0]
        assert process.returncode != 0 and "`dvc repro` goes on from here" in output
        if victim == "launcher":
            assert "stopped at step" in output and "stopped by a signal" in output
            assert "stopped at step" in clone.sagan("plan")
    clone.run(*REPRO)
    assert_as_undisturbed(clone, undisturbed)
    assert len(log_lines(clone)) == STEPS, "steps were logged twice or lost"


def processes_of(clone):
    """Of all sessions: the follower of MLflow has its own."""
    return [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(clone.folder) and p.status() != "zombie"]


def kind(process):
    """What a process of a launch is, in a word."""
    words = process.cmdline()
    return next(
        (word for word in ("make", "track", "snakemake", "workflow.launch", "dvc") if word in words),
        os.path.basename(words[0]),
    )


def kinds_left(clone):
    found = set()
    for process in processes_of(clone):
        with suppress(psutil.Error, IndexError):  # it has ended meanwhile
            found.add(kind(process))
    return found


def test_whatever_is_killed_again_and_again(clone, undisturbed):
    """Of batch, Snakemake, launch and DVC one at random, each time; what it leaves at work goes on, or ends with it."""
    shutil.rmtree(clone.folder / "results/references")
    run, state = clone.folder / "results/runs" / clone.key, clone.folder / "state" / clone.key

    def steps():
        return len(log_lines(clone)) if (run / "log.jsonl").exists() else 0

    for number in range(KILLS):
        process, before, killed = clone.start(*REPRO), steps(), "nothing"
        if number % 2:  # anywhere, mostly before a step
            time.sleep(random.uniform(0.0, 15.0))
        else:
            wait_for(lambda: steps() > before or process.poll() is not None, seconds=600)  # noqa: B023
            time.sleep(random.random())
        if process.poll() is None:
            victim = random.choice([psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)])
            killed = kind(victim)
            victim.kill()
            time.sleep(random.choice([0.0, 5.0]) * random.random())
            assert kinds_left(clone) <= NAMED
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        wait_for(lambda: not processes_of(clone))
        done, saved = steps(), max((int(path.stem) for path in state.glob("*.json")), default=0)
        print(f"killed: {killed}; {done} steps done, {done - saved} of them since the last checkpoint")
        assert done - saved <= CHECKPOINT_EVERY or (run / "run.json").exists()
    clone.run(sys.executable, "-m", "workflow.unlock")
    clone.run(*REPRO)
    assert_as_undisturbed(clone, undisturbed)
    assert len(log_lines(clone)) == STEPS


def test_a_run_that_takes_its_process_with_it_leaves_the_others_of_its_batch(clone, undisturbed):
    """As where the system ends it for its memory: it is tried once more by itself."""
    other = next(key for key in undisturbed.runs() if key != clone.key)
    shutil.rmtree(clone.folder / "results/runs" / other)
    clone.before = {}
    doomed = 'import os\n\n    if run.key == os.environ.get("DOOMED"):\n        os.kill(os.getpid(), 9)\n'
    begin = '    run, training = one.run, one.run.config["training"]\n'
    clone.edit("sagan/training/loop.py", begin, f"{begin}    {doomed}")
    launch = (sys.executable, "-m", "workflow.launch", "--cores", "1")
    output = clone.run(*launch, check=False, DOOMED=clone.key)
    assert "exit code 137" in output and "1 failed" in output
    assert list(clone.runs()) == [other] and len(clone.evaluations()) == 1
    assert "2 finished" in clone.run(*launch)
    assert_as_undisturbed(clone, undisturbed)


def log_lines(clone):
    return (clone.folder / "results/runs" / clone.key / "log.jsonl").read_text().splitlines()


def test_ctrl_c_again_and_again_does_not_free_the_workspace_while_snakemake_lives(clone, undisturbed):
    process = clone.start(*REPRO)
    wait_for_checkpoint(clone)
    launcher = child(process, "workflow.launch")
    snakemake, training = child(process, "snakemake"), child(process, "sagan", "make")
    training.suspend()  # as in a step that takes long
    try:
        os.killpg(process.pid, signal.SIGINT)
        for _ in range(2):
            time.sleep(1)
            # Snakemake sometimes gives up its jobs when it gets a second one.
            launcher.send_signal(signal.SIGINT)
        assert launcher.is_running() and snakemake.is_running()
        command = [sys.executable, "-m", "workflow.launch"]
        other = subprocess.Popen(command, cwd=clone.folder, env=clone.environment, stderr=subprocess.PIPE, text=True)
        assert "this workspace is locked by another process" in other.stderr.readline()
        other.send_signal(signal.SIGINT)
        assert other.communicate(timeout=60)[1] == "sagan: stopped\n" and other.returncode == 130
        assert snakemake.is_running() and list((clone.folder / ".snakemake/locks").iterdir())
    finally:
        training.resume()
    output = process.communicate(timeout=120)[0]
    assert output.count(f"`kill -9 -- -{process.pid}` ends everything") == 3
    assert process.returncode != 0 and "stopped at step" in output and "Traceback" not in output
    clone.run(*REPRO)
    assert_as_undisturbed(clone, undisturbed)


def test_two_at_once(clone, undisturbed):
    first, second = clone.start(*REPRO), clone.start(*REPRO)
    outputs = [process.communicate(timeout=300)[0] for process in (first, second)]
    codes = [first.returncode, second.returncode]
    assert 0 in codes
    for code, output in zip(codes, outputs, strict=True):
        assert code == 0 or "busy" in output or "Unable to acquire lock" in output
    clone.run(*REPRO)
    assert_as_undisturbed(clone, undisturbed)


@pytest.fixture
def mounted(clone):
    """Mounts a small file system on results/ with what is there; skipped where that is not allowed."""
    folder = clone.folder / "results"
    kept = clone.folder / "kept"

    def mount(*options):
        return subprocess.run(["mount", *options, str(folder)], capture_output=True).returncode == 0

    shutil.copytree(folder, kept)
    size = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
    if not mount("-t", "tmpfs", "-o", f"size={size // 1024 + 300}k", "tmpfs"):
        pytest.skip("mounting a small file system needs root")
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    clone.before = clone.runs()
    yield mount
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("wrong", ["full", "read-only"])
def test_a_disk_that_cannot_be_written_is_named_and_room_is_enough_to_go_on(clone, undisturbed, mounted, wrong):
    assert wrong == "full" or mounted("-o", "remount,ro")
    output = clone.run(*REPRO, check=False)
    if wrong == "full":
        assert "No space left on device" in output and "`dvc repro` goes on from here" in output
    else:  # DVC or the launcher, whoever comes first
        assert "Read-only file system" in output and "results" in output and "Traceback" not in output
    assert mounted("-o", "remount,rw,size=200m")
    clone.run(*REPRO)
    assert_as_undisturbed(clone, undisturbed)


def test_a_run_copied_in_is_used_when_whole_whatever_its_times_and_made_anew_when_torn(clone, undisturbed):
    source, target = (c.folder / "results/runs" / clone.key for c in (undisturbed, clone))
    shutil.copytree(source, target)
    for path in (clone.folder / "results").rglob("*"):
        moment = time.time() + random.uniform(-1, 1) * 365 * 86400
        os.utime(path, (moment, moment))
    future = time.time() + 86400
    os.utime(target / "run.json", (future, future))
    clone.before = {}
    clone.run(*REPRO)
    assert_as_undisturbed(clone, undisturbed)
    for key in undisturbed.runs():
        logs = [(c.folder / "results/runs" / key / "log.jsonl").read_bytes() for c in (clone, undisturbed)]
        assert logs[0] == logs[1], "a finished run was trained again"
    clone.before = clone.runs()
    # Its measurement is there; the run is wanted all the same.
    del clone.before[clone.key]
    (target / "generator.safetensors").write_bytes(b"torn")
    assert "is invalid; set aside" in clone.run(*REPRO)
    assert_as_undisturbed(clone, undisturbed)
    assert list((clone.folder / "state/torn").iterdir())

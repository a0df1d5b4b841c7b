"""The same suite on a real Slurm, of one host: GPUs asked for, preempted and stopped jobs resumed."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sagan.store.records import read_json
from tests import read_lines, wait_for

pytestmark = pytest.mark.exhaustive

SCRIPT = Path(__file__).parent / "slurm.sh"
TOOLS = ("slurmctld", "slurmd", "munged", "squeue")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    if absent := [name for name in TOOLS if shutil.which(name) is None]:
        pytest.skip(f"not installed: {', '.join(absent)} (Debian: slurmctld slurmd slurm-client munge)")
    if os.geteuid() != 0:
        pytest.skip("starting a Slurm needs root")
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("not installed: snakemake-executor-plugin-slurm (pip install .[cluster])")
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([SCRIPT, "start", folder])
    try:
        assert started.returncode == 0
        yield
    finally:
        subprocess.run([SCRIPT, "stop", folder])


@pytest.fixture(scope="module")
def clone(make_clone, slurm):
    clone = make_clone()
    clone.environment |= {"SAGAN_PROFILE": "workflow/profiles/slurm"}
    suite = {"variants": ["sagan"], "training.steps": 150, "execution.checkpoint_every": 3}
    clone.set_params(suite, under="suites.quick.")
    clone.edit("workflow/profiles/slurm/config.yaml", "mem_mb: 8000", "mem_mb: 500")
    profile = clone.folder / "workflow/profiles/slurm/config.yaml"
    clone.edit("workflow/profiles/slurm/config.yaml", "before-status-checks: 20", "before-status-checks: 2")
    # This Slurm keeps no accounts for `sacct`.
    profile.write_text(profile.read_text() + "slurm-status-command: squeue\n")
    return clone


def slurm_job(clone):
    """Id of the job that trains."""
    listing = clone.run("squeue", "--noheader", "--states=RUNNING", "--format=%i %k")
    return next((line.split()[0] for line in listing.splitlines() if "batch" in line), None)


def checkpoints(clone):
    return sorted((clone.folder / "state").glob("sagan-s0-*/0*.json"))


def step(clone):
    return max((int(path.stem) for path in checkpoints(clone)), default=0)


def test_jobs_ask_for_gpus_and_go_on_after_preemption_and_stops(clone):
    process = clone.start(sys.executable, "-m", "dvc", "repro", "runs")
    try:
        wait_for(lambda: checkpoints(clone) or process.poll() is not None, seconds=240)
        assert process.poll() is None, process.communicate()[0]
        key = checkpoints(clone)[0].parent.name
        job = slurm_job(clone)
        assert "gres:gpu:1" in clone.run("scontrol", "show", "job", job).replace("gres/gpu", "gres:gpu")
        # Someone with a higher priority takes the whole node for a moment.
        clone.run("srun", "--partition=urgent", "--exclusive", "--immediate=60", "true")
        preempted_at = step(clone)
        wait_for(lambda: step(clone) > preempted_at, seconds=240)
        assert "Restarts=1" in clone.run("scontrol", "show", "job", job)
        # What Slurm does when the time is over: SIGTERM to every step.
        clone.run("scancel", "--signal=TERM", job)
        output = process.communicate(timeout=300)[0]
    finally:
        process.kill()
    logs = "\n".join(p.read_text()[-3000:] for p in clone.folder.glob("state/**/*.log"))
    assert process.returncode == 0, output + logs
    assert len(clone.runs()) == 1 and len(clone.evaluations()) == 1
    log = read_lines(clone.folder / "results/runs" / key / "log.jsonl")
    record = read_json(clone.folder / "results/runs" / key / "run.json")
    steps, every = record["steps"], record["execution"]["log_every"]
    due = sorted({*range(every, steps, every), steps, *record["config"]["training"]["snapshots"]} - {0})
    assert [line["step"] for line in log] == due, "steps were logged twice or lost"
    other = type(clone)(clone.folder.parent / "alone")
    shutil.copytree(clone.folder, other.folder, ignore=shutil.ignore_patterns("runs", "evaluations", "shared"))
    other.sagan("train", key)
    assert clone.weights(key) == other.weights(key)

"""The `runs` stage: everything that the suites under `repro:` ask for and that is not there yet, made by Snakemake.

    python -m workflow.launch [--suite NAME ...] [--profile DIR] [--cores N] [--dry-run]

It freezes the plan in a file, finds the GPUs, clears a lock that a killed Snakemake left behind, shows one live
line, and ends with a summary: finished, diverged, and for each failed job the last lines of its log.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from filelock import FileLock, Timeout

from sagan.errors import UserError
from sagan.loading import load_params
from sagan.paths import Paths
from sagan.plan import Plan, make_plan
from sagan.states import run_record, set_aside_torn

PATHS = Paths()
LOCK = Path("state") / "launch.lock"
LIVE_INTERVAL_TERMINAL, LIVE_INTERVAL_PLAIN = 1.0, 30.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", action="append", help="a suite of params.yaml; default: those under repro")
    parser.add_argument("--profile", default="workflow/profiles/default", help="a Snakemake profile: where jobs run")
    parser.add_argument(
        "--cores", type=int, default=len(os.sched_getaffinity(0)), help="default: those of this machine"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be made, and make nothing")
    arguments = parser.parse_args()
    try:
        plan = make_plan(load_params(PATHS.params), PATHS, arguments.suite)
        return dry_run(plan) if arguments.dry_run else launch(plan, arguments.profile, arguments.cores)
    except UserError as error:
        print(f"sagan: {error}", file=sys.stderr)
        return 2


def dry_run(plan: Plan) -> int:
    runs, references, evaluations = missing(plan)
    for what, keys in (("reference", references), ("train", runs), ("evaluate", evaluations)):
        for key in keys:
            print(f"{what} {key}")
    print(f"{len(references)} references, {len(runs)} trainings, {len(evaluations)} evaluations to make")
    return 0


def missing(plan: Plan) -> tuple[list[str], list[str], list[str]]:
    """Keys of the runs, references and evaluations that are not there."""
    runs = [key for key in plan.runs if run_record(key, PATHS) is None]
    references = [key for key in plan.references if not (PATHS.reference(key) / "reference.json").exists()]
    evaluations = [key for key in plan.evaluations if not (PATHS.evaluation(key) / "metrics.json").exists()]
    return runs, references, evaluations


def launch(plan: Plan, profile: str, cores: int) -> int:
    """Run Snakemake over what is missing; 0 when all of it is there in the end."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    # The kernel drops this lock with its last holder. Snakemake inherits it, so that it is held for as long as
    # either lives, and a free lock proves that Snakemake's own lock on the folder has no living owner.
    lock = FileLock(LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("another launch is at work in this folder; waiting for it", file=sys.stderr, flush=True)
        lock.acquire()
    with lock:
        shutil.rmtree(".snakemake/locks", ignore_errors=True)
        for key in plan.runs:
            if (place := set_aside_torn(key, PATHS)) is not None:
                print(f"{key}: its folder is not whole; moved to {place}, and the run is made anew", file=sys.stderr)
        runs, references, evaluations = missing(plan)
        total = len(runs) + len(references) + len(evaluations)
        if total == 0:
            print(f"runs: all {len(plan.evaluations)} are there; nothing to make")
            return 0
        print(f"runs: {len(runs)} to train, {len(evaluations)} to measure, {len(references)} references to make")
        plan_file = PATHS.plan(plan.digest())
        plan.save(plan_file)
        began = time.time()
        status = _snakemake(plan, plan_file, profile, cores, lock)
    return summary(plan, status, began)


def _snakemake(plan: Plan, plan_file: Path, profile: str, cores: int, lock: FileLock) -> int:
    gpus = gpu_count()
    command = [sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile", "--profile", profile]
    command += ["--cores", str(cores), "--resources", f"gpu={gpus}", "--config", f"plan={plan_file}", f"gpus={gpus}"]
    descriptor = lock._context.lock_file_fd
    os.set_inheritable(descriptor, True)
    log = Path("state") / "logs" / "snakemake.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output, LiveLine(plan):
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, pass_fds=(descriptor,))
        try:
            return process.wait()
        except KeyboardInterrupt:
            # Snakemake and the trainings got the signal too: each finishes its step and writes a checkpoint.
            return process.wait()


def gpu_count() -> int:
    """GPUs that this process may use, as torch counts them (CUDA_VISIBLE_DEVICES respected)."""
    if shutil.which("nvidia-smi") is None and not Path("/proc/driver/nvidia").exists():
        return 0
    import torch

    return torch.cuda.device_count()


class LiveLine:
    """Jobs done of jobs to do, and time to go: in place on a terminal, a plain line now and then otherwise."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._total = sum(map(len, missing(plan)))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        terminal = sys.stderr.isatty()
        began = time.monotonic()
        while not self._stop.wait(LIVE_INTERVAL_TERMINAL if terminal else LIVE_INTERVAL_PLAIN):
            runs, references, evaluations = missing(self._plan)
            done = self._total - len(runs) - len(references) - len(evaluations)
            elapsed = time.monotonic() - began
            eta = time.strftime("%H:%M:%S", time.gmtime(elapsed / done * (self._total - done))) if done else "unknown"
            trained = len(self._plan.runs) - len(runs)
            line = f"runs: {trained} of {len(self._plan.runs)} trained, {done} of {self._total} jobs done, {eta} to go"
            print(f"\r\033[K{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def summary(plan: Plan, status: int, began: float) -> int:
    """Say how it went; where something is missing, show why and how to go on."""
    records = {key: run_record(key, PATHS) for key in plan.runs}
    diverged = [key for key, record in records.items() if record and record["status"] == "diverged"]
    finished = sum(record is not None for record in records.values()) - len(diverged)
    absent = [key for keys in missing(plan) for key in keys]
    print(f"runs: {finished} finished, {len(diverged)} diverged, {len(absent)} jobs not done")
    for key in diverged:
        print(f"  diverged: {key} ({records[key]['reason']})")
    shown = 0
    for key in absent:
        log = Path("state") / "logs" / f"{key}.log"
        if log.exists() and log.stat().st_mtime >= began:
            print(f"  failed: {key}, log {log}, which ends:")
            for line in log.read_text(errors="replace").splitlines()[-5:]:
                print(f"    {line}")
            shown += 1
    if absent:
        if not shown:
            print("  Snakemake's own log is state/logs/snakemake.log")
        print("  `dvc repro` goes on from here: what is finished stays, what was interrupted resumes")
    return 1 if absent else status


if __name__ == "__main__":
    sys.exit(main())

"""The `runs` stage: everything that the suites under `repro:` ask for and that is not there yet, made by Snakemake.

    python -m workflow.launch [--suite NAME ...] [--profile DIR] [--cores N] [--dry-run]

It freezes the plan in a file, finds the GPUs, clears a lock that a killed Snakemake left behind, shows one live
line, and ends with a summary: finished, diverged, and for each failed job the last lines of its log.
The environment variable SAGAN_PROFILE names the profile too, so that `dvc repro` can be sent to a cluster.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from ruamel.yaml import YAML

from sagan.analysis.seeds import planned
from sagan.errors import UserError, explained
from sagan.names import speak_any_locale
from sagan.params import Params
from sagan.params.loading import load_params
from sagan.plan import Plan, check_own_networks
from sagan.plan.listing import missing, set_aside_spoilt
from sagan.plan.reach import unreached
from sagan.store.folders import set_aside_torn
from sagan.store.paths import Paths, main_workspace
from workflow.machine import gpu_count, usable_cores
from workflow.mirror import Mirror
from workflow.progress import LiveLine
from workflow.sharing import bring, publish
from workflow.summary import log_stamps, summary
from workflow.warm import WarmStart, can_fork

PATHS = Paths()
PROFILE = "workflow/profiles/default"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", action="append", help="a suite of params.yaml; default: those under repro")
    parser.add_argument(
        "--profile",
        default=os.environ.get("SAGAN_PROFILE") or PROFILE,
        help="a Snakemake profile, which says where jobs run; default: SAGAN_PROFILE, or else this machine",
    )
    parser.add_argument("--cores", type=int, default=usable_cores(), help="default: those that this process may use")
    parser.add_argument("--dry-run", action="store_true", help="say what would be made, and make nothing")
    arguments = parser.parse_args()
    speak_any_locale()
    try:
        params = load_params(PATHS.params)
        plan = planned(params, PATHS, arguments.suite)
        check_own_networks(plan, PATHS)
        for line in unreached(params, PATHS, arguments.suite):
            print(f"runs: note: {line}")
        if arguments.dry_run:
            return dry_run(plan)
        is_local = profile_is_local(Path(arguments.profile))
        if is_local:
            check_threads(plan, arguments.cores)
        cores = arguments.cores if is_local else None
        while True:
            if status := launch(plan, arguments.profile, cores):
                return status
            before, plan = plan, planned(params, PATHS, arguments.suite)
            if changed(before, plan, params):
                print("runs: params.yaml or the code changed while this ran; `dvc repro` makes what they ask for now")
                return 1
            if plan.digest() == before.digest():
                return 0
            print(f"runs: not decided yet, so seeds are added: {', '.join(more_seeds(before, plan))}")
    except KeyboardInterrupt:
        print("sagan: stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    except (UserError, OSError) as error:
        # A full disk, a folder that may not be written: the jobs' own are in their logs.
        if (line := explained(error)) is None:
            raise
        print(f"sagan: {line}", file=sys.stderr)
        return 2


def dry_run(plan: Plan) -> int:
    runs, references, evaluations = missing(plan, PATHS)
    for what, keys in (("reference", references), ("train", runs), ("evaluate", evaluations)):
        for key in keys:
            print(f"{what} {key}")
    print(f"{len(references)} references, {len(runs)} trainings, {len(evaluations)} evaluations to make")
    return 0


def profile_is_local(profile: Path) -> bool:
    """Whether a profile's jobs run on this machine: it names no executor.

    Raises:
        UserError: there is no such profile.
    """
    if not (profile / "config.yaml").exists():
        raise UserError(f"{profile}: no such profile (there is no config.yaml in it); see workflow/profiles")
    settings = YAML(typ="safe", pure=True).load(profile / "config.yaml") or {}
    return settings.get("executor", "local") == "local"


def check_threads(plan: Plan, cores: int) -> None:
    """A job's threads are part of what it computes, so they are not lowered behind the user's back.

    Raises:
        UserError: a job that is missing wants more threads than there are cores.
    """
    runs, _, evaluations = missing(plan, PATHS)
    for suite, cells in plan.suites.items():
        wanted = {"training": {cell.run for cell in cells}, "evaluation": {cell.evaluation for cell in cells}}
        for (section, keys), absent in zip(wanted.items(), (runs, evaluations), strict=True):
            threads = max((plan.job(key).threads for key in keys.intersection(absent)), default=0)
            if threads > cores:
                raise UserError(
                    f"params.yaml: suites.{suite}.{section}.threads = {threads}: this launch may use {cores} "
                    f"cores; set it to {cores} or less"
                )


def changed(before: Plan, now: Plan, params: Params) -> bool:
    """Whether params.yaml or the code ask for something else than they did; DVC notes what they say *now*.

    Seeds that were added are no change: all that was asked for before still is.
    """
    return load_params(PATHS.params) != params or not before.evaluations.keys() <= now.evaluations.keys()


def more_seeds(before: Plan, now: Plan) -> list[str]:
    """Each suite that has more seeds than it had, with how many."""
    counts = {name: [len({cell.seed for cell in plan.suites[name]}) for plan in (before, now)] for name in now.suites}
    return [f"{name} has {new} a variant, not {old}" for name, (old, new) in counts.items() if new > old]


def launch(plan: Plan, profile: str, cores: int | None) -> int:
    """Run Snakemake over what is missing; 0 when all of it is there in the end. Without `cores`: on a cluster."""
    workspace = main_workspace(Path.cwd())
    shared = Paths(workspace) if workspace else PATHS
    # The kernel drops this lock with its last holder. Snakemake inherits it, so that it is held for as long as
    # either lives, and a free lock proves that Snakemake's own lock on the folder has no living owner.
    # Experiments in copies of this workspace take the same one: each launch has all the cores and GPUs.
    lock = FileLock(shared.root / "state" / "launch.lock")
    check_writable(PATHS.root / "state", PATHS.root / "results", shared.root / "state")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        print("another launch is at work in this workspace; waiting for it", file=sys.stderr, flush=True)
        held = lock.acquire()
    with held:
        shutil.rmtree(".snakemake/locks", ignore_errors=True)
        # By their bytes: DVC takes in what lies there when the stage ends.
        for key in plan.runs:
            if (place := set_aside_torn(key, PATHS)) is not None:
                print(f"{key}: its folder is not whole; moved to {place}, and the run is made anew", file=sys.stderr)
        for key, place in set_aside_spoilt(plan, PATHS).items():
            print(f"{key}: its record is not whole; moved to {place}, and it is made anew", file=sys.stderr)
        if brought := bring(plan, shared, PATHS):
            print(f"runs: {brought} results were made in this workspace before and are used again")
        runs, references, evaluations = missing(plan, PATHS)
        if not runs + references + evaluations:
            print(f"runs: all {len(plan.evaluations)} are there; nothing to make")
            return 0
        print(f"runs: {len(runs)} to train, {len(evaluations)} to measure, {len(references)} references to make")
        sys.stdout.flush()
        calm_times(plan)
        plan_file = PATHS.plan(plan.digest())
        plan.save(plan_file)
        before = log_stamps(plan, PATHS)
        status = _snakemake(plan, plan_file, profile, cores, lock, runs + references + evaluations)
        if workspace:
            publish(plan, PATHS, shared)
    return summary(plan, PATHS, status, before)


def calm_times(plan: Plan) -> None:
    """Give files of the future the present time.

    A clock that jumped, or a machine with another clock, leaves such files; Snakemake then throws away what was
    made from them, because it looks older than they are.
    """
    now = time.time()
    inputs = [PATHS.run(key) / "run.json" for key in plan.runs]
    inputs += [PATHS.reference(key) / "reference.json" for key in plan.references]
    for path in inputs:
        if path.exists() and path.stat().st_mtime > now:
            os.utime(path, (now, now))


def check_writable(*folders: Path) -> None:
    """Say that a folder cannot be written before hours of work end in that.

    Raises:
        OSError: with the folder's name.
    """
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(4096))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(folder)) from None


def _snakemake(plan: Plan, plan_file: Path, profile: str, cores: int | None, lock: FileLock, keys: list[str]) -> int:
    command = [sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile", "--profile", profile]
    # Otherwise Snakemake lays workflow/profiles/default over whatever profile is named.
    command += ["--workflow-profile", "none"]
    gpus = gpu_count() if cores else 0
    if cores is None:
        command += ["--config", f"plan={plan_file}"]
    else:
        command += ["--cores", str(cores), "--resources", f"gpu_parts={60 * gpus}"]
        command += ["--config", f"plan={plan_file}", f"gpus={gpus}"]
    # It pays where a core has more than one job.
    fit = sum(plan.job(key).threads == 1 for key in keys)
    warm = WarmStart(PATHS.root) if cores and fit > cores and not gpus and can_fork() else None
    if warm:
        command.append(f"warm={warm.address}")
    descriptor = lock._context.lock_file_fd
    os.set_inheritable(descriptor, True)
    log = PATHS.log("snakemake")
    log.parent.mkdir(parents=True, exist_ok=True)
    mirror = Mirror(plan_file, PATHS) if load_params(PATHS.params).tracking.live else nullcontext()
    line = LiveLine(plan, PATHS, cores, gpus)
    with _outlast_interrupts(), log.open("wb") as output, mirror, warm or nullcontext(), line:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, pass_fds=(descriptor,))
        previous = signal.signal(signal.SIGTERM, lambda number, frame: _stop(process))
        try:
            return process.wait()
        finally:
            signal.signal(signal.SIGTERM, previous)


@contextmanager
def _outlast_interrupts() -> Iterator[None]:
    """Answer Ctrl-C, however often it comes, with a line and go on waiting.

    Snakemake and the trainings get the signal too, and finish their step first. To leave before them would unlock
    the workspace that they are at work in.
    """

    def answer(number: int, frame: object) -> None:
        print(
            "\nstopping: waiting for trainings to finish their step and write a checkpoint; "
            f"`kill -9 -- -{os.getpgrp()}` ends everything at once (the last checkpoint stays)",
            file=sys.stderr,
            flush=True,
        )

    previous = signal.getsignal(signal.SIGINT)
    # Ignored where a script put this into the background: Ctrl-C is not for it then, nor for Snakemake.
    if previous is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, answer)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _stop(snakemake: subprocess.Popen) -> None:
    """SIGTERM came: no new jobs, and those at work write a checkpoint and leave."""
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(snakemake.pid).children(recursive=True)
        snakemake.terminate()
        for process in family:
            # Some may have left by themselves meanwhile.
            with suppress(psutil.NoSuchProcess):
                # The shells around the jobs would leave before them.
                if not process.children():
                    process.terminate()


if __name__ == "__main__":
    sys.exit(main())

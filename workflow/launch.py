"""The `runs` stage: everything that the suites under `repro:` ask for and that is not there yet, made by Snakemake.

    python -m workflow.launch [--suite NAME ...] [--profile DIR] [--cores N] [--minutes N] [--pack DIR] [--dry-run]

It freezes the plan in a file, packs what is missing into batches, finds the GPUs, clears a lock that a killed Snakemake
left behind, shows one live line, and ends with a summary: finished, diverged, and why the rest is not there.
The environment variable SAGAN_PROFILE names the profile too, so that `dvc repro` can be sent to a cluster.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ruamel.yaml import YAML

from sagan.analysis.seeds import planned
from sagan.errors import UserError, explained
from sagan.names import speak_any_locale
from sagan.params import Params
from sagan.params.loading import load_params
from sagan.plan import Plan, check_own_networks
from sagan.plan.listing import missing, set_aside_invalid
from sagan.plan.reach import unreached
from sagan.store.folders import set_aside
from sagan.store.locks import release, waited_for
from sagan.store.paths import Paths, main_workspace
from sagan.store.records import Json
from sagan.store.types import RunRecord
from workflow.batches import MOST_SECONDS, batches
from workflow.jobs import Jobs, follower
from workflow.machine import gpu_count, usable_cores
from workflow.packing import pack
from workflow.progress import LiveLine
from workflow.sharing import bring, publish
from workflow.summary import log_stamps, summary

PATHS = Paths()
PROFILE = "workflow/profiles/default"
# Of --minutes, for stopping trainings at a step's end and for packing.
RESERVE_SECONDS = 20.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", action="append", help="a suite of params.yaml; default: those under repro")
    parser.add_argument(
        "--profile",
        default=os.environ.get("SAGAN_PROFILE") or PROFILE,
        help="a Snakemake profile, which says where jobs run; default: SAGAN_PROFILE, or else this machine",
    )
    parser.add_argument("--cores", type=int, default=usable_cores(), help="default: those that this process may use")
    parser.add_argument("--minutes", type=float, help="stop behind checkpoints in time, packing included")
    parser.add_argument("--pack", type=Path, metavar="DIR", help="pack what is there in the end, for another clone")
    parser.add_argument("--light", action="store_true", help="with --pack: finished runs without their weights")
    parser.add_argument("--dry-run", action="store_true", help="say what would be made, and make nothing")
    arguments = parser.parse_args()
    speak_any_locale()
    try:
        if arguments.minutes is not None and not RESERVE_SECONDS < 60 * arguments.minutes < float("inf"):
            least = f"{RESERVE_SECONDS / 60:.2g}, for stopping and packing"
            raise UserError(f"--minutes {arguments.minutes:g}: say a number above {least}")
        deadline = arguments.minutes and time.monotonic() + 60 * arguments.minutes - RESERVE_SECONDS
        params = load_params(PATHS.params)
        plan = planned(params, PATHS, arguments.suite)
        check_own_networks(plan, PATHS)
        for line in unreached(params, PATHS, arguments.suite):
            print(f"runs: note: {line}")
        if arguments.dry_run:
            return dry_run(plan)
        profile = Profile(Path(arguments.profile))
        if profile.is_local:
            check_threads(plan, arguments.cores)
        status = decided(plan, params, arguments.suite, profile, arguments.cores, deadline)
        if arguments.pack is not None:
            pack(planned(params, PATHS, arguments.suite), PATHS, arguments.pack, arguments.light)
        return status
    except KeyboardInterrupt:
        print("sagan: stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    except (UserError, OSError) as error:
        # A full disk, a folder that may not be written: the jobs' own are in their logs.
        if (line := explained(error)) is None:
            raise
        print(f"sagan: {line}", file=sys.stderr)
        return 2


def decided(
    plan: Plan, params: Params, suites: list[str] | None, profile: Profile, cores: int, deadline: float | None
) -> int:
    """Launch until the suites that add seeds are decided, or the time is up."""
    while True:
        if status := launch(plan, profile, cores if profile.is_local else None, deadline):
            return status
        before, plan = plan, planned(params, PATHS, suites)
        if changed(before, plan, params):
            print("runs: params.yaml or the code changed while this ran; `dvc repro` makes what they ask for now")
            return 1
        if plan.digest() == before.digest() or (deadline is not None and time.monotonic() >= deadline):
            return 0
        print(f"runs: not decided yet, so seeds are added: {', '.join(more_seeds(before, plan))}")


def dry_run(plan: Plan) -> int:
    runs, references, evaluations = missing(plan, PATHS)
    for what, keys in (("reference", references), ("train", runs), ("evaluate", evaluations)):
        for key in keys:
            print(f"{what} {key}")
    print(f"{len(references)} references, {len(runs)} trainings, {len(evaluations)} evaluations to make")
    return 0


class Profile:
    """A Snakemake profile: where jobs run.

    Raises:
        UserError: there is no such profile.
    """

    def __init__(self, folder: Path) -> None:
        file = folder / "config.yaml"
        if not file.exists():
            raise UserError(f"{folder}: no such profile (there is no config.yaml in it); see workflow/profiles")
        settings: Json = YAML(typ="safe", pure=True).load(file) or {}
        self.folder = folder
        self.is_local = settings.get("executor", "local") == "local"
        minutes = (settings.get("config") or {}).get("batch_minutes")
        self.batch_seconds = MOST_SECONDS if minutes is None else 60.0 * minutes


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


def launch(plan: Plan, profile: Profile, cores: int | None, deadline: float | None = None) -> int:
    """Run Snakemake over what is missing; 0 when all of it is there in the end. Without `cores`: on a cluster."""
    workspace = main_workspace(Path.cwd())
    shared = Paths(workspace) if workspace else PATHS
    check_writable(
        *(PATHS.root / place for place in ("results", "state", "state/logs", "state/tmp")), shared.root / "state"
    )
    with alone(shared.root / "state" / "launch.lock") as inherited:
        for left in (PATHS.root / "state" / "tmp").iterdir():
            left.unlink() if not left.is_dir() else shutil.rmtree(left, ignore_errors=True)
        for key in plan.runs:
            if (place := set_aside(RunRecord, key, PATHS)) is not None:
                print(f"{key}: its folder is not whole; moved to {place}, and the run is made anew", file=sys.stderr)
        for key, place in set_aside_invalid(plan, PATHS).items():
            print(f"{key}: its record is not whole; moved to {place}, and it is made anew", file=sys.stderr)
        if brought := bring(plan, shared, PATHS):
            print(f"runs: {brought} results were made in this workspace before and are used again")
        runs, references, evaluations = missing(plan, PATHS)
        if not runs + references + evaluations:
            print(f"runs: all {len(plan.evaluations)} are there; nothing to make")
            return 0
        print(f"runs: {len(runs)} to train, {len(evaluations)} to measure, {len(references)} references to make")
        sys.stdout.flush()
        status = _made(plan, profile, cores, inherited, deadline)
        if workspace:
            publish(plan, PATHS, shared)
    return status


def _made(plan: Plan, profile: Profile, cores: int | None, inherited: int, deadline: float | None) -> int:
    """Batches, until all is there or the rest cannot be; returns the exit status of the summary."""
    plan_file, gpus = PATHS.plan(plan.digest()), 0
    if any(plan.job(key).execution["device"] != "cpu" for keys in missing(plan, PATHS) for key in keys):
        # On a cluster the login node has none, and jobs ask for theirs.
        gpus = gpu_count() if cores else 0
    plan.save(plan_file)
    by_themselves: set[str] = set()
    before, is_live = log_stamps(plan, PATHS), load_params(PATHS.params).tracking.live
    while True:
        packed = batches(plan, PATHS, cores, gpus, profile.batch_seconds, by_themselves)
        jobs = Jobs(packed, PATHS)
        with ExitStack() as beside:
            if is_live:
                beside.enter_context(follower(plan_file, PATHS))
            beside.enter_context(LiveLine(plan, PATHS, cores, gpus))
            status = jobs.run(plan_file, str(profile.folder), cores, gpus, inherited, deadline)
        # One that takes its whole process with it must not take others: once more, each by itself.
        lost = {key for batch in packed for key in batch.keys if jobs.died(key) and is_missing(plan, key)}
        if jobs.was_stopped or not (again := lost - by_themselves):
            return summary(plan, PATHS, jobs, status, before, in_time=deadline is not None)
        by_themselves |= again
        print(f"runs: {len(again)} were in a process that was killed; they are tried once more, each by itself")


def is_missing(plan: Plan, key: str) -> bool:
    """Whether a run, one of its measurements, or a reference is not there."""
    runs, references, evaluations = missing(plan, PATHS)
    return key in runs or key in references or any(plan.evaluations[e].run == key for e in evaluations)


@contextmanager
def alone(path: Path) -> Iterator[int]:
    """This workspace for one launch at a time; yields the lock's file descriptor, for Snakemake to hold it too.

    The kernel drops the lock with its last holder, so that a free lock proves that Snakemake's own lock on the folder
    has no living owner. Experiments in copies of this workspace take the same one: each launch has all cores and GPUs.
    """
    for lock in waited_for(path, "this workspace"):
        if lock is None:
            time.sleep(1.0)
    try:
        shutil.rmtree(".snakemake/locks", ignore_errors=True)
        yield lock._context.lock_file_fd
    finally:
        release(lock)


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


if __name__ == "__main__":
    sys.exit(main())

"""The `runs` stage: everything that the suites under `repro:` ask for and that is not there yet, made by Snakemake.

Usage: python -m workflow.launch [--suite NAME ...] [--profile DIR] [--cores N] [--minutes N] [--pack DIR [--light]]
"""

import argparse
import math
import os
import shutil
import signal
import sys
import time
from contextlib import nullcontext, suppress
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sagan.analysis.seeds import planned
from sagan.code.definitions import code_base
from sagan.cores import usable_cores
from sagan.errors import UserError, said
from sagan.names import speak_any_locale
from sagan.params.loading import load_params
from sagan.plan import Plan, check_own_networks
from sagan.plan.listing import missing, set_aside_invalid
from sagan.plan.reach import unreached
from sagan.store.locks import exclusive
from sagan.store.paths import Paths
from sagan.store.records import Json
from workflow.batches import MOST_SECONDS, batches
from workflow.jobs import Jobs, check_writable, follower, gpu_count
from workflow.progress import LiveLine, summary
from workflow.sharing import bring, pack, publish

PATHS = Paths()
# Of --minutes, for stopping trainings at a step's end and for packing.
RESERVE_SECONDS = 20.0
# What lies in state/tmp for so long, nobody uses.
_LEFT_SECONDS = 2 * 24 * 3600.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", action="append", help="a suite of params.yaml; default: those under repro")
    parser.add_argument(
        "--profile",
        type=Path,
        default=os.environ.get("SAGAN_PROFILE") or "workflow/profiles/default",
        help="a Snakemake profile, which says where jobs run; default: SAGAN_PROFILE, or else this machine",
    )
    parser.add_argument("--cores", type=int, default=usable_cores(), help="default: those that this process may use")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="end in time: stop after checkpoints, then pack"
    )
    parser.add_argument("--pack", type=Path, metavar="DIR", help="pack what is there in the end, for another clone")
    parser.add_argument("--light", action="store_true", help="with --pack: finished runs without their weights")
    arguments = parser.parse_args()
    speak_any_locale()
    try:
        return launch(arguments)
    except KeyboardInterrupt:
        print("sagan: stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    except (UserError, OSError) as error:
        # A full disk, a folder that may not be written: the jobs' own are in their logs.
        return said(error)


def launch(arguments: argparse.Namespace) -> int:
    """Plan and make until the suites that add seeds are decided, or the time is up; then pack, where that is asked for.

    Raises:
        UserError, OSError: nothing was begun.
    """
    minutes, suites, cores = arguments.minutes, arguments.suite, arguments.cores
    if cores < 1:
        raise UserError(f"--cores {cores}: say 1 or more")
    if not 60 * minutes > RESERVE_SECONDS:  # nor is `nan`
        least = f"{RESERVE_SECONDS / 60:.2g}: {RESERVE_SECONDS:.0f} seconds are kept for stopping and packing"
        raise UserError(f"--minutes {minutes:g}: say more than {least}")
    if arguments.light and arguments.pack is None:
        raise UserError("--light: needs --pack")
    deadline = time.monotonic() + 60 * minutes - RESERVE_SECONDS
    params = load_params(PATHS.params)
    plan = planned(params, PATHS, suites)
    check_own_networks(plan, PATHS)
    for line in unreached(params, PATHS, suites):
        print(f"runs: note: {line}")
    is_local, batch_seconds = read_profile(arguments.profile)
    if not is_local and minutes < math.inf:
        raise UserError("--minutes: is of this machine; on a cluster, a profile's `runtime` bounds its jobs")
    if is_local:
        check_threads(plan, cores)
    try:
        while not (status := made(plan, arguments.profile, cores if is_local else None, batch_seconds, deadline)):
            # DVC notes what params.yaml and the code say now. Seeds that were added are no change.
            code_base.cache_clear()
            try:
                now = planned(params, PATHS, suites)
                changed = load_params(PATHS.params) != params or not plan.evaluations.keys() <= now.evaluations.keys()
            except (SyntaxError, LookupError):  # half an edit
                changed = True
            if changed:
                print("runs: params.yaml or the code changed while this ran; `dvc repro` makes what they ask for now")
                status = 1
                break
            if now.digest() == plan.digest() or time.monotonic() >= deadline:
                break
            print(f"runs: not decided yet, so seeds are added: {len(now.runs) - len(plan.runs)} more runs")
            plan = now
    except (UserError, OSError) as error:
        status = said(error)
    if arguments.pack is not None:
        pack(plan, PATHS, arguments.pack, arguments.light)
    return status


def read_profile(folder: Path) -> tuple[bool, float]:
    """Of a Snakemake profile: whether jobs run on this machine, and for how many seconds batches are packed.

    Raises:
        UserError: there is no such profile, or it cannot be read.
    """
    file = folder / "config.yaml"
    if not file.exists():
        raise UserError(f"{folder}: no such profile (there is no config.yaml in it); see workflow/profiles")
    try:
        settings: Json = YAML(typ="safe", pure=True).load(file) or {}
        minutes = float((settings.get("config") or {}).get("batch_minutes", MOST_SECONDS / 60))
        return settings.get("executor", "local") == "local", 60 * minutes
    except (YAMLError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: is no profile, see workflow/profiles: {' '.join(str(error).split())}") from None


def check_threads(plan: Plan, cores: int) -> None:
    """A job's threads are part of what it computes, so they are not lowered behind the user's back.

    Raises:
        UserError: a job that is missing wants more threads than there are cores.
    """
    absent = missing(plan, PATHS)
    for suite, cells in plan.suites.items():
        for cell in cells:
            for section, key in (("training", cell.run), ("evaluation", cell.evaluation)):
                if key in absent and (threads := plan.jobs[key].threads) > cores:
                    raise UserError(
                        f"params.yaml: suites.{suite}.{section}.threads = {threads}: this launch may use {cores} "
                        f"cores; set it to {cores} or less"
                    )


def made(plan: Plan, profile: Path, cores: int | None, batch_seconds: float, deadline: float) -> int:
    """Run Snakemake over what is missing; 0 when all of it is there in the end. Without `cores`: on a cluster."""
    shared = PATHS.workspace
    places = ("results", "state", "state/logs", "state/tmp")
    check_writable(*(PATHS.root / place for place in places), shared.root / "state")
    # Snakemake holds the lock too, and the kernel drops it with its last holder: a free one proves that Snakemake's own
    # lock on the folder has no living owner. DVC's experiments take the same one: each launch has all cores and GPUs.
    with exclusive(shared.root / "state" / "launch", "this workspace", deadline, inherited=True):
        shutil.rmtree(".snakemake/locks", ignore_errors=True)
        for left in (PATHS.root / "state" / "tmp").iterdir():
            # Batches that outlived their Snakemake, and those of a cluster, may use what is newer.
            with suppress(FileNotFoundError):
                if time.time() - left.lstat().st_mtime > _LEFT_SECONDS:
                    left.unlink() if not left.is_dir() else shutil.rmtree(left, ignore_errors=True)
        for key, place in set_aside_invalid(plan, PATHS).items():
            print(f"{key}: its folder is invalid; set aside in {place}, and it is made anew", file=sys.stderr)
        if brought := bring(plan, shared, PATHS):
            print(f"runs: {brought} results were made in this workspace before and are used again")
        absent = {key: plan.jobs[key] for key in missing(plan, PATHS)}
        if not absent:
            print(f"runs: all {len(plan.evaluations)} are there; nothing to make")
            return 0
        to_do = (f"{len(absent.keys() & of.keys())}" for of in (plan.runs, plan.evaluations, plan.references))
        print("runs: {} to train, {} to measure, {} references to make".format(*to_do), flush=True)
        plan_file = PATHS.plan(plan.digest())
        plan.save(plan_file)
        # Of an earlier launch; that of a killed measurement is its run's, which is there.
        for key in plan.jobs:
            PATHS.log(key).unlink(missing_ok=True)
        # On a cluster the login node has none, and jobs ask for theirs.
        gpus = gpu_count() if cores and any(job.execution["device"] != "cpu" for job in absent.values()) else 0
        jobs = Jobs(batches(plan, PATHS, cores, gpus, batch_seconds), PATHS)
        tracking = follower(plan_file, PATHS) if load_params(PATHS.params).tracking.live else nullcontext()
        with tracking, LiveLine(plan, PATHS):
            status = jobs.run(plan_file, profile, cores, gpus, deadline)
        status = summary(plan, PATHS, jobs, status)
        publish(plan, PATHS, shared)
    return status


if __name__ == "__main__":
    sys.exit(main())

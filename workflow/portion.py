"""A timed portion of a suite on a borrowed machine: train, measure, pack; then go on from there another day.

    python -m workflow.portion --suite mnist --minutes 9 --jobs 12 --out packed/

It needs neither DVC, Snakemake nor MLflow, only what training and measuring import, and the prepared dataset
(`python -m sagan data`). Missing runs are trained seed by seed, so that an early end leaves whole seeds; when the
time is up, those under way write a checkpoint and stop. Everything is then packed by run key:

    packed/done-<n>.tar       finished runs with their evaluations and references
    packed/under-way-<n>.tar  checkpoints of unfinished runs (with --keep-unfinished)

Unpack them in the clone (`tar -xf packed/done-1.tar`), and `dvc repro` makes what is left and the report. With
`--without-weights` runs are packed as light copies: their records and logs, and evaluations that stand for themselves;
`run.json` lists the weights as left behind.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from sagan.analysis.seeds import planned
from sagan.errors import UserError, explained
from sagan.params.loading import load_params
from sagan.plan import Plan
from sagan.store.paths import Paths
from sagan.store.reading import read_evaluation, read_reference, read_run
from workflow.warm import environment

PATHS = Paths()
# Time that is kept for stopping trainings at a step's end, and for packing.
RESERVE_SECONDS = 20.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", action="append", required=True)
    parser.add_argument("--minutes", type=float, required=True, help="all in all, packing included")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (small networks share a GPU well)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the packed files")
    parser.add_argument("--part-size", type=float, default=15.0, help="MiB of a packed file")
    parser.add_argument("--without-weights", action="store_true", help="pack light copies of finished runs")
    parser.add_argument("--keep-unfinished", action="store_true", help="pack checkpoints of unfinished runs too")
    arguments = parser.parse_args()
    deadline = time.monotonic() + arguments.minutes * 60 - RESERVE_SECONDS
    try:
        check(arguments)
        plan = planned(load_params(PATHS.params), PATHS, arguments.suite)
        arguments.out.mkdir(parents=True, exist_ok=True)
        plan_file = PATHS.plan(plan.digest())
        plan.save(plan_file)
        failed = work(plan, plan_file, arguments.jobs, deadline)
        part_size = int(arguments.part_size * 2**20)
        pack(plan, arguments.out, part_size, arguments.without_weights, arguments.keep_unfinished)
    except KeyboardInterrupt:
        print("sagan: stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    except (UserError, OSError) as error:
        if (line := explained(error)) is None:
            raise
        print(f"sagan: {line}", file=sys.stderr)
        return 2
    trained = [key for key in plan.runs if read_run(key, PATHS).record]
    measured = [key for key in plan.evaluations if read_evaluation(key, PATHS).record]
    print(f"portion: {len(trained)} of {len(plan.runs)} runs trained, {len(measured)} measured, {len(failed)} failed")
    for key in failed:
        print(f"  failed: {key}, see state/logs/{key}.log")
    return 1 if failed else 0


def check(arguments: argparse.Namespace) -> None:
    """Refuse numbers with which nothing could be done.

    Raises:
        UserError: which one, and what is accepted.
    """
    if not 60 * arguments.minutes > RESERVE_SECONDS:
        raise UserError(
            f"--minutes {arguments.minutes:g}: say more than {RESERVE_SECONDS / 60:.2g}, for stopping and packing"
        )
    if arguments.jobs < 1:
        raise UserError(f"--jobs {arguments.jobs}: say 1 or more")
    if not 0 < arguments.part_size < float("inf"):
        raise UserError(f"--part-size {arguments.part_size:g}: say more than 0")


def jobs_in_order(plan: Plan) -> list[tuple[str, str, list[str]]]:
    """(verb, key, keys it waits for): references, then trainings seed by seed, each with its evaluation."""
    jobs: list[tuple[str, str, list[str]]] = [("reference", key, []) for key in plan.references]
    for run in sorted(plan.runs.values(), key=lambda run: run.seed):
        jobs.append(("train", run.key, []))
        jobs += [("evaluate", e.key, [run.key, e.reference]) for e in plan.evaluations.values() if e.run == run.key]
    return [job for job in jobs if not is_done(job[1])]


def is_done(key: str) -> bool:
    return any(read(key, PATHS).record for read in (read_evaluation, read_reference, read_run))


def work(plan: Plan, plan_file: Path, slots: int, deadline: float) -> list[str]:
    """Carry out jobs until all are done or the time is up; returns the keys that failed."""
    waiting, running, failed = jobs_in_order(plan), {}, []
    try:
        while (waiting or running) and time.monotonic() < deadline:
            ready = [job for job in waiting if all(map(is_done, job[2]))]
            for job in ready[: slots - len(running)]:
                waiting.remove(job)
                running[job[1]] = start(job[0], job[1], plan.job(job[1]).threads, plan_file)
            if not running:
                break  # what still waits, waits for something that failed
            time.sleep(0.2)
            for key, process in list(running.items()):
                if process.poll() is not None:
                    del running[key]
                    if process.returncode:
                        failed.append(key)
    finally:
        stop(running.values())
    return failed


def stop(jobs: Collection[subprocess.Popen]) -> None:
    """Trainings write a checkpoint first; evaluations have none, and their next try starts afresh."""
    for process in jobs:
        process.send_signal(signal.SIGTERM)
    for process in jobs:
        try:
            process.wait(timeout=RESERVE_SECONDS / 2)
        except subprocess.TimeoutExpired:
            process.kill()


def start(verb: str, key: str, threads: int, plan_file: Path) -> subprocess.Popen:
    log = PATHS.log(key)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "sagan", verb, key, "--plan", str(plan_file)]
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | environment(threads))


def pack(plan: Plan, out: Path, part_size: int, without_weights: bool, keep_unfinished: bool) -> None:
    """Tar files of about `part_size` bytes, each with whole folders."""
    done = [PATHS.reference(key) for key in plan.references if is_done(key)]
    done += [PATHS.run(key) for key in plan.runs if is_done(key)]
    done += [PATHS.evaluation(key) for key in plan.evaluations if is_done(key)]
    write_parts(done, out, "done", part_size, without_weights)
    if keep_unfinished:
        under_way = [key for key in plan.runs if not is_done(key) and PATHS.state(key).exists()]
        folders = [folder for key in under_way for folder in (PATHS.state(key), PATHS.run(key))]
        write_parts(folders, out, "under-way", part_size, without_weights=False)


def write_parts(folders: list[Path], out: Path, name: str, part_size: int, without_weights: bool) -> None:
    part, written, tar = 0, part_size, None
    for folder in folders:
        if written >= part_size:
            if tar is not None:
                tar.close()
            part, written = part + 1, 0
            tar = tarfile.open(out / f"{name}-{part}.tar", "w")  # noqa: SIM115
        for path, content in members(folder, without_weights):
            info = tarfile.TarInfo(path.as_posix())
            info.size, info.mtime = len(content), int(time.time())
            tar.addfile(info, io.BytesIO(content))
            written += len(content)
    if tar is not None:
        tar.close()


def members(folder: Path, without_weights: bool) -> Iterator[tuple[Path, bytes]]:
    """The files of a folder; of a light copy, the record that says which are left behind, last."""
    is_run = (folder / "run.json").exists()
    left_behind = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name in ("run.json", "lock"):
            continue
        if without_weights and is_run and path.suffix == ".safetensors":
            left_behind.append(path.relative_to(folder).as_posix())
        else:
            yield path, path.read_bytes()
    if is_run:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if left_behind:
            record["left_behind"] = left_behind
        yield folder / "run.json", (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()


if __name__ == "__main__":
    sys.exit(main())

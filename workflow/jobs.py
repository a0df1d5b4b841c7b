"""Snakemake over some batches: started, watched, and stopped behind checkpoints."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from sagan.store.folders import STOPPED
from sagan.store.paths import Paths
from sagan.store.records import write_json
from workflow.batches import Batch

_KEPT_FOLDERS = 20
_LAST_LOOK_SECONDS = 5.0
# A process that says itself what was wrong leaves with one of these.
_EXPLAINED = (1, 2, *STOPPED)


@dataclass
class Jobs:
    """Batches as Snakemake's jobs, in a folder of their own: their list, logs and marks."""

    batches: Sequence[Batch]
    paths: Paths
    folder: Path = field(init=False)
    was_stopped: bool = False

    def __post_init__(self) -> None:
        root = self.paths.root / "state" / "batches"
        for old in sorted(root.glob("*"))[: -_KEPT_FOLDERS + 1]:
            shutil.rmtree(old, ignore_errors=True)
        # Jobs of an earlier launch may still wait in a cluster's queue.
        self.folder = root / str(time.time_ns())
        self.folder.mkdir(parents=True)
        self._named = {f"{number:04d}": batch for number, batch in enumerate(self.batches)}
        listed = {name: dataclasses.asdict(batch) for name, batch in self._named.items()}
        write_json(self.folder / "batches.json", listed)

    def run(
        self,
        plan_file: Path,
        profile: str,
        cores: int | None,
        gpus: int,
        inherited: int | None,
        deadline: float | None,
    ) -> int:
        """Run Snakemake to its end; returns its exit status.

        Args:
            cores: None on a cluster.
            inherited: a file descriptor that it holds for as long as it lives.
            deadline: when all is to be stopped, by `time.monotonic`.
        """
        command = [sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile", "--profile", profile]
        # Otherwise Snakemake lays workflow/profiles/default over whatever profile is named.
        command += ["--workflow-profile", "none", "--config", f"plan={plan_file}", f"batches={self.folder}"]
        if cores is not None:
            command += ["--cores", str(cores), "--resources", f"gpus_here={gpus}"]
        fds = () if inherited is None else (inherited,)
        for descriptor in fds:
            os.set_inheritable(descriptor, True)
        log = self.paths.log("snakemake")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output, _outlast_interrupts(self), _hang_up_is_ours():
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, pass_fds=fds, env=environment(self.paths)
            )
            with self._stopped_by_signals(process), self._stopped_at(deadline, process):
                return process.wait()

    @contextmanager
    def _stopped_by_signals(self, process: subprocess.Popen) -> Iterator[None]:
        numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
        previous = {n: signal.signal(n, lambda number, frame: self._stop(process)) for n in numbers}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @contextmanager
    def _stopped_at(self, deadline: float | None, process: subprocess.Popen) -> Iterator[None]:
        if deadline is None:
            yield
            return
        timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._stop, [process])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _stop(self, snakemake: subprocess.Popen) -> None:
        """No new jobs, and those at work write a checkpoint and leave."""
        self.was_stopped = True
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(snakemake.pid).children(recursive=True)
            snakemake.terminate()
            for process in family:
                # Some may have left by themselves meanwhile.
                with suppress(psutil.NoSuchProcess):
                    # The shells around the jobs would leave before them.
                    if not process.children():
                        process.terminate()

    def log_of(self, key: str) -> Path | None:
        """The log of the batch that has a key; None where that was never begun."""
        name = next((name for name, batch in self._named.items() if key in batch.keys), "")
        log = self.folder / f"{name}.log"
        return log if log.exists() else None

    def exit_code(self, key: str) -> int | None:
        """How the process of a key's batch left, where that did not end well."""
        log = self.log_of(key)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-1:] if log else []
        found = re.fullmatch(r"make left with exit code (\d+)", lines[0]) if lines else None
        return int(found[1]) if found else None

    def died(self, key: str) -> bool:
        """Whether the process of a key's batch was ended by something that it could say nothing of."""
        return (code := self.exit_code(key)) is not None and code not in _EXPLAINED


def environment(paths: Paths) -> dict[str, str]:
    """Of Snakemake and all that it starts: caches and temporary files lie in the clone, downloads where they always do.

    So jobs need no home that may be written, and no name of their user.
    """
    state = paths.root.resolve() / "state"
    downloads = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    usual = {"HF_HOME": f"{downloads}/huggingface", "TORCH_HOME": f"{downloads}/torch"}
    if os.path.expanduser("~") == "~":  # nothing says where this user is at home, nor what it is called
        usual |= {"HOME": str(state / "cache"), "USER": str(os.getuid())}
    caches = {
        "XDG_CACHE_HOME": str(state / "cache"),
        "MPLCONFIGDIR": str(state / "cache" / "matplotlib"),
        "TORCHINDUCTOR_CACHE_DIR": str(state / "cache" / "inductor"),
        "TMPDIR": str(state / "tmp"),
    }
    given = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return usual | given | caches


@contextmanager
def _hang_up_is_ours() -> Iterator[None]:
    """Snakemake and its jobs inherit that a closed terminal is nothing to them: the launch stops them."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, previous)


@contextmanager
def _outlast_interrupts(jobs: Jobs) -> Iterator[None]:
    """Answer Ctrl-C, however often it comes, with a line and go on waiting.

    Snakemake and the trainings get the signal too, and finish their step first. To leave before them would unlock
    the workspace that they are at work in.
    """

    def answer(number: int, frame: object) -> None:
        jobs.was_stopped = True
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


@contextmanager
def follower(plan_file: Path, paths: Paths) -> Iterator[None]:
    """`sagan track --follow` for as long as the block lasts: runs appear in MLflow while they train."""
    log = paths.log("mlflow")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sagan", "track", "--follow", "--plan", str(plan_file)],
            stdin=subprocess.PIPE,  # the kernel closes it, however the launch ends
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the launch, which ends this one
        )
    try:
        yield
    finally:
        process.stdin.close()
        try:
            process.wait(_LAST_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

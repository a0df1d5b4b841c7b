"""What this machine has for jobs; and Snakemake over some batches: started, watched, and stopped behind checkpoints."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from sagan.store.paths import Paths
from sagan.store.records import write_json
from workflow.batches import Batch

# NVIDIA's, AMD's, and that of Windows' subsystem for Linux.
_GPU_DRIVERS = ("/proc/driver/nvidia", "/dev/kfd", "/dev/dxg")
_KEPT_FOLDERS = 20
_LOOK_SECONDS, _LAST_LOOK_SECONDS = 1.0, 5.0
# A closed terminal is nothing to Snakemake and its jobs: the launch stops them.
_DEAF = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")


def gpu_count() -> int:
    """GPUs that this process may use.

    Raises:
        UserError: there are some, and PyTorch cannot use them.
    """
    if shutil.which("nvidia-smi") is None and not any(map(os.path.exists, _GPU_DRIVERS)):
        return 0
    from sagan.training.devices import usable_gpus  # PyTorch takes seconds to import

    return usable_gpus()


def check_writable(*folders: Path) -> None:
    """Say that a folder cannot be written before hours of work end in that; one that is not there is made.

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


class Jobs:
    """Batches as Snakemake's jobs, in a folder of their own: their list, logs and marks.

    `was_stopped`: by a signal, or because its time was over; `is_over`: because of that alone.
    """

    def __init__(self, batches: Sequence[Batch], paths: Paths) -> None:
        root = paths.root / "state" / "batches"
        for old in sorted(root.glob("*"))[: -_KEPT_FOLDERS + 1]:
            shutil.rmtree(old, ignore_errors=True)
        # Jobs of an earlier launch may still wait in a cluster's queue.
        self.paths, self.folder = paths, root / str(time.time_ns())
        self.was_stopped = self.is_over = False
        self._told: set[int] = set()  # processes that were asked to leave
        listed = {f"{number:04d}": dataclasses.asdict(batch) for number, batch in enumerate(batches)}
        write_json(self.folder / "batches.json", listed)

    def run(self, plan_file: Path, profile: Path, cores: int | None, gpus: int, deadline: float) -> int:
        """Run Snakemake to its end; returns its exit status.

        Args:
            cores: None on a cluster.
            deadline: when all is to be stopped, by `time.monotonic`.
        """
        command = [*_DEAF, sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile"]
        # Otherwise Snakemake lays workflow/profiles/default over whatever profile is named.
        command += ["--profile", str(profile), "--workflow-profile", "none"]
        command += ["--config", f"plan={plan_file}", f"batches={self.folder}"]
        if cores is not None:
            command += ["--cores", str(cores), "--resources", f"gpus_here={gpus}"]
        with self.paths.log("snakemake").open("wb") as output:
            # It holds the lock of the launch too, for as long as it lives.
            self._snakemake = subprocess.Popen(
                command, stdout=output, stderr=output, close_fds=False, env=environment(self.paths)
            )
            with self._signals_heard():
                while True:
                    if not self.was_stopped and time.monotonic() >= deadline:
                        self.was_stopped = self.is_over = True
                    if self.was_stopped:
                        self._ask_to_leave()
                    with suppress(subprocess.TimeoutExpired):
                        return self._snakemake.wait(_LOOK_SECONDS)

    @contextmanager
    def _signals_heard(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP stop all jobs. To leave before they have ended would unlock their workspace."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        # What is ignored stays so: a script that put this into the background, or `nohup`, meant it.
        heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
        previous = {number: signal.signal(number, self._answer) for number in heard}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _answer(self, number: int, frame: object) -> None:
        self.was_stopped = True
        if number == signal.SIGINT:
            print(
                "\nstopping: waiting for trainings to finish their step and write a checkpoint; "
                f"`kill -9 -- -{os.getpgrp()}` ends everything at once (the last checkpoint stays)",
                file=sys.stderr,
                flush=True,
            )

    def _ask_to_leave(self) -> None:
        """No new jobs, and those at work write a checkpoint and leave. Each is asked once; one may have just begun."""
        # Ctrl-C reaches them by itself too, a SIGINT to this process alone does not.
        snakemake = psutil.Process(self._snakemake.pid)
        for process in (snakemake, *snakemake.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # it has left by itself meanwhile
                # The shells around the jobs would leave before them.
                is_asked = process == snakemake or {"sagan", "make"} <= set(process.cmdline())
                if is_asked and process.pid not in self._told:
                    self._told.add(process.pid)
                    process.terminate()


def environment(paths: Paths) -> dict[str, str]:
    """Of Snakemake and all that it starts: caches and temporary files lie in the clone, downloads where they always do.

    So jobs need no home that may be written, and no name of their user.
    """
    state = f"{paths.root.resolve()}/state"
    downloads = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    usual = {"HF_HOME": f"{downloads}/huggingface", "TORCH_HOME": f"{downloads}/torch"}
    if os.path.expanduser("~") == "~":  # nothing says where this user is at home, nor what it is called
        usual |= {"HOME": f"{state}/cache", "USER": str(os.getuid())}
    caches = {"XDG_CACHE_HOME": f"{state}/cache", "MPLCONFIGDIR": f"{state}/cache/matplotlib"}
    caches |= {"TORCHINDUCTOR_CACHE_DIR": f"{state}/cache/inductor", "TMPDIR": f"{state}/tmp"}
    given = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return usual | given | caches


@contextmanager
def follower(plan_file: Path, paths: Paths) -> Iterator[None]:
    """`sagan track --follow` for as long as the block lasts: runs appear in MLflow while they train."""
    command = [sys.executable, "-m", "sagan", "track", "--follow", "--plan", str(plan_file)]
    # Ctrl-C is for the launch, which ends this one; the kernel closes its input, however the launch ends.
    with (
        paths.log("mlflow").open("wb") as output,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
        ) as process,
    ):
        try:
            yield
        finally:
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=_LAST_LOOK_SECONDS)
            process.kill()

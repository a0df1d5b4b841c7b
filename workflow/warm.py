"""Jobs that start warm: each is forked from one process that has imported what all of them import.

    python -m workflow.warm SOCKET                    # that process, until its standard input ends
    python -I -S workflow/warm.py SOCKET VERB ...     # one job, as `python -m sagan VERB ...`

To import PyTorch and its compiler takes a core 5 s, as long as a short run's measurement. A warm job is a process of
its own that dies with its command, and belongs to the same process group. Where nothing listens it starts cold.

Only for jobs of one thread on this machine without its GPUs: threads of numerical libraries do not outlive a fork,
and neither does CUDA.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

_KIND = (socket.AF_UNIX, getattr(socket, "SOCK_SEQPACKET", socket.SOCK_STREAM))
# What jobs import; the last is imported by torch.use_deterministic_algorithms.
_IMPORTED = "sagan.cli sagan.metrics.evaluate sagan.metrics.reference sagan.training.loop torch._inductor.config"
# What ends a job may not end the processes that jobs are forked from.
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


def environment(threads: int) -> dict[str, str]:
    """What a job's environment holds. Numerical libraries get its threads and no more.

    Large tensors lie in huge pages, and stay with the process: on a CPU a 64-pixel step takes a tenth less.
    """
    tunables = {"hugetlb": 1, "mmap_threshold": 2**33, "trim_threshold": 2**33}
    return {
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)),
        "GLIBC_TUNABLES": ":".join(f"glibc.malloc.{name}={value}" for name, value in tunables.items()),
    }


class WarmStart:
    """The process that jobs are forked from, for as long as the block lasts; jobs at work then go on."""

    def __init__(self, root: Path) -> None:
        # Relative, since a socket's name has at most 107 bytes. Jobs start in the root too.
        self.address = Path("state") / "warm"
        self._root = root

    def __enter__(self) -> WarmStart:
        (self._root / self.address).unlink(missing_ok=True)
        log = self._root / "state" / "logs" / "warm.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workflow.warm", str(self.address)],
                cwd=self._root,
                env=os.environ | environment(1),
                stdin=subprocess.PIPE,  # the kernel closes it, however the launch ends
                stdout=output,
                stderr=output,
            )
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        (self._root / self.address).unlink(missing_ok=True)


def can_fork() -> bool:
    """Whether this system has what a warm start takes: Linux from 5.3 on, unless a sandbox forbids it."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def job(address: str, arguments: list[str]) -> int:
    """One job from its start to its exit code; 128 and the signal's number where one killed it."""
    early: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: early.append(number))
    connection, process = socket.socket(*_KIND), None
    with suppress(OSError):
        connection.connect(address)
        socket.send_fds(connection, [json.dumps(arguments).encode()], [1, 2])
        process = int(connection.recv(16) or 0)
    if not process:
        for number in early:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        os.execv(sys.executable, [sys.executable, "-m", "sagan", *arguments])

    def hand_on(number: int, frame: object = None) -> None:
        with suppress(ProcessLookupError):
            os.kill(process, number)

    # Ctrl-C reaches the job by itself, as one of the process group; the launcher stops the command alone.
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, hand_on)
    for number in early:
        hand_on(number)
    return (connection.recv(1) or bytes([128 + signal.SIGKILL]))[0]


def serve(address: str) -> list[str] | None:
    """Fork jobs until standard input ends. It returns in each job's process too, with the job's arguments."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _STOPPING}
    with socket.socket(*_KIND) as listener:
        listener.bind(address)
        os.chmod(address, 0o600)  # whoever may connect says what is done
        listener.listen()
        for name in _IMPORTED.split():
            importlib.import_module(name)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    arguments = _guarded(connection)
                    for number, handler in before.items():
                        signal.signal(number, handler)
                    return arguments
        return None


def _guarded(connection: socket.socket) -> list[str]:
    """Fork the job and hand back its exit code. It returns in the job's process alone, which dies with this one."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, outputs, _, _ = socket.recv_fds(connection, 2**16, 2)
    guard = os.getpid()
    if (process := os.fork()) == 0:
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(1)
        connection.close()
        for source, target in zip((os.open(os.devnull, os.O_RDONLY), *outputs), range(3), strict=True):
            os.dup2(source, target)
            os.close(source)
        sys.modules["numpy"].random.seed()  # users' own code may draw from it, and a fork has its parent's state
        return json.loads(message)
    connection.send(str(process).encode())
    ended = os.pidfd_open(process)
    if ended in select.select([connection, ended], [], [])[0]:
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        with suppress(OSError):
            connection.send(bytes([code if code >= 0 else 128 - code]))
    os._exit(0)  # else the command is gone


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(job(sys.argv[1], sys.argv[2:]))
    if (arguments := serve(sys.argv[1])) is not None:
        from sagan.cli import main

        sys.argv = ["sagan", *arguments]
        main()

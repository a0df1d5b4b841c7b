"""Jobs that start warm: each is forked from one process that has imported what all of them import.

    python -m workflow.warm SOCKET                    # that process, until its standard input ends
    python -I -S workflow/warm.py SOCKET VERB ...     # one job, as `python -m sagan VERB ...`

To import PyTorch and its compiler takes a core 5 s, as long as a short run's measurement. A warm job is a process of
its own. It gets the signals that its command gets, and does not outlive it. Where nothing listens it starts cold.

Only for jobs of one thread on this machine without its GPUs: threads of numerical libraries do not outlive a fork,
and neither does CUDA.
"""

from __future__ import annotations

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
_BEGUN = b"\0"
# What jobs import; the last is imported by torch.use_deterministic_algorithms.
_IMPORTED = "sagan.cli sagan.metrics.evaluate sagan.metrics.reference sagan.training.loop torch._inductor.config"


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
    """The process that jobs are forked from, for as long as the block lasts; jobs at its end go on."""

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
                start_new_session=True,  # Ctrl-C reaches a job through its command
            )
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._process.stdin.close()
        (self._root / self.address).unlink(missing_ok=True)


def can_fork() -> bool:
    """Whether this system has what a warm start takes: Linux has."""
    return hasattr(os, "pidfd_open")


def job(address: str, arguments: list[str]) -> int:
    """One job from its start to its exit code; 128 and the signal's number where one killed it."""
    connection = socket.socket(*_KIND)
    try:
        connection.connect(address)
        socket.send_fds(connection, [json.dumps(arguments).encode()], [1, 2])
        _forward(connection)
        is_begun = connection.recv(1) == _BEGUN
    except OSError:
        is_begun = False
    if not is_begun:
        os.execv(sys.executable, [sys.executable, "-m", "sagan", *arguments])
    return (connection.recv(1) or bytes([128 + signal.SIGKILL]))[0]


def _forward(connection: socket.socket) -> None:
    """Hand on the signals that stop a job behind a checkpoint, unless they are ignored, as in the background."""

    def hand_on(number: int, frame: object) -> None:
        with suppress(OSError):  # it has just ended
            connection.send(bytes([number]))

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, hand_on)


def serve(address: str) -> list[str] | None:
    """Fork jobs until standard input ends. It returns in each job's process too, with the job's arguments."""
    with socket.socket(*_KIND) as listener:
        listener.bind(address)
        os.chmod(address, 0o600)  # whoever may connect says what is done
        listener.listen()
        for name in _IMPORTED.split():
            importlib.import_module(name)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while sys.stdin not in (ready := select.select([listener, sys.stdin], [], [])[0]):
            assert listener in ready
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    return _guard(connection)
        return None


def _guard(connection: socket.socket) -> list[str]:
    """Fork the job, hand it its signals and hand back its exit code; it returns in the job's process alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, outputs, _, _ = socket.recv_fds(connection, 2**16, 2)
    connection.send(_BEGUN)
    if (process := os.fork()) == 0:
        connection.close()
        for source, target in zip((os.open(os.devnull, os.O_RDONLY), *outputs), range(3), strict=True):
            os.dup2(source, target)
            os.close(source)
        return json.loads(message)
    ended = os.pidfd_open(process)
    while ended not in select.select([connection, ended], [], [])[0]:
        number = connection.recv(1)
        os.kill(process, number[0] if number else signal.SIGKILL)
        if not number:  # the command is gone
            break
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    with suppress(OSError):
        connection.send(bytes([code if code >= 0 else 128 - code]))
    os._exit(0)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(job(sys.argv[1], sys.argv[2:]))
    if (arguments := serve(sys.argv[1])) is not None:
        from sagan.cli import main

        sys.argv = ["sagan", *arguments]
        main()

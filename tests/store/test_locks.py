"""A lock excludes whoever works on the same result, and ends with its owner, on file systems of every kind."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from unittest.mock import Mock

import pytest

from sagan.errors import UserError, warn_once
from sagan.store.locks import exclusive, is_locked, lock_of, release, taken
from tests import wait_for

HOLDER = """
import errno, fcntl, os, sys, time
from pathlib import Path
from sagan.store.locks import taken
if sys.argv[2] != "0":
    def flock(*_):
        raise OSError(int(sys.argv[2]), os.strerror(int(sys.argv[2])))
    fcntl.flock = flock
lock = taken(Path(sys.argv[1]))
print("held" if lock else "not", flush=True)
time.sleep(60)
"""


@pytest.fixture(
    params=[0, errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP], ids=["flock", "ENOSYS", "ENOLCK", "EOPNOTSUPP"]
)
def kind(request, monkeypatch):
    """What the file system says of flock."""
    if request.param:
        refused = OSError(request.param, os.strerror(request.param))
        monkeypatch.setattr(fcntl, "flock", Mock(side_effect=refused))
    warn_once.cache_clear()
    return request.param


@pytest.fixture
def holder(kind):
    """A process that holds a lock."""
    started = []

    def hold(path):
        command = [sys.executable, "-c", HOLDER, str(path), str(kind)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "held\n"
        return started[-1]

    yield hold
    for process in started:
        process.kill()
        process.wait()


def test_a_lock_excludes_others_and_ends_with_its_owner(tmp_path, kind, holder, capfd):
    path = lock_of(tmp_path / "results" / "run")
    assert not is_locked(path)
    process = holder(path)
    assert is_locked(path) and taken(path) is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    lock = wait_for(lambda: taken(path))
    assert is_locked(path)
    release(lock)
    assert not is_locked(path) and list(path.parent.iterdir()) == []
    said = capfd.readouterr().err.splitlines()
    assert len([line for line in said if os.strerror(kind) in line]) == (2 if kind else 0)  # one of each process


@pytest.mark.parametrize("reason", [errno.EACCES, errno.EROFS])
def test_a_lock_that_may_only_be_read_is_asked_too(tmp_path, monkeypatch, reason):
    """Of another user, or on a disk that may not be written."""
    path = lock_of(tmp_path / "run")
    lock = taken(path)
    monkeypatch.setattr(os, "open", Mock(side_effect=OSError(reason, os.strerror(reason))))  # filelock's
    assert is_locked(path)
    lock.release()
    assert path.exists() and not is_locked(path)


def test_nobody_waits_longer_than_there_is_time(tmp_path, kind, holder):
    holder(lock_of(tmp_path / "run"))
    if kind:  # what a kill of the machine may leave of the file that names the holder
        (tmp_path / ".run.lock.soft").write_text("")
    waits = exclusive(tmp_path / "run", "the clone", deadline=time.monotonic() + 0.5)
    with pytest.raises(UserError, match="the clone: another process still has it, and the time is over"):
        waits.__enter__()


def test_one_who_waits_says_so_once_and_whom_a_soft_lock_names(tmp_path, kind, holder, capfd):
    folder = tmp_path / "run"
    process = holder(lock_of(folder))
    os.kill(process.pid, signal.SIGSTOP)
    code = "import sys; from pathlib import Path; from sagan.store.locks import exclusive\n"
    code += "with exclusive(Path(sys.argv[1])): pass"
    if kind:
        code = f"import fcntl, os\ndef flock(*_):\n    raise OSError({kind}, 'no')\nfcntl.flock = flock\n{code}"
    waiting = subprocess.Popen([sys.executable, "-c", code, str(folder)], stderr=subprocess.PIPE, text=True)
    time.sleep(2)
    assert waiting.poll() is None
    process.kill()
    process.wait()
    said = waiting.communicate(timeout=30)[1]
    assert waiting.returncode == 0 and said.count("waiting for it") == 1
    assert (f"{process.pid} on " in said) == bool(kind)


def test_a_failure_inside_frees_the_lock(tmp_path):
    with pytest.raises(RuntimeError), exclusive(tmp_path / "run"):
        assert is_locked(lock_of(tmp_path / "run"))
        raise RuntimeError
    assert not is_locked(lock_of(tmp_path / "run"))


def test_another_error_of_the_file_system_is_told(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(OSError):
        taken(lock_of(tmp_path / "results" / "run"))


@pytest.mark.parametrize("inherited", [True, False])
def test_a_child_holds_a_lock_on_where_it_is_asked_to(tmp_path, inherited):
    """As Snakemake holds the launch's after `kill -9` of the launch, and a measurement no lock of other runs."""
    program = (
        "import os, subprocess, sys; from pathlib import Path; from sagan.store.locks import exclusive\n"
        "with exclusive(Path(sys.argv[1]), inherited=bool(sys.argv[2])):\n"
        "    null = subprocess.DEVNULL\n"
        "    print(subprocess.Popen(['sleep', '60'], stdout=null, stderr=null, close_fds=False).pid, flush=True)\n"
        "    os._exit(1)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a"), "yes" if inherited else ""]
    child = int(subprocess.run(command, capture_output=True, text=True).stdout)
    assert is_locked(lock_of(tmp_path / "a")) == inherited
    os.kill(child, signal.SIGKILL)

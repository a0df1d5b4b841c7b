"""What killed `dvc` processes leave in DVC's lock file is cleared, and nothing of the living."""

import json
import os
import subprocess
import sys

import psutil
import pytest

from sagan.store.locks import lock_of, release, taken
from tests import wait_for
from workflow import unlock


@pytest.fixture
def start():
    """A process that does nothing, called by some words."""
    started = []

    def start(*words):
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", *words]))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def stranger(start):
    """A process that got the PID of a `dvc` that is gone."""
    return start().pid


def note(pid):
    return {"pid": pid, "cmd": "dvc repro"}


@pytest.mark.parametrize("host", [f"{os.uname().nodename}\n{os.readlink('/proc/self/ns/pid')}\n", None])
def test_notes_of_the_dead_go_and_those_of_the_living_stay(tmp_path, start, stranger, capsys, host):
    """Where stages ran on this host, and where nobody knows."""
    if host is not None:
        (tmp_path / "host").write_text(host)
    living, zombie = start("dvc", "repro").pid, start("dvc", "repro")
    zombie.kill()
    wait_for(lambda: psutil.Process(zombie.pid).status() == psutil.STATUS_ZOMBIE)
    zombie, gone = zombie.pid, subprocess.Popen(["true"])
    gone.wait()
    notes = {
        "read": {"a": [note(living), note(zombie)], "b": [note(gone.pid)]},
        "write": {"c": note(living), "d": note(zombie), "e": note(stranger)},
    }
    (tmp_path / "rwlock").write_text(json.dumps(notes))
    unlock.main(tmp_path, tmp_path)
    kept = json.loads((tmp_path / "rwlock").read_text())
    assert kept == {"read": {"a": [note(living)]}, "write": {"c": note(living)}}
    assert "cleared" in capsys.readouterr().out
    unlock.main(tmp_path, tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("notes", [{}, {"read": {}}, {"write": {}}])
def test_what_dvc_leaves_after_an_ordinary_end_stays(tmp_path, notes):
    (tmp_path / "rwlock").write_text(json.dumps(notes))
    unlock.main(tmp_path)
    assert json.loads((tmp_path / "rwlock").read_text()) == notes


@pytest.mark.parametrize("content", [b'{"a": {"b"', b"\xff", b"[]", b'{"a": []}', b'{"a": {"b": {"pid": "1"}}}'])
def test_a_damaged_file_goes(tmp_path, content):
    (tmp_path / "rwlock").write_bytes(content)
    unlock.main(tmp_path)
    assert not (tmp_path / "rwlock").exists()


def test_nothing_is_made_where_dvc_never_was(tmp_path):
    unlock.main(tmp_path / "none")
    assert os.listdir(tmp_path) == []


def test_a_number_of_another_host_s_process_says_nothing(tmp_path, stranger, capsys):
    """Its dvc may live, in a container over the same clone."""
    notes, state = {"write": {"e": note(stranger)}}, tmp_path / "state"
    state.mkdir()
    (tmp_path / "rwlock").write_text(json.dumps(notes))
    (state / "host").write_text(f"{os.uname().nodename}\npid:[1]\n")
    unlock.main(tmp_path, state)
    assert json.loads((tmp_path / "rwlock").read_text()) == notes
    assert capsys.readouterr().out.count("delete it if none is") == 1
    os.utime(tmp_path / "rwlock", (0, 0))
    lock = taken(lock_of(state / "launch"))
    unlock.main(tmp_path, state)
    assert json.loads((tmp_path / "rwlock").read_text()) == notes, "a launch is at work"
    release(lock)
    unlock.main(tmp_path, state)
    assert json.loads((tmp_path / "rwlock").read_text()) == {"write": {}}

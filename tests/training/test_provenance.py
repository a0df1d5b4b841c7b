"""What a record says of how it came about: the code and the clock of its beginning, the instructions of its machine."""

import datetime
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from sagan.store.git import said_by
from sagan.training import provenance as module
from sagan.training.log import StepClock
from sagan.training.provenance import Beginning, provenance

CPU = torch.device("cpu")


class SetBack(datetime.datetime):
    """A clock that was set back by a day."""

    @classmethod
    def now(cls, zone):
        return super().now(zone) - datetime.timedelta(days=1)


def test_nothing_ends_before_it_began(monkeypatch):
    beginning = Beginning()
    with monkeypatch.context() as patch:
        patch.setattr(module.datetime, "datetime", SetBack)
        time.sleep(1.1)
        told = provenance(CPU, beginning)
    assert told["finished"] > told["started"]
    assert datetime.datetime.fromisoformat(told["finished"]) < datetime.datetime.now(datetime.UTC)


def test_the_commit_is_that_of_the_beginning(monkeypatch):
    monkeypatch.setattr(module, "_git", lambda command, *_: "a" if command == "rev-parse" else "")
    beginning = Beginning()
    monkeypatch.setattr(module, "_git", lambda command, *_: "b" if command == "rev-parse" else "M sagan/x.py")
    told = provenance(CPU, beginning)
    assert (told["commit"], told["dirty"]) == ("a", False)


def test_a_commit_that_git_does_not_tell_is_said(monkeypatch, capsys):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert said_by("printenv", "LC_ALL") == "C"  # git's words are translated otherwise
    assert Beginning().commit is None
    assert "records hold no commit" in capsys.readouterr().err


def test_instructions_are_told_with_what_narrows_them(monkeypatch):
    told = provenance(CPU, Beginning())["instructions"]
    assert told["torch"] == torch.backends.cpu.get_cpu_capability() and told["environment"] == {}
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    told = provenance(CPU, Beginning())["instructions"]
    assert told["environment"] == {"MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "AVX2"}


PAUSED = """
import sys, time, torch
from sagan.training.log import StepClock
clock = StepClock(torch.device("cpu"), {})
clock.begin()
print("begun", flush=True)
end = time.process_time() + 0.5
while time.process_time() < end:
    pass
clock.stop()
clock.end()
print(clock.read()["step"], clock.read()["wall"])
"""


def test_a_pause_of_the_process_is_no_time_of_its_steps():
    process = subprocess.Popen([sys.executable, "-c", PAUSED], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(2)
    process.send_signal(signal.SIGCONT)
    step, wall = map(float, process.communicate(timeout=60)[0].split())
    assert step == pytest.approx(0.5, abs=0.3) and wall > 2


def test_the_first_steps_of_each_session_are_left_out(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "process_time", lambda: now[0])
    seconds = {}
    for first in (0, 20):
        clock = StepClock(CPU, seconds)
        for done in (first + 10, first + 20):
            clock.begin()
            now[0] += 30.0 if done == first + 10 else 1.0
            clock.stop()
            clock.waited(done)
            clock.end()
        seconds = clock.read()
    assert (seconds["step"], seconds["steady"], seconds["steady_steps"]) == (62.0, 2.0, 20)

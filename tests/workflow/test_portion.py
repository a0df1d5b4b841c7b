"""A portion's jobs get the threads that they are planned with, and Ctrl-C ends it in a line."""

import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from sagan.plan import Plan
from workflow import portion


@pytest.fixture
def here(paths, monkeypatch):
    monkeypatch.setattr(portion, "PATHS", paths)


def test_a_job_has_the_threads_of_its_plan(with_training, here, paths, monkeypatch):
    run, given = with_training(threads=3), []

    def started(command, env, **_):
        given.append({name: env[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})
        return SimpleNamespace(poll=lambda: 0, returncode=0)

    monkeypatch.setattr(portion.subprocess, "Popen", started)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    portion.work(Plan({run.key: run}, {}, {}, {}), paths.plan("0"), 1, time.monotonic() + 60)
    assert [set(threads.values()) for threads in given] == [{"3"}]


def test_an_interrupted_portion_stops_its_jobs(with_training, here, paths, monkeypatch):
    run = with_training()
    job = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(portion, "start", lambda *_: job)
    monkeypatch.setattr(portion, "time", SimpleNamespace(sleep=interrupted, monotonic=time.monotonic))
    with pytest.raises(KeyboardInterrupt):
        portion.work(Plan({}, {run.key: run}, {}, {}), paths.root / "plan.json", 1, time.monotonic() + 60)
    assert job.poll() == -signal.SIGTERM


def test_ctrl_c_is_a_line_and_no_traceback(here, paths, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(portion, "load_params", lambda _: None)
    monkeypatch.setattr(portion, "planned", lambda *_: Plan({}, {}, {}, {}))
    monkeypatch.setattr(portion, "work", interrupted)
    out = str(paths.root / "packed")
    monkeypatch.setattr(sys, "argv", ["portion", "--suite", "quick", "--minutes", "9", "--out", out])
    assert portion.main() == 130
    assert capsys.readouterr().err == "sagan: stopped\n"

"""What a launch refuses before it starts, notices while it runs, and stops."""

import math
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sagan.code import fingerprint
from sagan.errors import UserError
from sagan.plan import Cell, Evaluation, Plan
from sagan.training.loop import Data, train
from tests import edit, varied
from tests.made_up import small_suite, write_manifest
from workflow import launch
from workflow.jobs import Jobs, environment
from workflow.launch import check_threads


@pytest.mark.parametrize(("section", "training", "evaluation"), [("training", 64, 1), ("evaluation", 1, 64)])
def test_more_threads_than_cores_are_refused(run, monkeypatch, section, training, evaluation):
    run = varied(run, {"threads": training})
    measured = Evaluation("e", run.key, "r", {"threads": evaluation}, "c" * 64, run.execution)
    plan = Plan({run.key: run}, {}, {"e": measured}, {"quick": [Cell(run.variant, run.seed, run.key, "e")]})
    with pytest.raises(UserError, match=rf"suites\.quick\.{section}\.threads = 64: this launch may use 2 cores"):
        check_threads(plan, 2)
    check_threads(plan, 64)
    monkeypatch.setattr(launch, "missing", lambda *_: [])
    check_threads(plan, 2)  # brought from a larger machine, with nothing to make


def test_a_profile_says_where_jobs_run_and_how_long_a_batch_may_be():
    profiles = Path(launch.__file__).parent / "profiles"
    assert launch.read_profile(profiles / "default") == (True, launch.MOST_SECONDS)
    assert launch.read_profile(profiles / "slurm") == (False, 3600.0)
    with pytest.raises(UserError, match="no such profile"):
        launch.read_profile(profiles / "nowhere")


@pytest.mark.parametrize("text", ["jobs:\t3\n\tx: 1", "- a", "config: [1]", "config: {batch_minutes: long}", "\xff"])
def test_a_slip_in_a_profile_is_one_line_with_its_name(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"/config\.yaml: is no profile, see workflow/profiles: .*$"):
        launch.read_profile(tmp_path)


@pytest.mark.parametrize("option", ["--cores 0", "--minutes nan", "--minutes -1", "--minutes 0.1", "--light"])
def test_options_that_make_no_sense_are_one_line(monkeypatch, capsys, option):
    monkeypatch.setattr("sys.argv", ["launch", *option.split()])
    assert launch.main() == 2
    assert capsys.readouterr().err.startswith(f"sagan: {option}: ")


DECAY = ("sagan/training/ema.py", "1.0 - self.decay")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [(*DECAY, "2.0 - self.decay"), (*DECAY, "1.0 - self."), ("params.yaml", "seeds: 1", "seeds: 2")],
)
def test_what_is_edited_during_the_last_batches_is_noticed(paths, package, monkeypatch, capsys, name, old, new):
    """DVC would tie the results to it."""
    paths.params.write_text(small_suite("", "sagan", "digits"))
    write_manifest(paths, "strokes")
    monkeypatch.setattr(launch, "PATHS", paths)
    monkeypatch.setattr("sys.argv", ["launch", "--profile", str(Path(launch.__file__).parent / "profiles/default")])
    monkeypatch.setitem(fingerprint.code_of.__kwdefaults__, "package", package)
    monkeypatch.setattr(launch, "made", lambda *_: edit(paths.root / name, old, new) or 0)
    assert launch.main() == 1 and "params.yaml or the code changed while this ran" in capsys.readouterr().out
    edit(paths.root / name, new, old)
    fingerprint.code_base.cache_clear()  # as of another process
    monkeypatch.setattr(launch, "made", lambda *_: 0)
    assert launch.main() == 0


def test_logs_of_an_earlier_launch_tell_nothing_of_this_one(run, paths, images, monkeypatch, capsys):
    """That of a killed measurement lies under the name of its run, which is there."""
    measured = Evaluation("e", run.key, "r", {"threads": 1}, "c" * 64, run.execution)
    train(run, Data(images), paths)
    paths.log(run.key).parent.mkdir(parents=True)
    paths.log(run.key).write_text("make left with exit code 137\n")
    monkeypatch.setattr(launch, "PATHS", paths)
    monkeypatch.setattr(launch, "load_params", lambda _: SimpleNamespace(tracking=SimpleNamespace(live=False)))
    monkeypatch.setattr(Jobs, "run", lambda jobs, *_: jobs.paths.log("snakemake").write_text("no room"))
    launch.made(Plan({run.key: run}, {}, {"e": measured}, {}), Path(), 1, 600.0, math.inf)
    assert "0 failed, 1 jobs not done" in capsys.readouterr().out


# In Snakemake's place: it starts a job, and only the launch hears Ctrl-C.
SNAKEMAKE = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: None)
job = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)", "sagan", "make"])
os.kill(os.getppid(), signal.SIGINT)
sys.exit(-job.wait())
"""


def test_a_sigint_to_the_launch_alone_stops_its_jobs(paths, monkeypatch, capsys):
    monkeypatch.setattr("workflow.jobs._DEAF", (sys.executable, "-c", SNAKEMAKE))
    paths.log("snakemake").parent.mkdir(parents=True)
    before, jobs = signal.signal(signal.SIGINT, signal.default_int_handler), Jobs([], paths)
    try:
        assert jobs.run(paths.plan("p"), Path("profile"), 1, 0, math.inf) == signal.SIGTERM
    finally:
        signal.signal(signal.SIGINT, before)
    assert jobs.was_stopped and "stopping: waiting for trainings" in capsys.readouterr().err


def test_jobs_of_a_user_whom_the_system_does_not_know_are_at_home_in_the_clone(paths, monkeypatch):
    """As in a container that runs as any number: Python's caches ask for a home, PyTorch's for a name."""
    for name in ("HOME", "USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    told, state = environment(paths), paths.root.resolve() / "state"
    assert (told["HOME"], told["USER"]) == (str(state / "cache"), "54321")
    assert {told["XDG_CACHE_HOME"], told["TMPDIR"]} == {str(state / "cache"), str(state / "tmp")}
    assert "PYTHONSAFEPATH" not in told

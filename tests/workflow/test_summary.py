"""The last lines of a launch: what was stopped has not failed, and what failed says why."""

import dataclasses

import pytest

from sagan.plan import Evaluation, Plan
from sagan.training.loop import Data, train
from workflow.batches import Batch
from workflow.jobs import Jobs
from workflow.progress import summary


@pytest.fixture
def jobs(run, paths):
    return Jobs([Batch([run.key], 1, 0)], paths)


@pytest.fixture
def plan(run):
    return Plan({run.key: run}, {}, {}, {})


def note(run, paths, text):
    log = paths.log(run.key)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)


@pytest.mark.parametrize(
    ("code", "stopped"), [(75, True), (143, True), (130, True), (129, True), (2, False), (1, False)]
)
def test_what_a_signal_stopped_is_told_from_what_failed(run, plan, paths, jobs, capsys, code, stopped):
    note(run, paths, f"boom\nmake left with exit code {code}\n")
    assert summary(plan, paths, jobs, status=1) == 1
    printed = capsys.readouterr().out
    said = "0 failed, 1 stopped by a signal, 1 jobs not done" if stopped else "1 failed, 1 jobs not done"
    assert said in printed and "`dvc repro` goes on from here" in printed
    assert ("boom" in printed) != stopped
    assert (f"stopped: {run.key}, which begins anew" in printed) == stopped
    assert "Snakemake left with status" not in printed


def test_of_a_measurement_whose_process_was_killed_the_run_s_log_tells(run, paths, jobs, images, capsys):
    measured = Evaluation("e", run.key, "r", {"threads": 1}, "c" * 64, run.execution)
    plan = Plan({run.key: run}, {}, {"e": measured}, {})
    train(run, Data(images), paths)
    note(run, paths, "at step 3\nmake left with exit code 143\n")
    assert summary(plan, paths, jobs, status=0) == 1
    assert "  stopped: e\n" in capsys.readouterr().out, "it keeps finished parts"
    note(run, paths, "at step 3\nmake left with exit code 137\n")
    assert summary(plan, paths, jobs, status=0) == 1
    printed = capsys.readouterr().out
    assert "1 finished, 0 diverged, 1 failed, 1 jobs not done" in printed and "failed: e, log" in printed
    assert "at step 3" in printed and "exit code 137" in printed


@pytest.mark.parametrize("where", ["batch", "snakemake"])
def test_where_no_job_says_why_the_last_that_was_written_does(plan, paths, jobs, capsys, where):
    log = jobs.folder / "0000.log" if where == "batch" else paths.log("snakemake")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("PermissionError: /home/nobody\n")
    summary(plan, paths, jobs, status=3)
    printed = capsys.readouterr().out
    assert "Snakemake left with status 3" in printed
    assert f"{log}, which ends:\n    PermissionError: /home/nobody" in printed


def test_a_whole_record_is_success_however_its_process_left(run, plan, paths, jobs, images, capsys):
    train(run, Data(images), paths)
    (jobs.folder / "0000.log").write_text("Segmentation fault\nmake left with exit code 139\n")
    assert summary(plan, paths, jobs, status=1) == 0
    assert "1 finished, 0 diverged, 0 failed, 0 jobs not done" in capsys.readouterr().out


def test_what_a_time_limit_stopped_is_in_order(run, plan, paths, jobs):
    note(run, paths, "stopped\nmake left with exit code 75\n")
    jobs.was_stopped = True
    assert summary(plan, paths, jobs, 1) == 1, "a signal stopped it"
    jobs.is_over = True
    assert summary(plan, paths, jobs, 1) == 0
    other = dataclasses.replace(run, key="other-s0-0123456789")
    note(other, paths, "boom\nmake left with exit code 1\n")
    assert summary(Plan({run.key: run, other.key: other}, {}, {}, {}), paths, jobs, 1) == 1

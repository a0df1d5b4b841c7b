"""The last lines of a launch: what was stopped has not failed."""

import pytest

from sagan.plan import Plan
from workflow.summary import summary


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (75, "0 failed, 1 stopped by a signal, 1 jobs not done"),
        (143, "0 failed, 1 stopped by a signal, 1 jobs not done"),
        (130, "0 failed, 1 stopped by a signal, 1 jobs not done"),
        (137, "1 failed, 1 jobs not done"),
        (1, "1 failed, 1 jobs not done"),
    ],
)
def test_what_a_signal_stopped_is_told_from_what_failed(run, paths, capsys, code, said):
    log = paths.root / "state" / "logs" / f"{run.key}.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"boom\ntrain left with exit code {code}\n")
    assert summary(Plan({run.key: run}, {}, {}, {}), paths, status=1, before={}) == 1
    printed = capsys.readouterr().out
    assert said in printed and "`dvc repro` goes on from here" in printed
    assert ("boom" in printed) == ("1 failed" in printed)
    assert (f"stopped: {run.key}, which begins anew" in printed) == ("1 stopped" in printed)
    assert "Snakemake left with status" not in printed


def test_a_job_that_never_began_points_to_snakemakes_log(run, paths, capsys):
    summary(Plan({run.key: run}, {}, {}, {}), paths, status=3, before={})
    assert "0 failed, 1 jobs not done\n  Snakemake left with status 3" in capsys.readouterr().out

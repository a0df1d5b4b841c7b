"""The reports that experiments leave."""

import pytest

from sagan.errors import UserError
from sagan.store.paths import Paths, experiment_paths, leave_for_workspace


def write(paths, text):
    for folder in (paths.report("quick"), paths.pages("quick")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.txt").write_text(text)


def test_an_experiments_report_is_left_in_the_workspace(tmp_path, monkeypatch):
    workspace, copy = Paths(tmp_path), Paths(tmp_path / ".dvc/tmp/exps/tmpabc")
    write(workspace, "here")
    write(copy, "there")
    monkeypatch.setenv("DVC_EXP_NAME", "wide")
    assert leave_for_workspace(["quick"], workspace) is None
    left = leave_for_workspace(["quick"], copy)
    assert left == experiment_paths("wide", workspace)
    assert (left.report("quick") / "report.txt").read_text() == "there"
    assert (left.pages("quick") / "report.txt").read_text() == "there"
    assert (workspace.report("quick") / "report.txt").read_text() == "here"
    with pytest.raises(UserError, match=r"wid: no experiment .*did you mean 'wide'"):
        experiment_paths("wid", workspace)

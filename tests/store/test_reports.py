"""Where reports lie and what they answer, as the terminal shows it."""

import pytest

from sagan.errors import UserError
from sagan.store.paths import Paths
from sagan.store.reports import answers, experiment_paths, leave_for_workspace, whereabouts

README = """# A title

mnist5k, 2 variants; lower FID is better.

- **Attention: helps.** FID 1.58 lower *(a against [b](c.md))*, snake\\_case
- Fewer than four seeds.

<picture>

- not an answer

## Results

- nor this
"""


def write(paths, suite="quick", readme=README):
    for path, text in ((paths.report(suite) / "README.md", readme), (paths.pages(suite) / "report.html", "<html>")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_answers_are_the_points_that_a_report_opens_with():
    assert answers(README) == [
        "- Attention: helps. FID 1.58 lower (a against b), snake_case",
        "- Fewer than four seeds.",
    ]


def test_pages_are_links_that_a_terminal_opens(tmp_path):
    write(Paths(tmp_path))
    lines = whereabouts(["quick", "other"], Paths(tmp_path), is_terminal=False)
    assert lines[0] == "quick:" and "  - Fewer than four seeds." in lines
    assert f"  report.html   file://{tmp_path}/pages/quick/report.html" in lines
    assert not any("explorer.html" in line or "\033" in line for line in lines)
    assert lines[-1] == "other: no report yet; `make repro` makes it"
    shown = whereabouts(["quick"], Paths(tmp_path), is_terminal=True)
    assert any(f"\033]8;;file://{tmp_path}/pages/quick/report.html\033\\" in line for line in shown)


def test_an_experiments_report_is_left_in_the_workspace(tmp_path, monkeypatch):
    workspace, copy = Paths(tmp_path), Paths(tmp_path / ".dvc/tmp/exps/tmpabc")
    write(workspace)
    write(copy, readme=README.replace("1.58", "2.00"))
    monkeypatch.setenv("DVC_EXP_NAME", "wide")
    assert leave_for_workspace(["quick"], workspace) is None
    left = leave_for_workspace(["quick"], copy)
    assert left == experiment_paths("wide", workspace)
    assert any("FID 2.00" in line for line in whereabouts(["quick"], left, is_terminal=False))
    assert any("FID 1.58" in line for line in whereabouts(["quick"], workspace, is_terminal=False))
    with pytest.raises(UserError, match=r"wid: no experiment .*did you mean 'wide'"):
        experiment_paths("wid", workspace)

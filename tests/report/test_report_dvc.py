"""The real DVC reads what a report writes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sagan.report

DVC_YAML = """
metrics: [summary.json]
plots:
  - curves.csv: {x: step, y: fid, template: fid-curves.json}
  - answers.png
"""


@pytest.fixture
def dvc(rendered, tmp_path, monkeypatch):
    """A function that runs DVC in a fresh repository that holds the made-up report."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    for name in ("summary.json", "curves.csv", "figures/answers.png"):
        shutil.copy(rendered("factorial") / name, tmp_path)
    shutil.copy(Path(sagan.report.__file__).parent / "templates" / "fid-curves.json", tmp_path)
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)

    def run(*arguments):
        command = [sys.executable, "-m", "dvc", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    run("init", "--no-scm", "--quiet")
    return run


def test_metrics_and_plots_are_read(dvc, tmp_path):
    shown = json.loads(dvc("metrics", "show", "--json"))
    assert shown[""]["data"]["summary.json"]["data"]["runs.measured"] == 16
    dvc("plots", "show")
    page = (tmp_path / "dvc_plots" / "index.html").read_text()
    assert '"field": "variant"' in page
    assert "grid-off-d" in page and 'answers.png"' in page
    assert "<DVC_" not in page

"""What DVC's cache lacks is said after `dvc repro`, which does not say it."""

import os
import shutil
import subprocess
import sys

import pytest

from workflow import around

STAGES = """
stages:
  make:
    cmd: mkdir -p results && echo one > results/a && echo two > results/b && echo three > plain
    outs:
      - results
      - plain: {cache: false}
"""


@pytest.fixture
def reproduced(tmp_path):
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    (tmp_path / "dvc.yaml").write_text(STAGES)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    for command in (["init", "--quiet"], ["repro", "--quiet"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=tmp_path, env=environment, check=True)
    return tmp_path


def test_a_whole_cache_is_no_word(reproduced, capsys):
    assert around.after(reproduced) == 0
    assert capsys.readouterr().err == ""


def test_files_that_are_lacking_are_counted(reproduced, capsys):
    [lost, *_] = (path for path in (reproduced / ".dvc/cache/files/md5").glob("*/*") if path.suffix != ".dir")
    lost.unlink()
    assert around.after(reproduced) == 2
    assert "lacks 1 of the files" in capsys.readouterr().err
    shutil.rmtree(reproduced / ".dvc/cache")
    assert around.after(reproduced) == 2

"""The interpreter of the stages: the clone's own, never one that lies somewhere above it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "workflow" / "python"


@pytest.fixture
def said_by(tmp_path):
    """What the interpreter that is found in a folder says; each says its own name."""

    def interpreter(path, name):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{name} ${{PYTHONSAFEPATH-none}} $*"\n')
        path.chmod(0o755)

    interpreter(tmp_path / "bin" / "python3", "active")
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONSAFEPATH": "1"}

    def said(folder, *venvs):
        folder.mkdir(parents=True, exist_ok=True)
        for place in venvs:
            interpreter(place / ".venv" / "bin" / "python", place.name)
        (folder / "workflow").mkdir(exist_ok=True)
        shutil.copy(SCRIPT, folder / "workflow" / "python")
        command = ["workflow/python", "-m", "x"]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout

    return said


def test_the_clone_s_own_or_the_active_one_and_none_above(said_by, tmp_path):
    above, clone = tmp_path / "above", tmp_path / "above" / "a b'c;d%e"
    assert said_by(clone, above) == "active none -m x\n"
    assert said_by(clone, clone) == "a b'c;d%e none -m x\n"


def test_a_copy_that_dvc_made_uses_the_workspace_s(said_by, tmp_path):
    workspace = tmp_path / "workspace"
    assert said_by(workspace / ".dvc" / "tmp" / "exps" / "tmpabc", workspace) == "workspace none -m x\n"

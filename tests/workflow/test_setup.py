"""`make setup`: a virtual environment that is not whole is made anew."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workflow.install import locked

VENV = Path(__file__).parents[2] / "workflow" / "venv"
# A stand-in for an interpreter: new enough or not, it makes environments that hold itself and answers for their pip.
PYTHON = """#!/bin/sh
case "$1 $2" in
    "-c "*) exit {old} ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo made ;;
    "-m pip") exit 0 ;;
esac
"""


@pytest.fixture
def make(tmp_path):
    def make(old=0, python="python3"):
        stand_in = tmp_path / "bin" / "python3"
        stand_in.parent.mkdir(exist_ok=True)
        stand_in.write_text(PYTHON.format(old=old))
        stand_in.chmod(0o755)
        environment = os.environ | {"PATH": f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            ["sh", VENV, python, ".venv"], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        return done.returncode, done.stdout, done.stderr

    return make


def test_a_whole_environment_is_left_as_it_is(make):
    assert make() == (0, "made\n", "")
    assert make() == (0, "", "")


@pytest.mark.parametrize("broken", ["a link to nowhere", "no interpreter", "a killed installation"])
def test_an_environment_that_is_not_whole_is_made_anew(make, tmp_path, broken):
    venv, said = tmp_path / ".venv", ".venv: is broken"
    if broken == "a link to nowhere":
        venv.symlink_to(tmp_path / "nowhere")
    else:
        make()
        if broken == "no interpreter":
            (venv / "bin/python").unlink()
        else:
            (venv / ".installing").touch()
            said = ".venv: its installation was interrupted"
    assert make() == (0, f"{said}; it is made anew\nmade\n", "")
    assert not venv.is_symlink() and make() == (0, "", "")


def test_an_environment_that_another_process_installs_into_is_left_alone(make, tmp_path):
    make()
    (tmp_path / ".venv/.installing").write_text(str(os.getpid()))
    code, said, error = make()
    assert (code, said, error.count("\n")) == (2, "", 1) and f"process {os.getpid()} seems to be installing" in error


def test_a_link_to_an_environment_is_used_and_stays(make, tmp_path):
    make()
    (tmp_path / ".venv").rename(tmp_path / "elsewhere")
    (tmp_path / ".venv").symlink_to(tmp_path / "elsewhere")
    code, said, _ = make()
    assert code == 0 and "is a link" in said and (tmp_path / ".venv").is_symlink()


def test_an_old_python_and_a_missing_one_are_told_apart(make):
    code, _, error = make(old=1)
    assert code == 2 and "python3: is older than Python 3.11" in error and error.count("\n") == 1
    code, _, error = make(python="nonesuch")
    assert code == 2 and "nonesuch: not found" in error and error.count("\n") == 1


def test_the_command_works_below_the_clone_and_says_what_is_missing_outside_and_in_another(tmp_path):
    root = Path(__file__).parents[2]
    (tmp_path / "clone/deep/down").mkdir(parents=True)
    (tmp_path / "clone/params.yaml").write_bytes((root / "params.yaml").read_bytes())

    def describe(folder):
        command = [sys.executable, "-c", "from sagan.cli import main; main()", "describe", "sagan"]
        environment = os.environ | {"PYTHONPATH": str(root)}
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    assert describe(tmp_path / "clone/deep/down").stdout.startswith("sagan: ")
    outside = describe(tmp_path)
    assert outside.returncode == 2 and outside.stderr.count("\n") == 1 and "inside a clone" in outside.stderr
    (tmp_path / "clone/sagan").mkdir()
    (tmp_path / "clone/sagan/__init__.py").touch()
    other = describe(tmp_path / "clone/deep")
    assert other.returncode == 2 and other.stderr.count("\n") == 1 and str(root) in other.stderr
    assert "this clone has code of its own" in other.stderr and "make setup" in other.stderr


def test_the_lock_tells_one_package_with_its_hashes():
    """Packages of source archives are built with it, fetched by its hash."""
    lines = locked("setuptools").splitlines()
    assert lines[0].startswith("setuptools==") and len(lines) > 1
    assert all(line.strip().startswith("--hash=sha256:") for line in lines[1:])

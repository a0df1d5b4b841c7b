"""Wording moves no key; arithmetic does."""

import shutil
import subprocess
import sys

import pytest

from sagan import fingerprint
from sagan.fingerprint import PACKAGE, TRAINING, code_fingerprint


@pytest.fixture
def package(tmp_path):
    """A copy of the package whose files a test may edit."""
    target = tmp_path / "sagan"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def edited(package, name, old, new):
    file = package / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    code_fingerprint.cache_clear()
    return code_fingerprint(TRAINING, package)


def test_comments_docstrings_and_layout_change_nothing(package):
    before = code_fingerprint(TRAINING, package)
    ema = (package / "training" / "ema.py").read_text()
    (package / "training" / "ema.py").write_text(f"# a comment\n\n{ema}")
    assert edited(package, "training/ema.py", '"""The exponential', '"""An exponential') == before
    assert edited(package, "training/ema.py", "1.0 - self.decay", "(1.0   -   self.decay)") == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("training/ema.py", "1.0 - self.decay", "1.1 - self.decay"),
        ("objectives.py", "F.relu(1 - real)", "F.relu(1 + real)"),
        ("nn/attention.py", "self.gamma *", "2 * self.gamma *"),
        ("training/batches.py", "div_(127.5)", "div_(128.0)"),
    ],
)
def test_arithmetic_changes_it(package, name, old, new):
    assert edited(package, name, old, new) != code_fingerprint(TRAINING)


def test_modules_that_cannot_change_a_number_do_not_count(package):
    before = code_fingerprint(TRAINING, package)
    for name in fingerprint._NOT_NUMBERS:
        with (package / name).open("a") as file:
            file.write("\nX = 1\n")
    code_fingerprint.cache_clear()
    assert code_fingerprint(TRAINING, package) == before


def test_a_moved_or_renamed_module_counts(package):
    before = code_fingerprint(TRAINING, package)
    (package / "nn" / "dcgan.py").rename(package / "nn" / "dcgan2.py")
    code_fingerprint.cache_clear()
    assert code_fingerprint(TRAINING, package) != before


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_python_gives_the_same(version):
    """A run trained on a machine with another Python keeps its key."""
    program = (
        "import importlib.util as u, pathlib, sys; s = u.spec_from_file_location('f', sys.argv[1]);"
        "m = u.module_from_spec(s); s.loader.exec_module(m); print(m.code_fingerprint(m.TRAINING))"
    )
    python = shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"no Python {version} on this machine")
    command = [python, "-c", program, str(PACKAGE / "fingerprint.py")]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert there == code_fingerprint(TRAINING)
    assert sys.version_info >= (3, 11)

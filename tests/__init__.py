"""The tests mirror the package; what several rooms share is imported from here."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from sagan.code.fingerprint import PACKAGE
from sagan.plan import Run


def read_lines(path: Path) -> list[dict]:
    """The complete lines of a log as they were written."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []


def flip_a_bit(path: Path, at: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def edit(file: Path, old: str, new: str) -> None:
    """Replace a text that a file is known to hold, where it stands first."""
    text = file.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {file}"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def varied(run: Run, training: dict | None = None, image: dict | None = None, **variant: object) -> Run:
    """A run with some settings of its training, its images and its variant replaced."""
    changes = {"training": training or {}, "image": image or {}, "variant": variant}
    return dataclasses.replace(run, config=run.config | {name: run.config[name] | new for name, new in changes.items()})


def wait_for(found, process=None, seconds: float = 120, pause: float = 0.05):
    """The first true answer; a process that ends before there is one is a failure."""
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert process is None or process.poll() is None, f"left with {process.returncode}"
        assert time.monotonic() < deadline, f"waited {seconds} s"
        time.sleep(pause)
    return answer


def commit(folder: Path) -> None:
    """Commit all that a folder holds, as its repository's first commit or a further one."""
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "made"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True, capture_output=True)


def sagan(*arguments: object, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """A verb of this checkout, carried out in a folder by a process of its own."""
    command = [sys.executable, "-m", "sagan", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent), "COLUMNS": "100"} | environment
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

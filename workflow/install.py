"""Install the locked packages into the environment that runs this, then the project itself; a line now and then.

    .venv/bin/python -m workflow.install        # `make setup` does

It needs nothing but the standard library. A file `.installing` in the environment marks an installation that has not
come to its end.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

LOCK = Path("requirements.lock")
_INTERVAL_TERMINAL, _INTERVAL_PLAIN = 1.0, 20.0
_PIP = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check")
_SHOWN_LINES = 15


class Progress:
    """How far pip is, by its own lines."""

    def __init__(self, total: int) -> None:
        self._total, self._seen, self._doing = total, 0, "looking at what is there"

    def read(self, line: str) -> None:
        if line.startswith("Ignoring "):
            self._total -= 1
        elif found := re.match(r"(?:Collecting|Processing|Requirement already satisfied:) (?:\S*/)?([\w.-]+)", line):
            self._seen, self._doing = self._seen + 1, found[1]
        elif found := re.match(r"\s+(?:Downloading|Using cached) \S*?([^\s/]+\.(?:whl|tar\.gz)) \((.*)\)", line):
            self._doing = f"{found[1].split('-')[0]}, {found[2]}"
        elif line.startswith("Installing collected packages"):
            self._doing = "all fetched, now unpacked"

    def __str__(self) -> str:
        return f"setup: {min(self._seen, self._total)} of {self._total} packages; {self._doing}"


def main() -> int:
    mark = Path(sys.prefix) / ".installing"
    mark.touch()
    print(f"Installing the locked packages into {Path(sys.prefix).name} (torch among them: some GB)", flush=True)
    total = len(re.findall(r"^[\w.-]+(?:\[[^\]]*\])?==", LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    # Two packages have source archives alone. They are built with the locked setuptools, whose hash is checked too,
    # and not with what pip would fetch for it.
    arguments = ["--progress-bar", "off", "--require-hashes", "--no-build-isolation", "-r"]
    with tempfile.TemporaryDirectory() as folder:
        builder = Path(folder) / "setuptools.txt"
        builder.write_text(locked("setuptools"), encoding="utf-8")
        status = _pip([*arguments, str(builder)], Progress(1)) or _pip([*arguments, str(LOCK)], Progress(total))
    own = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--editable", "."]
    status = status or subprocess.run([*_PIP, *own]).returncode
    # Only an installation that was killed leaves half of a package behind.
    mark.unlink()
    if status:
        print("setup: not finished; mend what pip says and run `make setup` again", file=sys.stderr)
    return 2 if status else 0


def locked(package: str) -> str:
    """What the lock says of a package: its version and hashes."""
    return re.search(rf"^{package}==.*?(?=^\S|\Z)", LOCK.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[0]


def _pip(arguments: list[str], progress: Progress) -> int:
    """Run pip and show how far it is; where it fails, its last lines. Returns its exit status."""
    lines: list[str] = []
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(progress, done), daemon=True)
    with subprocess.Popen(
        [*_PIP, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    ) as pip:
        watcher.start()
        for line in pip.stdout:
            lines.append(line)
            progress.read(line)
    done.set()
    watcher.join()
    if pip.returncode:
        print("".join(lines[-_SHOWN_LINES:]), end="", file=sys.stderr)
    return pip.returncode


def _watch(progress: Progress, done: threading.Event) -> None:
    terminal = sys.stdout.isatty()
    while not done.wait(_INTERVAL_TERMINAL if terminal else _INTERVAL_PLAIN):
        print(f"\r\033[K{progress}" if terminal else progress, end="" if terminal else "\n", flush=True)
    if terminal:
        print("\r\033[K", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())

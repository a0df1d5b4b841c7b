"""Install the locked packages into the environment that runs this, then the project: by the standard library alone.

`make setup` calls it: .venv/bin/python -m workflow.install
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path("requirements.lock")


def main() -> int:
    mark = Path(sys.prefix) / ".installing"  # for workflow/venv
    mark.write_text(str(os.getpid()), encoding="utf-8")
    print(f"Installing the locked packages into {Path(sys.prefix).name} (torch among them: some GB)", flush=True)
    # Two packages have source archives alone. They are built with the locked setuptools, whose hash is checked too,
    # and not with what pip would fetch for it.
    with tempfile.TemporaryDirectory() as folder:
        builder = Path(folder) / "setuptools.txt"
        builder.write_text(locked("setuptools"), encoding="utf-8")
        done = all(_pip("--require-hashes", "--requirement", str(file)) for file in (builder, LOCK))
    done = done and _pip("--quiet", "--no-index", "--no-deps", "--editable", ".")
    # Only an installation that was killed leaves half of a package behind.
    mark.unlink(missing_ok=True)
    if not done:
        print("setup: not finished; mend what pip says and run `make setup` again", file=sys.stderr)
    return 0 if done else 2


def locked(package: str) -> str:
    """What the lock says of a package: its version and hashes."""
    return re.search(rf"^{package}==.*?(?=^\S|\Z)", LOCK.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[0]


def _pip(*arguments: str) -> bool:
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-build-isolation"]
    return subprocess.run([*command, *arguments]).returncode == 0


if __name__ == "__main__":
    sys.exit(main())

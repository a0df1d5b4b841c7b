"""`python -m sagan VERB`: options, no logic. Verbs import heavy libraries late: `--help` and `plan` answer at once."""

from sagan.cli import making, showing  # noqa: F401 (their verbs join the program)
from sagan.cli.app import app, main

__all__ = ["app", "main"]

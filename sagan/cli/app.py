"""The command line's frame: the program, its shared options, and how a mistake ends."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

from sagan.errors import UserError
from sagan.paths import Paths

app = typer.Typer(
    help="A reproducible benchmark for small GANs. `dvc repro` calls these verbs; each works by itself too.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

# No room, or no right to write.
_MENDABLE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)

PATHS = Paths()
SuiteOption = Annotated[
    list[str] | None,
    typer.Option("--suite", help="A suite of params.yaml; may be repeated. Default: those under repro."),
]
PlanOption = Annotated[
    Path | None, typer.Option("--plan", help="A plan file made by `plan --out`. Default: plan from params.yaml.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


def main() -> None:
    """Run the command line; what a user can cause and mend ends in one line and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"sagan: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in _MENDABLE:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"sagan: {place}{error.strerror}; mend that and run again: what is done stays", file=sys.stderr)
        sys.exit(2)

"""The command line's frame: the program, its shared options, and how a mistake ends."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from sagan.code.fingerprint import PACKAGE
from sagan.errors import UserError, said
from sagan.names import speak_any_locale
from sagan.store.paths import Paths


def clone_root() -> Path:
    """The nearest folder at or above this one that holds a params.yaml; this one where there is none."""
    here = Path.cwd()
    found = next((folder for folder in (here, *here.parents) if (folder / "params.yaml").is_file()), here)
    return Path(os.path.relpath(found))


app = typer.Typer(
    help="A reproducible benchmark for small GANs. `dvc repro` calls these verbs; each works by itself too.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

PATHS = Paths(clone_root())
SuiteOption = Annotated[
    list[str] | None,
    typer.Option("--suite", help="A suite of params.yaml; may be repeated. Default: those under repro."),
]
PlanOption = Annotated[
    Path | None, typer.Option("--plan", help="A plan file made by `plan --out`. Default: plan from params.yaml.")
]
TrustOption = Annotated[
    bool, typer.Option("--trust", help="Execute the own code that came with a copied run. Read it first.")
]


def show(lines: Iterable[object]) -> None:
    """Print each line as soon as it is known."""
    for line in lines:
        print(line)


def main() -> None:
    """Run the command line; what a user can cause and mend ends in one line and exit code 2."""
    speak_any_locale()
    here = PATHS.root / "sagan"
    if (here / "__init__.py").exists() and here.resolve() != PACKAGE.resolve():
        clone = PACKAGE.parent
        print(
            f"sagan: this clone has code of its own, and the command is that of {clone}; say `make setup` here, and "
            "`.venv/bin/sagan` or `python -m sagan`",
            file=sys.stderr,
        )
        sys.exit(2)
    try:
        app()
    except (UserError, OSError) as error:
        sys.exit(said(error))

"""Own code as a variant: the file that an extension names, checked, loaded, and kept with a run. Without torch.

A file in `extensions/` defines some of `FUNCTIONS`. It is read as text to plan with, and executed only to train, or
to load what it has trained.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from sagan.errors import UserError, first_line, meant
from sagan.paths import Paths

# What a file may define, each with the names of its arguments.
FUNCTIONS = {
    "build_generator": ("image", "switches", "options"),
    "build_discriminator": ("image", "switches", "options"),
    "discriminator_loss": ("logits_real", "logits_fake", "options"),
    "generator_loss": ("logits_real", "logits_fake", "options"),
    "penalty": ("critic", "real", "fake", "options"),
    "generator_penalty": ("generator", "fake", "options"),
}
_MAIN = "main.py"  # what the file is called in a run's folder; modules that it imports keep their names


class OwnCodeError(UserError):
    """An exception inside a user's code, told by the user's own lines."""


def check_extension(file: Path, place: str) -> None:
    """Refuse a file that cannot be an extension, as far as reading it shows.

    Args:
        place: the key path of params.yaml that names it.

    Raises:
        UserError: it is not there, is no Python, or defines a function that is none of `FUNCTIONS`.
    """
    tree = _parsed(file, place)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for name, node in functions.items():
        at = f"{place} = {file.as_posix()!r}, line {node.lineno}: {name}"
        if name not in FUNCTIONS and not name.startswith("_") and (close := meant(name, FUNCTIONS)):
            raise UserError(f"{at} is nothing that an extension defines{close}")
        if name in FUNCTIONS and _accepts(node.args) != len(FUNCTIONS[name]) and node.args.vararg is None:
            raise UserError(f"{at} must take {len(FUNCTIONS[name])} arguments: {', '.join(FUNCTIONS[name])}")
    if not functions.keys() & FUNCTIONS.keys():
        raise UserError(f"{place} = {file.as_posix()!r}: defines none of {', '.join(FUNCTIONS)}")
    for source in sources(file, place):
        _parsed(source, place)


def _accepts(arguments: ast.arguments) -> int:
    return len(arguments.posonlyargs) + len(arguments.args)


def _parsed(file: Path, place: str) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{place} = {file.as_posix()!r}: no such file; it belongs beside params.yaml") from None
    except (OSError, SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise UserError(f"{place} = {file.as_posix()!r}{line}: not Python: {first_line(error)}") from None


def sources(file: Path, place: str = "extension") -> list[Path]:
    """The file, and the modules of its folder that it imports, directly or not."""
    found, todo = [], [file]
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.append(path)
        for node in ast.walk(_parsed(path, place)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                if node.level:
                    raise UserError(f"{path}, line {node.lineno}: write `from module import ...`, without dots")
                names = [node.module]
            todo += [local for name in names if (local := file.parent / f"{name.partition('.')[0]}.py").exists()]
    return [file, *sorted(set(found) - {file})]


def load_extension(file: Path) -> ModuleType:
    """Execute a file as a module; its folder's modules can be imported meanwhile.

    Raises:
        OwnCodeError: it raised an exception.
    """
    spec = importlib.util.spec_from_file_location(f"extension_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    for source in sources(file)[1:]:
        sys.modules.pop(source.stem, None)  # another extension's of the same name
    sys.path.insert(0, str(file.parent))
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        calling(spec.loader.exec_module, module)
    finally:
        sys.path.remove(str(file.parent))
        sys.dont_write_bytecode = writes
    module.folder = file.parent
    return module


def calling(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of own code returns.

    Raises:
        OwnCodeError: with the traceback of an exception from the first line of own code on.
    """
    try:
        return function(*arguments)
    except UserError:
        raise
    except Exception as error:
        here = Path(__file__).parent
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if here not in Path(f.filename).parents and not f.filename.startswith("<frozen")]
        lines = ["an extension raised an exception", *"".join(traceback.format_list(own)).rstrip().splitlines()]
        raise OwnCodeError("\n".join([*lines, "".join(traceback.format_exception_only(error)).rstrip()])) from None


# --- with a run -----------------------------------------------------------------------------------


def keep_with_run(file: Path, run_folder: Path, paths: Paths) -> None:
    """Copy an extension's sources into a run's folder, and remember that this workspace made them."""
    folder = run_folder / "extension"
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources(file):
        shutil.copyfile(source, folder / (_MAIN if source == file else source.name))
    mark = _trusted(paths) / _bytes_digest(folder)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def load_kept(run_folder: Path, trust: bool, paths: Paths) -> ModuleType:
    """The extension in a run's folder.

    Args:
        trust: execute it even where this workspace has not made it.

    Raises:
        UserError: there is none, or it came with a copied run and nobody said that it is trusted.
    """
    folder = run_folder / "extension"
    if not (folder / _MAIN).exists():
        raise UserError(f"{folder}: the run's own code is not there; copy the whole folder of the run")
    if not trust and not (_trusted(paths) / _bytes_digest(folder)).exists():
        raise UserError(f"{folder}: code that came with a copied run; read it, and say --trust to execute it")
    return load_extension(folder / _MAIN)


def _trusted(paths: Paths) -> Path:
    return paths.root / "state" / "extensions"


def _bytes_digest(folder: Path) -> str:
    hasher = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        hasher.update(os.fsencode(file.name) + b"\0" + file.read_bytes() + b"\0")
    return hasher.hexdigest()

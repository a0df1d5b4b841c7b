"""Own code as a variant: the file that an extension names, checked, loaded, and kept with a run. Without torch.

A file in `extensions/` defines some of `FUNCTIONS`. It is read as text to plan with, and executed only to train, or
to load what it has trained.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import itertools
import os
import shutil
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from sagan.errors import UserError, first_line, meant
from sagan.store.paths import Paths

# What a file may define, each with the names of its arguments.
FUNCTIONS = {
    "build_generator": ("image", "switches", "options"),
    "build_discriminator": ("image", "switches", "options"),
    "discriminator_loss": ("logits_real", "logits_fake", "options"),
    "generator_loss": ("logits_real", "logits_fake", "options"),
    "penalty": ("critic", "real", "fake", "options"),
    "generator_penalty": ("generator", "real", "fake", "options"),
}
FOLDER = "extensions"  # beside params.yaml
_MAIN = "main.py"  # what the file is called in a run's folder; modules that it imports keep their names
_TAKEN = sys.stdlib_module_names | {"numpy", "sagan", "torch"}


class OwnCodeError(UserError):
    """An exception inside a user's code, told by the user's own lines."""


def check_extension(file: Path, place: str) -> set[str]:
    """Refuse a file that cannot be an extension, as far as reading it shows.

    Args:
        place: the key path of params.yaml that names it.

    Returns:
        Which of `FUNCTIONS` it defines.

    Raises:
        UserError: it is not there, is no Python, imports what cannot be kept with a run, or does not define any of
            `FUNCTIONS` as they are called.
    """
    told = f"{place} = {file.as_posix()!r}"
    if not file.is_file():
        added = "put it there, and `git add` it, since copies of the workspace (dvc exp run --temp) hold no others"
        raise UserError(f"{told}: no such file; {added}")
    functions = _functions(file, place)
    for name, node in functions.items():
        at = f"{told}, line {node.lineno}: {name}"
        if name not in FUNCTIONS and not name.startswith("_") and (close := meant(name, FUNCTIONS)):
            raise UserError(f"{at} is nothing that an extension defines{close} (a helper's name begins with _)")
        taken = len(node.args.posonlyargs) + len(node.args.args)
        if name in FUNCTIONS and taken != len(FUNCTIONS[name]) and node.args.vararg is None:
            raise UserError(f"{at} must take {len(FUNCTIONS[name])} arguments: {', '.join(FUNCTIONS[name])}")
    if not functions.keys() & FUNCTIONS.keys():
        raise UserError(f"{told}: defines none of {', '.join(FUNCTIONS)}")
    sources(file, place)
    return functions.keys() & FUNCTIONS.keys()


def _functions(file: Path, place: str) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in _parsed(file, place).body if isinstance(node, ast.FunctionDef)}


def _parsed(file: Path, place: str) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        reason = error.msg if isinstance(error, SyntaxError) else first_line(error)
        raise UserError(f"{place} = {file.as_posix()!r}{line}: not Python: {reason}") from None


def sources(file: Path, place: str = "extension.file") -> list[Path]:
    """The file, and the modules of its folder that it imports, directly or not.

    Raises:
        UserError: one is no Python, or an import is of a kind that cannot be kept with a run.
    """
    found, todo = [], [file]
    while todo:
        path = todo.pop()
        if path not in found:
            found.append(path)
            todo += _local_imports(path, file, place)
    return [file, *sorted(set(found) - {file})]


def _local_imports(path: Path, file: Path, place: str) -> Iterator[Path]:
    for node in ast.walk(_parsed(path, place)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        told = f"{place} = {path.as_posix()!r}, line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ImportFrom):
            if node.level:
                raise UserError(f"{told}: write `from module import name`, without dots")
            if node.names[0].name == "*":
                raise UserError(f"{told}: import names, not *")
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            local = file.parent / f"{top}.py"
            if local.exists() and (top in _TAKEN or local.name == _MAIN or (local == file and path != file)):
                raise UserError(f"{told}: {local.as_posix()} cannot be imported under this name; rename it")
            if local.exists():
                yield local
            elif top not in _TAKEN and (file.parent / top).is_dir():
                raise UserError(f"{told}: {top} is a folder; only modules beside {file.name} are kept with a run")


def load_extension(file: Path, place: str | None = None) -> ModuleType:
    """Execute a file as a module.

    It gets `__functions__`, those of `FUNCTIONS` that it defines, and `__place__`, what errors name.

    Args:
        place: the key path that names the file, for errors; None for the file alone.

    Raises:
        OwnCodeError: it raised an exception.
    """
    spec = importlib.util.spec_from_file_location(f"extension_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    module.__place__ = file.as_posix() if place is None else f"{place} = {file.as_posix()!r}"
    module.__functions__ = _functions(file, "extension.file").keys() & FUNCTIONS.keys()
    others = [source.stem for source in sources(file)[1:]]
    for name in others:
        sys.modules.pop(name, None)  # another extension's of the same name
    sys.path.insert(0, str(file.parent))
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        calling(spec.loader.exec_module, module)
        for name in others:  # those, too, that a function imports when it is called
            calling(importlib.import_module, name)
    finally:
        sys.path.remove(str(file.parent))
        sys.dont_write_bytecode = writes
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
        if type(error).__name__ == "OutOfMemoryError":  # of torch, and for the loop to explain
            raise
        frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_ours(f.filename)]
        own = list(itertools.dropwhile(lambda frame: _is_installed(frame.filename), frames))
        lines = ["an extension raised an exception", *"".join(traceback.format_list(own)).rstrip().splitlines()]
        raise OwnCodeError("\n".join([*lines, "".join(traceback.format_exception_only(error)).rstrip()])) from None


def _is_ours(file: str) -> bool:
    return Path(__file__).parent in Path(file).parents


def _is_installed(file: str) -> bool:
    places = sysconfig.get_paths()
    return file.startswith(("<frozen", places["purelib"], places["platlib"], places["stdlib"]))


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
        trust: execute it even where this workspace has neither made it nor has it in `extensions/`, byte for byte.

    Raises:
        UserError: there is none, or it came with a copied run and nobody said that it is trusted.
    """
    folder = run_folder / "extension"
    if not (folder / _MAIN).exists():
        raise UserError(f"{folder}: the run's own code is not there; copy the whole folder of the run")
    if not (trust or (_trusted(paths) / _bytes_digest(folder)).exists() or _is_here(folder, paths)):
        raise UserError(f"{folder}: code that came with a copied run; read it, and say --trust to execute it")
    return load_extension(folder / _MAIN)


def _trusted(paths: Paths) -> Path:
    return paths.root / "state" / "extensions"


def _is_here(folder: Path, paths: Paths) -> bool:
    """Whether the code is, byte for byte, a file of this workspace's extensions with the modules beside it."""
    main, others = folder / _MAIN, [file for file in folder.glob("*.py") if file.name != _MAIN]
    return any(
        _same(file, main) and all(_same(file.parent / other.name, other) for other in others)
        for file in (paths.root / FOLDER).rglob("*.py")
    )


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and one.read_bytes() == other.read_bytes()


def _bytes_digest(folder: Path) -> str:
    hasher = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        hasher.update(os.fsencode(file.name) + b"\0" + file.read_bytes() + b"\0")
    return hasher.hexdigest()

"""Own code as a variant: the file that an extension names, checked, loaded, and kept with a run. Without torch.

A file in `extensions/` defines some of `FUNCTIONS`. It is read as text to name runs, and executed to train, to load
what it has trained, and to hold the shapes of its networks to what a plan asks for.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.util
import itertools
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from sagan.errors import UserError, first_line, meant

# What a file may define, each with the names of its arguments.
FUNCTIONS = {
    "build_generator": ("image", "switches", "options"),
    "build_discriminator": ("image", "switches", "options"),
    "discriminator_loss": ("logits_real", "logits_fake", "options"),
    "generator_loss": ("logits_real", "logits_fake", "options"),
    "penalty": ("critic", "real", "fake", "options"),
    "generator_penalty": ("generator", "real", "fake", "options"),
}
# What of a recipe they leave without effect, where all of a set are defined.
REPLACED = {
    ("discriminator_loss", "generator_loss"): ("objective",),
    ("build_generator", "build_discriminator"): ("backbone", "init"),
}
MAIN = "main.py"  # what the file is called in a run's folder; modules that it imports keep their names
_TAKEN = sys.stdlib_module_names | {"numpy", "sagan", "torch"}


class OwnCodeError(UserError):
    """An exception inside a user's code, told by the user's own lines."""


def check_extension(file: Path, place: str) -> tuple[Sources, set[str]]:
    """Refuse a file that cannot be an extension, as far as reading it shows.

    Args:
        place: the key path of params.yaml that names it.

    Returns:
        What was read, and which of `FUNCTIONS` it defines.

    Raises:
        UserError: it is not there, is no Python, imports what cannot be kept with a run, or does not define any of
            `FUNCTIONS` as they are called.
    """
    told = f"{place} = {file.as_posix()!r}"
    if not file.is_file():
        added = "put it there, and `git add` it, since copies of the workspace (dvc exp run --temp) hold no others"
        raise UserError(f"{told}: no such file; {added}")
    sources = read_sources(file, place)
    functions = _functions(sources.main)
    for name, node in functions.items():
        at, taken = f"{told}, line {node.lineno}: {name}", len(node.args.posonlyargs) + len(node.args.args)
        if name not in FUNCTIONS and not name.startswith("_") and (close := meant(name, FUNCTIONS)):
            raise UserError(f"{at} is nothing that an extension defines{close} (a helper's name begins with _)")
        if name in FUNCTIONS and taken != len(FUNCTIONS[name]) and node.args.vararg is None:
            raise UserError(f"{at} must take {len(FUNCTIONS[name])} arguments: {', '.join(FUNCTIONS[name])}")
    defined = functions.keys() & FUNCTIONS.keys()
    if not defined:
        raise UserError(f"{told}: defines none of {', '.join(FUNCTIONS)}")
    return sources, defined


def _functions(content: bytes) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.parse(content).body if isinstance(node, ast.FunctionDef)}


@dataclass(frozen=True)
class Sources:
    """An extension as it was read, once: what is checked, hashed, executed and kept with a run are these bytes.

    Attributes:
        file: where it was read.
        main: its content.
        beside: the modules of its folder that it imports, directly or not, by their names.
    """

    file: Path
    main: bytes
    beside: dict[str, bytes]

    @property
    def kept(self) -> dict[str, bytes]:
        """By the names of the files in a run's folder."""
        return {MAIN: self.main} | {f"{name}.py": content for name, content in self.beside.items()}


def read_sources(file: Path, place: str = "extension.file") -> Sources:
    """Read a file, and the modules of its folder that it imports, directly or not.

    Raises:
        UserError: one cannot be read or is no Python, or an import is of a kind that cannot be kept with a run.
    """
    found: dict[Path, bytes] = {}
    todo = [file]
    while todo:
        path = todo.pop()
        if path not in found:
            try:
                found[path] = path.read_bytes()
            except OSError as error:
                raise UserError(f"{place} = {path.as_posix()!r}: {error.strerror}") from None
            todo += _local_imports(path, found[path], file, place)
    main = found.pop(file)
    return Sources(file, main, {path.stem: found[path] for path in sorted(found)})


def _local_imports(path: Path, content: bytes, file: Path, place: str) -> Iterator[Path]:
    told = f"{place} = {path.as_posix()!r}"
    try:
        tree = ast.parse(content)
    except SyntaxError as error:
        raise UserError(f"{told}, line {error.lineno}: not Python: {error.msg}") from None
    except ValueError as error:
        raise UserError(f"{told}: not Python: {first_line(error)}") from None
    for node in ast.walk(tree):
        at = f"{told}, line {getattr(node, 'lineno', 0)}"
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(level=0):
                names = [node.module]
                if node.names[0].name == "*":
                    raise UserError(f"{at}: import names, not *")
            case ast.ImportFrom():
                raise UserError(f"{at}: write `from module import name`, without dots")
            case _:
                continue
        for top in (name.partition(".")[0] for name in names):
            local = file.parent / f"{top}.py"
            if local.exists() and (top in _TAKEN or local.name == MAIN or (local == file and path != file)):
                raise UserError(f"{at}: {local.as_posix()} cannot be imported under this name; rename it")
            if local.exists():
                yield local
            elif top not in _TAKEN and (file.parent / top).is_dir():
                raise UserError(f"{at}: {top} is a folder; only modules beside {file.name} are kept with a run")


def load_extension(sources: Sources, place: str | None = None) -> ModuleType:
    """Execute an extension as a module: these bytes and no others, whatever lies in its folder.

    It gets `__functions__`, those of `FUNCTIONS` that it defines, `__place__`, what errors name, and `__sources__`.

    Args:
        place: what errors name; None for the file.

    Raises:
        OwnCodeError: it raised an exception.
    """
    finder = _FromMemory(sources)
    for name in sources.beside:
        sys.modules.pop(name, None)  # another extension's of the same name
    sys.meta_path.insert(0, finder)
    try:
        module = importlib.util.module_from_spec(ModuleSpec(f"extension_{sources.file.stem}", finder))
        module.__file__ = str(sources.file)
        module.__place__ = sources.file.as_posix() if place is None else place  # type: ignore[attr-defined]
        module.__functions__ = _functions(sources.main).keys() & FUNCTIONS.keys()  # type: ignore[attr-defined]
        module.__sources__ = sources  # type: ignore[attr-defined]
        calling(finder.exec_module, module)
        for name in sources.beside:  # those, too, that a function imports when it is called
            calling(importlib.import_module, name)
    finally:
        sys.meta_path.remove(finder)
    return module


class _FromMemory(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes modules of an extension's sources."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in self._sources.beside else None

    def exec_module(self, module: ModuleType) -> None:
        name, file = module.__name__, self._sources.file
        content = self._sources.beside.get(name, self._sources.main)
        place = file.with_name(f"{name}.py") if name in self._sources.beside else file
        exec(compile(content, str(place), "exec"), module.__dict__)


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

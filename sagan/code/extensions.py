"""Own code as a variant: the file that an extension names, checked, loaded, and kept with a run. Without torch.

A file in `extensions/` defines some of `FUNCTIONS`. It is read as text to name runs, and executed to train, to load
what it has trained, and to hold the shapes of its networks to what a plan asks for.

What lies in a run's folder may be executed without a word of the user if this user ran it before, or has it in
`extensions/`. A copied run, or an archive of a whole workspace, brings code of others. So the marks of what is trusted
lie in the user's own folder of settings, and never in a clone.
"""

import ast
import hashlib
import importlib
import importlib.abc
import importlib.util
import itertools
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import ModuleSpec
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
# What of a recipe they leave without effect, where all of a set are defined.
REPLACED = {
    ("discriminator_loss", "generator_loss"): ("objective",),
    ("build_generator", "build_discriminator"): ("backbone", "init"),
}
# In a run's folder, and what the file is called there; modules that it imports keep their names.
_FOLDER, _MAIN = "extension", "main.py"
_TAKEN = sys.stdlib_module_names | {"numpy", "sagan", "torch"}
# Digests of code of which the user has said to this process that it is trusted.
_said: set[str] = set()


@dataclass(frozen=True)
class Sources:
    """An extension as it was read, once: what is checked, hashed, executed and kept with a run are these bytes."""

    file: Path  # where it was read
    main: bytes  # its content
    beside: dict[str, bytes]  # the modules of its folder that it imports, directly or not, by their names
    place: str  # what errors name

    @property
    def kept(self) -> dict[str, bytes]:
        """By the names of the files in a run's folder."""
        return {_MAIN: self.main} | {f"{name}.py": content for name, content in self.beside.items()}

    @cached_property
    def functions(self) -> dict[str, ast.FunctionDef]:
        """What the file defines with `def`, by name."""
        return {node.name: node for node in ast.parse(self.main).body if isinstance(node, ast.FunctionDef)}

    @property
    def defined(self) -> set[str]:
        """Which of `FUNCTIONS` it defines."""
        return self.functions.keys() & FUNCTIONS.keys()

    @property
    def roles(self) -> list[str]:
        """Which networks it builds: "generator", "discriminator"."""
        return [name.removeprefix("build_") for name in FUNCTIONS if name.startswith("build_") and name in self.defined]


def check_extension(file: Path, place: str) -> Sources:
    """Refuse a file that, as far as reading it shows, is no extension; `place` is the key path that names it.

    Raises:
        UserError: it is not there, is no Python, imports what cannot be kept with a run, or does not define any of
            `FUNCTIONS` as they are called.
    """
    told = f"{place} = {file.as_posix()!r}"
    if not file.is_file():
        added = "put it there, and `git add` it, since copies of the workspace (dvc exp run --temp) hold no others"
        raise UserError(f"{told}: no such file; {added}")
    sources = read_sources(file, place)
    for name, node in sources.functions.items():
        at, taken = f"{told}, line {node.lineno}: {name}", len(node.args.posonlyargs) + len(node.args.args)
        if name not in FUNCTIONS and not name.startswith("_") and (close := meant(name, FUNCTIONS)):
            raise UserError(f"{at} is nothing that an extension defines{close} (a helper's name begins with _)")
        if name in FUNCTIONS and taken != len(FUNCTIONS[name]) and node.args.vararg is None:
            raise UserError(f"{at} must take {len(FUNCTIONS[name])} arguments: {', '.join(FUNCTIONS[name])}")
    if not sources.defined:
        raise UserError(f"{told}: defines none of {', '.join(FUNCTIONS)}")
    return sources


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
    return Sources(file, main, {path.stem: found[path] for path in sorted(found)}, f"{place} = {file.as_posix()!r}")


def _local_imports(path: Path, content: bytes, file: Path, place: str) -> Iterator[Path]:
    told = f"{place} = {path.as_posix()!r}"
    try:
        tree = ast.parse(content)
    except SyntaxError as error:
        raise UserError(f"{told}, line {error.lineno}: not Python: {error.msg}") from None
    except ValueError as error:
        raise UserError(f"{told}: not Python: {first_line(error)}") from None
    # Up to the clone's root, from which Python imports too; of a copy in a run's folder nothing.
    folders = [folder.name for folder in file.parents]
    above = file.parents[1 : folders.index("extensions") + 2] if "extensions" in folders else ()
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
            elsewhere = [file.parent / top, *(folder / name for folder in above for name in (top, f"{top}.py"))]
            if local.exists():
                if top in _TAKEN or local.name == _MAIN or (local == file and path != file):
                    raise UserError(f"{at}: {local.as_posix()} cannot be imported under this name; rename it")
                if above and node not in tree.body:  # when it is called, another extension's of this name may be there
                    raise UserError(f"{at}: import {top} at the top of the file, outside of functions and blocks")
                yield local
            elif top not in _TAKEN and any(place.exists() for place in elsewhere) and not _comes_first(top):
                raise UserError(f"{at}: {top} is no module beside {file.name}, and only these are kept with a run")


def load_extension(sources: Sources) -> ModuleType:
    """Execute an extension as a module: these bytes and no others, whatever lies in its folder.

    It gets `__functions__`, those of `FUNCTIONS` that it defines, `__place__`, what errors name, and `__sources__`.

    Raises:
        UserError: it raised an exception, which is told by its own lines.
    """
    finder = _FromMemory(sources)
    for name in sources.beside:
        sys.modules.pop(name, None)  # another extension's of the same name
    sys.meta_path.insert(0, finder)
    try:
        module = importlib.util.module_from_spec(ModuleSpec(f"extension_{sources.file.stem}", finder))
        told = {"__place__": sources.place, "__functions__": sources.defined, "__sources__": sources}
        module.__dict__.update(told, __file__=str(sources.file))
        calling(finder.exec_module, module)
        for name in sources.beside:  # of a kept run also what a function imports when it is called
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
    """What own code returns; a `UserError` with an exception's traceback, from the first line of own code on."""
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
        raise UserError("\n".join([*lines, "".join(traceback.format_exception_only(error)).rstrip()])) from None


def _is_ours(file: str) -> bool:
    return Path(__file__).parent in Path(file).parents


def _comes_first(module: str) -> bool:
    """Whether Python imports an installed package, whatever folder of its name lies in the clone."""
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None and _is_installed(spec.origin)


def _is_installed(file: str) -> bool:
    places = sysconfig.get_paths()
    return file.startswith(("<frozen", places["purelib"], places["platlib"], places["stdlib"]))


# --- in a run's folder ------------------------------------------------------------------------------


def keep_with_run(sources: Sources, run_folder: Path) -> None:
    """Write an extension's sources into a run's folder, and remember that this user ran them, in whatever clone."""
    (run_folder / _FOLDER).mkdir(parents=True, exist_ok=True)
    for name, content in sources.kept.items():
        (run_folder / _FOLDER / name).write_bytes(content)
    if (mark := _mark(sources)) is not None:
        with suppress(OSError):  # a home that cannot be written costs a `--trust` later
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()


def load_kept(run_folder: Path, trusted: bool, paths: Paths) -> ModuleType:
    """The extension in a run's folder; a `UserError` where there is none, or it came with a copied run, untrusted.

    `trusted` executes it even where this user has neither run it nor has it in `extensions/`.
    """
    folder = run_folder / _FOLDER
    if not (folder / _MAIN).exists():
        raise UserError(f"{folder}: the run's own code is not there; copy the whole folder of the run")
    sources = read_sources(folder / _MAIN)
    if not (trusted or _is_trusted(sources, paths)):
        raise UserError(f"{folder}: code that came with a copied run; read it, and say --trust to execute it")
    return load_extension(sources)


def is_trusted(run_folder: Path, paths: Paths) -> bool:
    """Whether the own code in a run's folder may be executed without a word of the user."""
    try:
        return _is_trusted(read_sources(run_folder / _FOLDER / _MAIN), paths)
    except UserError:
        return False


def trust_now(run_folder: Path) -> None:
    """Let this process execute the own code that lies in a run's folder now; it may have none."""
    if (main := run_folder / _FOLDER / _MAIN).exists():
        _said.add(_digest(read_sources(main)))


def _is_trusted(sources: Sources, paths: Paths) -> bool:
    """The workspace's own code is trusted, also with other comments; in a run's folder its main file is renamed."""
    mark = _mark(sources)
    if _digest(sources) in _said or (mark is not None and mark.exists()):
        return True
    return any(
        all(_same(file if name == _MAIN else file.parent / name, source) for name, source in sources.kept.items())
        for file in (paths.root / "extensions").rglob("*.py")
    )


def _mark(sources: Sources) -> Path | None:
    """An empty file that says that this user ran this code; None of a user without a home."""
    # A relative place would lie in whatever folder one works in, which may have come with an archive.
    places = (os.environ.get("XDG_CONFIG_HOME", ""), os.path.expanduser("~/.config"))
    settings = next((place for place in places if os.path.isabs(place)), None)
    return Path(settings) / "sagan" / "trusted" / _digest(sources) if settings else None


def _same(file: Path, source: bytes) -> bool:
    with suppress(OSError, SyntaxError, ValueError):
        return ast.dump(ast.parse(file.read_bytes())) == ast.dump(ast.parse(source))
    return False


def _digest(sources: Sources) -> str:
    hasher = hashlib.sha256()
    for name, content in sorted(sources.kept.items()):
        hasher.update(os.fsencode(name) + b"\0" + content + b"\0")
    return hasher.hexdigest()

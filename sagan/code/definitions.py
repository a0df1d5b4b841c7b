"""Python definitions as text that only what they compute can change, and the definitions that they name.

Trees are written in a form that is the same in every version of Python, so that a run keeps its key elsewhere. Left
out are comments, docstrings, type annotations, imports (names stand for what was imported), and the arguments of
`raise`, `print` and `warn`.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType

# Calls whose arguments are words for people.
_SPOKEN = ("print", "warnings.warn")


class CodeBase:
    """The package's modules, parsed when they are first asked for, and others, whose text is given by name."""

    def __init__(self, package: Path, others: Mapping[str, bytes] = MappingProxyType({})) -> None:
        self.package, self.others = package, others
        self._modules: dict[str, _Module | None] = {}

    def module(self, name: str) -> _Module | None:
        """A module of the package by its dotted name; None for what is none."""
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def definition(self, module: str, name: str) -> Definition:
        home = self.module(module)
        if home is None:
            raise LookupError(f"{module}: no such module")
        found = home.resolve(name)
        if not isinstance(found, Definition):
            raise LookupError(f"{module}:{name}: no such definition")
        return found

    def _read(self, name: str) -> _Module | None:
        top, *parts = name.split(".")
        if top != "sagan":
            return _Module(self, name, f"{name}.py", self.others[name]) if name in self.others else None
        place = self.package.joinpath(*parts)
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        return _Module(self, name, str(file), file.read_bytes()) if file.exists() else None


@cache
def code_base(package: Path) -> CodeBase:
    return CodeBase(package)


@dataclass(frozen=True, eq=False)
class _Module:
    """One file: what its names stand for."""

    base: CodeBase
    name: str
    file: str
    content: bytes
    _resolved: dict[str, Definition | _Module | str] = field(default_factory=dict)

    @cached_property
    def _statements(self) -> tuple[dict[str, list[ast.stmt]], dict[str, tuple[str, str | None]], list[ast.stmt]]:
        """Definitions by name, imports by the name they bind, and statements that bind none."""
        definitions: dict[str, list[ast.stmt]] = {}
        imports: dict[str, tuple[str, str | None]] = {}
        loose: list[ast.stmt] = []
        for statement in _body(ast.parse(self.content)):
            match statement:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    definitions.setdefault(statement.name, []).append(statement)
                case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                    names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
                    for name in names:
                        definitions.setdefault(name, []).append(statement)
                case ast.Import() | ast.ImportFrom():
                    imports |= dict(_imported(statement))
                case _:
                    loose.append(statement)
        return definitions, imports, loose

    @property
    def definitions(self) -> dict[str, list[ast.stmt]]:
        return self._statements[0]

    def resolve(self, name: str) -> Definition | _Module | str | None:
        """What a global name of this module stands for: a definition, a module, or a dotted name from elsewhere."""
        if name not in self._resolved:
            definitions, imports, loose = self._statements
            if name in definitions:
                self._resolved[name] = Definition(self, name, tuple(definitions[name]), tuple(loose))
            elif (module := self.base.module(f"{self.name}.{name}")) is not None:
                self._resolved[name] = module
            elif name in imports:
                self._resolved[name] = self._of_import(*imports[name])
            elif hasattr(builtins, name) or name in ("__file__", "__name__"):
                self._resolved[name] = name
            else:
                return None
        return self._resolved[name]

    def _of_import(self, module: str, name: str | None) -> Definition | _Module | str:
        home = self.base.module(module)
        if name is None:
            return module if home is None else home
        if home is None and module.partition(".")[0] == "sagan":
            raise LookupError(f"{self.file}: there is no module {module}")
        if home is None:
            return f"{module}.{name}"
        found = home.resolve(name)
        if found is None:
            raise LookupError(f"{self.file}: {module} has no {name}")
        return found

    def imported(self, statement: ast.Import | ast.ImportFrom) -> dict[str, Definition | _Module | str]:
        """What the names that an import inside a function binds stand for."""
        return {name: self._of_import(*place) for name, place in _imported(statement)}


def _imported(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, tuple[str, str | None]]]:
    for alias in statement.names:
        if isinstance(statement, ast.ImportFrom):
            if statement.module != "__future__":
                yield alias.asname or alias.name, (statement.module, alias.name)
        elif alias.asname:
            yield alias.asname, (alias.name, None)
        else:
            yield alias.name.partition(".")[0], (alias.name.partition(".")[0], None)


@dataclass(frozen=True, eq=False)
class Definition:
    """A function, class or constant of a module, with the statements of that module that bind no name."""

    module: _Module
    name: str
    statements: tuple[ast.stmt, ...]
    loose: tuple[ast.stmt, ...]
    _read: dict[frozenset | None, tuple[str, list[Definition]]] = field(default_factory=dict)

    @property
    def place(self) -> tuple[str, str]:
        """Its module and its name."""
        return self.module.name, self.name

    @property
    def is_table(self) -> bool:
        """Whether this is an assignment annotated `Table`."""
        [first, *_] = self.statements
        return isinstance(first, ast.AnnAssign) and "Table" in {
            node.id for node in ast.walk(first.annotation) if isinstance(node, ast.Name)
        }

    def read(self, tokens: frozenset[str | int]) -> tuple[str, list[Definition]]:
        """Its text, and the definitions that the text names; of a table, what is among the tokens."""
        key = tokens if self.is_table else None
        if key not in self._read:
            writer = _Writer(self.module, key)
            text = "\n".join(writer.text(statement) for statement in (*self.statements, *self.loose))
            self._read[key] = text, list(dict.fromkeys(writer.used))
        return self._read[key]

    def own_digest(self, tokens: frozenset[str | int]) -> str:
        """Of its text alone, 16 hex digits: names of definitions in it do not count for more than names."""
        return hashlib.sha256(self.read(tokens)[0].encode()).hexdigest()[:16]


class _Writer:
    """Writes syntax trees as text, and notes the definitions that they name.

    Args:
        tokens: of a table, which entries to write; None for everything.
    """

    def __init__(self, module: _Module, tokens: frozenset[str | int] | None) -> None:
        self.module, self.tokens = module, tokens
        self.used: list[Definition] = []
        self._scopes: list[dict[str, Definition | _Module | str | None]] = []  # None: a local variable

    def text(self, node: object) -> str:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Raise():
                return type(node).__name__ if isinstance(node, ast.Raise) else ""
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                return self._function(node)
            case ast.ClassDef():
                return self._fields(node, body=_body(node))
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._scoped(node, dict.fromkeys(_bound(node.generators)))
            case ast.AnnAssign():
                return self._annotated(node)
            case ast.Name(ctx=ast.Load()) | ast.Attribute():
                return self._named(node)
            case ast.Name():
                return f"Name({node.id})"
            case ast.Call() if (callee := self._meaning(node.func)) in _SPOKEN:
                return f"Call({callee})"
            case ast.AST():
                return self._fields(node)
            case list():
                return f"[{','.join(text for part in node if (text := self.text(part)))}]"
        return repr(node)

    def _fields(self, node: ast.AST, **replaced: object) -> str:
        """Empty fields are left out: newer Pythons add such fields to old nodes."""
        fields = []
        for name, value in ast.iter_fields(node):
            value = replaced.get(name, value)
            if value not in (None, []) and name not in ("kind", "type_comment", "ctx", "type_params"):
                fields.append(f"{name}={self.text(value)}")
        return f"{type(node).__name__}({','.join(fields)})"

    def _annotated(self, node: ast.AnnAssign) -> str:
        """As an assignment; without a value (a field of a class) the name alone."""
        if self.tokens is not None and isinstance(node.value, ast.Dict):
            pairs = zip(node.value.keys, node.value.values, strict=True)
            kept = [(k, v) for k, v in pairs if not isinstance(k, ast.Constant) or k.value in self.tokens]
            # The order of entries is the order in which some are carried out.
            entries = [f"{self.text(key) if key else 'all of'}:{self.text(value)}" for key, value in kept]
            return f"Table({','.join(entries)})"
        value = "" if node.value is None else f",value={self.text(node.value)}"
        return f"Assign(targets=[{self.text(node.target)}]{value})"

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> str:
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
        outside = [self.text(part) for part in (*arguments.defaults, *arguments.kw_defaults) if part is not None]
        outside += [self.text(part) for part in getattr(node, "decorator_list", [])]
        is_lambda = isinstance(node, ast.Lambda)
        body = [node.body] if is_lambda else _body(node)
        scope = dict.fromkeys([a.arg for a in every] + _bound(body))
        for statement in _own_nodes(body):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                scope |= self.module.imported(statement)
            elif isinstance(statement, ast.Global):
                scope = {name: value for name, value in scope.items() if name not in statement.names}
        self._scopes.append(scope)
        inside = self.text(body)
        self._scopes.pop()
        name = "" if is_lambda else node.name
        kinds = [len(arguments.posonlyargs), len(arguments.args), len(arguments.kwonlyargs)]
        kinds += [arguments.vararg is not None, arguments.kwarg is not None]
        return f"Function({name},{[a.arg for a in every]},{kinds},{outside},{inside})"

    def _scoped(self, node: ast.AST, scope: dict[str, None]) -> str:
        self._scopes.append(scope)
        text = self._fields(node)
        self._scopes.pop()
        return text

    def _meaning(self, node: ast.expr) -> Definition | _Module | str | None:
        """What a name or a chain of attributes stands for; None for a local variable and what is computed."""
        if isinstance(node, ast.Name):
            for scope in reversed(self._scopes):
                if node.id in scope:
                    return scope[node.id]
            return self.module.resolve(node.id)
        owner = self._meaning(node.value) if isinstance(node, ast.Attribute) else None
        if isinstance(owner, _Module):
            return owner.resolve(node.attr)  # type: ignore[attr-defined]
        return f"{owner}.{node.attr}" if isinstance(owner, str) else None  # type: ignore[attr-defined]

    def _named(self, node: ast.Name | ast.Attribute) -> str:
        meaning = self._meaning(node)
        if isinstance(meaning, Definition):
            self.used.append(meaning)
            return f"Name({meaning.name})"
        if isinstance(meaning, str) or (meaning is None and isinstance(node, ast.Name)):
            return f"Name({meaning or node.id})"
        if isinstance(node, ast.Name):
            raise LookupError(f"{self.module.file}: module {meaning.name} used as a value; name what is used of it")
        if isinstance(owner := self._meaning(node.value), _Module):
            raise LookupError(f"{self.module.file}: {owner.name} has no {node.attr}")
        return f"Attribute({self.text(node.value)},{node.attr})"


def _bound(nodes: list) -> list[str]:
    """The names that statements or comprehensions bind in their own scope."""
    names = []
    for node in _own_nodes(nodes):
        match node:
            case ast.Name(ctx=ast.Store() | ast.Del()):
                names.append(node.id)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.append(node.name)
            case ast.ExceptHandler(name=str(name)):
                names.append(name)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                names.append(name)
    return names


def _own_nodes(nodes: list) -> Iterator[ast.AST]:
    """All nodes below some, but for the inside of functions, classes and comprehensions, which are scopes too."""
    todo = list(nodes)
    while todo:
        node = todo.pop()
        yield node
        inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
        inner += (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
        if not isinstance(node, inner):
            todo += ast.iter_child_nodes(node)


def _body(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
    """Its statements but for the docstring."""
    return node.body if ast.get_docstring(node, clean=False) is None else node.body[1:]

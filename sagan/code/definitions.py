"""Python definitions as text that only what they compute can change, and the definitions that they name.

Trees are written in a form that is the same in every version of Python, so that a run keeps its key elsewhere. Left
out are comments, docstrings, type annotations, imports (names stand for what was imported), and the arguments of
`raise`, `print` and `warn`.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

# Calls whose arguments are words for people.
_SPOKEN = ("print", "warnings.warn")
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_SCOPES += (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)


class CodeBase:
    """The package's modules, parsed when they are first asked for, and others, whose text is given by name."""

    def __init__(self, package: Path, others: Mapping[str, bytes] = MappingProxyType({})) -> None:
        self.package, self.others = package, others
        self._modules: dict[str, _Module | None] = {}

    def module(self, name: str) -> _Module | None:
        """A module of the package by its dotted name; None for what is none."""
        if name not in self._modules:
            top, *parts = name.split(".")
            content = self.others.get(name)
            if top == "sagan":
                place = self.package.joinpath(*parts)
                file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
                content = file.read_bytes() if file.exists() else None
            self._modules[name] = None if content is None else _Module(self, name, content)
        return self._modules[name]

    def definition(self, module: str, name: str) -> Definition:
        home = self.module(module)
        found = None if home is None else home.resolve(name)
        if not isinstance(found, Definition):
            raise LookupError(f"{module}:{name}: no such definition")
        return found


code_base = cache(CodeBase)


class _Module:
    """One file: what its names stand for. `loose` are the statements that bind none."""

    def __init__(self, base: CodeBase, name: str, content: bytes) -> None:
        self.base, self.name = base, name
        self.definitions: dict[str, Definition] = {}
        self.loose: list[ast.stmt] = []
        self._imports: dict[str, tuple[str, str | None]] = {}
        for statement in _without_docstrings(content).body:
            match statement:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    self.define(statement.name, statement)
                case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                    for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
                        for node in ast.walk(target):
                            if isinstance(node, ast.Name):
                                self.define(node.id, statement)
                case ast.Import() | ast.ImportFrom():
                    self._imports |= dict(_imported(statement))
                case _:
                    self.loose.append(statement)

    def define(self, name: str, statement: ast.stmt) -> None:
        self.definitions.setdefault(name, Definition(self, name)).statements.append(statement)

    def resolve(self, name: str) -> Definition | _Module | str | None:
        """What a global name of this module stands for: a definition, a module, or a dotted name from elsewhere."""
        if name in self.definitions:
            return self.definitions[name]
        if (module := self.base.module(f"{self.name}.{name}")) is not None:
            return module
        if name in self._imports:
            return self.of_import(*self._imports[name])
        return name if hasattr(builtins, name) or name in ("__file__", "__name__") else None

    def of_import(self, module: str, name: str | None) -> Definition | _Module | str:
        """What a name in another module, or that module, stands for."""
        home = self.base.module(module)
        if home is None and name and module.partition(".")[0] == "sagan":
            raise LookupError(f"{self.name}: there is no module {module}")
        if home is None:
            return f"{module}.{name}" if name else module
        found = home.resolve(name) if name else home
        if found is None:
            raise LookupError(f"{self.name}: {module} has no {name}")
        return found


def _without_docstrings(content: bytes) -> ast.Module:
    tree = ast.parse(content)
    for node in ast.walk(tree):
        kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return tree


def _imported(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """The names that an import binds, each with the module and the name in it."""
    for alias in statement.names:
        if isinstance(statement, ast.ImportFrom):
            if statement.module != "__future__":
                yield alias.asname or alias.name, (statement.module, alias.name)
        else:
            name = alias.name if alias.asname else alias.name.partition(".")[0]
            yield alias.asname or name, (name, None)


class Definition:
    """A function, class or constant of a module, with the statements of that module that bind no name."""

    def __init__(self, module: _Module, name: str) -> None:
        self.place, self.name, self._module = (module.name, name), name, module
        self.statements: list[ast.stmt] = []
        self._read: dict[frozenset | None, tuple[str, list[Definition]]] = {}

    @cached_property
    def is_table(self) -> bool:
        """Whether this is an assignment annotated `Table`."""
        first = self.statements[0]
        return isinstance(first, ast.AnnAssign) and "Table" in {
            node.id for node in ast.walk(first.annotation) if isinstance(node, ast.Name)
        }

    def read(self, tokens: frozenset[str | int]) -> tuple[str, list[Definition]]:
        """Its text, and the definitions that the text names; of what is annotated `Table`, what is among the tokens."""
        key = tokens if self.is_table else None
        if key not in self._read:
            writer = _Writer(self._module, key)
            text = "\n".join(map(writer.text, [*self.statements, *self._module.loose]))
            self._read[key] = text, list(dict.fromkeys(writer.used))
        return self._read[key]

    def own_digest(self, tokens: frozenset[str | int]) -> str:
        """Of its text alone, 16 hex digits: names of definitions in it do not count for more than names."""
        return hashlib.sha256(self.read(tokens)[0].encode()).hexdigest()[:16]


class _Writer:
    """Writes syntax trees as text, and notes the definitions that they name; of a table the entries of some tokens."""

    def __init__(self, module: _Module, tokens: frozenset[str | int] | None) -> None:
        self.module, self.tokens = module, tokens
        self.used: list[Definition] = []
        self._scope: ChainMap[str, Definition | _Module | str | None] = ChainMap()  # None: a local variable

    def text(self, node: object) -> str:
        match node:
            case ast.Import() | ast.ImportFrom():
                return ""
            case ast.Raise():
                return "Raise"
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                return self._function(node)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._scoped(self._fields, node, dict.fromkeys(_bound(node.generators)))
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

    def _fields(self, node: ast.AST) -> str:
        """Empty fields are left out: newer Pythons add such fields to old nodes."""
        left_out = ("kind", "type_comment", "ctx", "type_params")
        fields = [(n, v) for n, v in ast.iter_fields(node) if v not in (None, []) and n not in left_out]
        return f"{type(node).__name__}({','.join(f'{name}={self.text(value)}' for name, value in fields)})"

    def _scoped(self, write: Callable[[Any], str], node: object, scope: dict) -> str:
        self._scope = self._scope.new_child(scope)
        text = write(node)
        self._scope = self._scope.parents
        return text

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
        names = [a.arg for a in (*every, arguments.vararg, arguments.kwarg) if a is not None]
        outside = [*arguments.defaults, *arguments.kw_defaults, *getattr(node, "decorator_list", [])]
        outside = [self.text(part) for part in outside if part is not None]
        body = node.body if isinstance(node.body, list) else [node.body]
        scope = dict.fromkeys(names + _bound(body))
        for statement in _own_nodes(body):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                scope |= {name: self.module.of_import(*place) for name, place in _imported(statement)}
            elif isinstance(statement, ast.Global):
                scope = {name: value for name, value in scope.items() if name not in statement.names}
        inside = self._scoped(self.text, body, scope)
        kinds = [len(arguments.posonlyargs), len(arguments.args), len(arguments.kwonlyargs)]
        kinds += [arguments.vararg is not None, arguments.kwarg is not None]
        return f"Function({getattr(node, 'name', '')},{names},{kinds},{outside},{inside})"

    def _meaning(self, node: ast.expr) -> Definition | _Module | str | None:
        """What a name or a chain of attributes stands for; None for a local variable and what is computed."""
        if isinstance(node, ast.Name):
            return self._scope[node.id] if node.id in self._scope else self.module.resolve(node.id)
        owner = self._meaning(node.value) if isinstance(node, ast.Attribute) else None
        if isinstance(owner, _Module):
            return owner.resolve(node.attr)  # type: ignore[attr-defined]
        return f"{owner}.{node.attr}" if isinstance(owner, str) else None  # type: ignore[attr-defined]

    def _named(self, node: ast.Name | ast.Attribute) -> str:
        meaning, is_name = self._meaning(node), isinstance(node, ast.Name)
        if isinstance(meaning, Definition):
            self.used.append(meaning)
            return f"Name({meaning.name})"
        if isinstance(meaning, str) or (meaning is None and is_name):
            return f"Name({meaning or node.id})"
        if is_name:
            raise LookupError(f"{self.module.name}: module {meaning.name} used as a value; name what is used of it")
        if isinstance(owner := self._meaning(node.value), _Module):
            raise LookupError(f"{self.module.name}: {owner.name} has no {node.attr}")
        return f"Attribute({self.text(node.value)},{node.attr})"


def _bound(nodes: list) -> list[str]:
    """The names that statements or comprehensions bind in their own scope; imports apart."""
    own = [node for node in _own_nodes(nodes) if not isinstance(node, ast.alias)]
    names = [node.id for node in own if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)]
    return names + [name for node in own if isinstance(name := getattr(node, "name", None), str)]


def _own_nodes(nodes: list) -> Iterator[ast.AST]:
    """All nodes below some, but for the inside of functions, classes and comprehensions, which are scopes too."""
    todo = list(nodes)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, _SCOPES):
            todo += ast.iter_child_nodes(node)

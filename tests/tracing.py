"""What of the package some work runs through, and what its value depends on."""

import ast
import importlib
import inspect
import sys
import textwrap
import types
from collections.abc import Collection, Iterator
from pathlib import Path

from sagan.code.fingerprint import HARMLESS, PACKAGE, _closure, code_base


def definitions_of(*places: str, tokens: Collection[str | int] = ()) -> set[tuple[str, str]]:
    """(module, name) of every definition that `code_of` takes in."""
    return {found.place for found in _closure(places, frozenset(tokens), code_base(PACKAGE))}


def executed(work) -> set[tuple[str, str]]:
    """(module, outermost name) of every function of the package that some work runs through."""
    seen: set[types.CodeType] = set()

    def note(frame, event, argument):
        if event == "call":
            seen.add(frame.f_code)

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    found = set()
    for code in seen:
        file = Path(code.co_filename)
        if PACKAGE in file.parents:
            parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.add((module, code.co_qualname.partition(".")[0]))
    return found


def assert_harmless(work, monkeypatch) -> None:
    """With any operator of what is harmless turned round, some work ends in an error or in the same value."""
    expected, tried = work(), 0
    for function in _functions(HARMLESS):
        for code in _mutants(function):
            tried += 1
            with monkeypatch.context() as patch:
                patch.setattr(function, "__code__", code)
                try:
                    found = work()
                except Exception:
                    continue
            assert found == expected, function.__qualname__
    assert tried > 5


def _functions(places: Collection[tuple[str, str]]) -> Iterator[types.FunctionType]:
    for file in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(file.read_text()).body:
            if (module, getattr(node, "name", None)) in places:
                found = getattr(importlib.import_module(module), node.name)
                for part in vars(found).values() if inspect.isclass(found) else (found,):
                    part = getattr(part, "fget", None) or getattr(part, "func", None) or part
                    function = inspect.unwrap(getattr(part, "__func__", part)) if callable(part) else None
                    if inspect.isfunction(function) and function.__module__ == module:
                        yield function


_SWAPS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.Mod: ast.Add}
_SWAPS |= {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt}


class _Swap(ast.NodeTransformer):
    """Turns the operator of a number round."""

    def __init__(self, chosen: int) -> None:
        self.left = chosen

    def visit(self, node: ast.AST) -> ast.AST:
        if type(node) not in _SWAPS:
            return self.generic_visit(node)
        self.left -= 1
        return node if self.left != -1 else _SWAPS[type(node)]()


def _mutants(function: types.FunctionType) -> Iterator[types.CodeType]:
    """A function's code with one operator of its arithmetic or comparisons turned round."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except OSError:  # written by a dataclass
        return
    for chosen in range(sum(type(node) in _SWAPS for node in ast.walk(ast.parse(source)))):
        tree = _Swap(chosen).visit(ast.parse(source))
        definition = tree.body[0]
        definition.decorator_list = []
        namespace: dict = {}
        compiled = compile(ast.fix_missing_locations(tree), inspect.getsourcefile(function), "exec")
        exec(compiled, dict(vars(sys.modules[function.__module__])), namespace)
        code = namespace[definition.name].__code__
        if code.co_freevars == function.__code__.co_freevars:
            yield code

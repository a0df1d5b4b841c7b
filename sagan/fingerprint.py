"""What code a result depends on, as a hash that wording does not move.

The hash is over syntax trees without comments, docstrings and positions, written in a form that
does not change between Python versions, so that a run trained on another machine keeps its key.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent

# Marks a module's dict literal of which only the entries that are used count.
Table = dict

# Modules of these rooms that cannot change a number: they carry runs out, or describe.
_NOT_NUMBERS = (
    "metrics/fetching.py",
    "nn/describe.py",
    "training/devices.py",
    "training/locks.py",
    "training/provenance.py",
)

TRAINING = ("nn", "objectives.py", "shapes.py", "conditions.py", "seeds.py", "training")
REFERENCE = (
    *("conditions.py", "seeds.py", "training/numerics.py"),
    *("metrics/classes.py", "metrics/classifier.py", "metrics/dinov2.py", "metrics/extractors.py"),
    *("metrics/features.py", "metrics/inception.py", "metrics/measures.py", "metrics/real.py"),
    *("metrics/reference.py", "metrics/values.py"),
)
EVALUATION = ("metrics", "seeds.py", "training/numerics.py")


@cache
def code_fingerprint(places: tuple[str, ...], package: Path = PACKAGE) -> str:
    """sha256 (hex) over the modules at `places`, files or folders relative to the package."""
    files: list[Path] = []
    for place in places:
        path = package / place
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    hasher = hashlib.sha256()
    for file in files:
        name = file.relative_to(package).as_posix()
        if name not in _NOT_NUMBERS:
            hasher.update(f"{name}\n{_tree_text(file)}\n".encode())
    return hasher.hexdigest()


def _tree_text(file: Path) -> str:
    return _text(ast.parse(file.read_text(encoding="utf-8")))


def _text(node: object) -> str:
    """A node as text. Empty fields are left out: newer Pythons add such fields to old nodes."""
    if isinstance(node, ast.AST):
        fields = []
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                value = _without_docstring(value)
            if value not in (None, []) and name not in ("kind", "type_comment"):
                fields.append(f"{name}={_text(value)}")
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        return f"[{','.join(map(_text, node))}]"
    return repr(node)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_docstring = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_docstring else body


def entry_code(table: str, entry: str) -> str:
    """The hash of the code of one entry of a `Table`, 16 hex digits, such as of "sagan.metrics.measures:METRICS"."""
    return hashlib.sha256(f"{table}/{entry}".encode()).hexdigest()[:16]

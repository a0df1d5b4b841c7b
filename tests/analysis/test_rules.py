"""What keeps figures in one place: the report computes none, and nobody but the store reads records as dicts."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

import sagan
from sagan.analysis import comparisons, curves, model, rows, statistics
from sagan.store import types

ROOT = Path(sagan.__file__).parent
REPORT = sorted((ROOT / "report").glob("*.py"))
# Arrays of pixels, and of an attention layer's queries and keys, are no figures.
WITH_PIXELS = {"style.py", "explorer.py"}
COMPUTING = {"numpy", "scipy", "pandas", "statistics", "math"}
REDUCING = {"sum", "min", "max", "sorted", "mean", "median", "fsum"}


def figures():
    """The names of all fields and properties of what the analysis is made of."""
    found = set()
    for module in (comparisons, curves, model, rows, statistics):
        for kind in vars(module).values():
            if dataclasses.is_dataclass(kind):
                found |= {field.name for field in dataclasses.fields(kind)}
                found |= {name for name, of in vars(kind).items() if isinstance(of, property)}
    for kind in vars(types).values():
        if isinstance(kind, type) and issubclass(kind, types.Record):
            found |= kind.model_fields.keys()
    return found - {"name", "label", "title", "network", "variant", "variants", "rows", "steps", "values"}


def attributes(tree):
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("path", REPORT, ids=lambda path: path.name)
def test_no_module_of_the_report_computes_a_figure(path):
    known = figures()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom) and path.name not in WITH_PIXELS:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not {name.split(".")[0] for name in names} & COMPUTING, ast.unparse(node)
        arithmetic = isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Add | ast.BitOr | ast.BitAnd)
        reduction = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REDUCING
        if arithmetic or reduction:
            assert not attributes(node) & known - _of_layout(path), ast.unparse(node)


def _of_layout(path):
    """Files that are listed in order, and the sizes of pictures, which the explorer fits into its page."""
    return {"folder", "row", "seed", "images", "layers"} if path.name in ("document.py", "explorer.py") else set()


@pytest.mark.parametrize("path", sorted((ROOT / "report" / "templates").glob("*.j2")), ids=lambda path: path.name)
def test_no_template_computes_a_figure(path):
    if path.name == "explorer.html.j2":
        return  # its script draws the maps that a reader points at
    for block in re.findall(r"{[{%](.*?)[%}]}", path.read_text(), flags=re.DOTALL):
        code = re.sub(r'"[^"]*"', '""', block)
        code = re.sub(
            r"100 \* ([A-Z_]+|records\.suite\.\w+|asked\.last_look\.level)", "", code
        )  # a threshold in percent
        code = re.sub(r'"" \* \([\w.]+ \| length\)', "", code)  # a column's rule for each metric
        assert not re.search(r"\s[*/+]\s|\s-\s|\| (sum|min|max)\b", code), block


# What else is JSON: datasets' manifests, plans, checkpoints' and weights' notes, reports' summaries.
NO_RECORDS = {"making.py", "checkpoints.py", "index.py", "types.py"}
# Arithmetic of a reference's figures, which is in the keys of what was measured: it has the record as settings.
IN_KEYS = {"real_side.py"}


def test_no_record_is_a_dict_outside_the_store():
    for path in sorted(ROOT.rglob("*.py")):
        if path.parent.name in ("store", "data") or path.name in NO_RECORDS | IN_KEYS:
            continue
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert not names & {"read_json", "read_lines"}, path

"""What keeps figures in one place: the report computes none, and nobody but the store reads records as dicts."""

import ast
from pathlib import Path

import pytest

import sagan

ROOT = Path(sagan.__file__).parent
# Arrays of pixels, and of an attention layer's queries and keys, are no figures.
WITH_PIXELS = {"explorer.py"}
COMPUTING = {"numpy", "scipy", "statistics", "math"}
# A mean over runs may be drawn as a line; it is told nowhere.
REDUCING = {"median", "std", "var", "quantile", "sum", "fsum", "ppf", "isf"}


@pytest.mark.parametrize("path", sorted((ROOT / "report").glob("*.py")), ids=lambda path: path.name)
def test_no_module_of_the_report_computes_a_figure(path):
    """It scales and draws what the tables hold: an estimate, an interval or a mean is made by the analysis alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom) and path.name not in WITH_PIXELS:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not {name.split(".")[0] for name in names} & COMPUTING, ast.unparse(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and path.name not in WITH_PIXELS:
            assert node.func.attr not in REDUCING, ast.unparse(node)


# What else is JSON: datasets' manifests, plans, checkpoints' and weights' notes, reports' summaries.
NO_RECORDS = {"making.py", "checkpoints.py", "types.py"}


def test_no_record_is_a_dict_outside_the_store():
    for path in sorted(ROOT.rglob("*.py")):
        if path.parent.name in ("store", "data") or path.name in NO_RECORDS:
            continue
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert not names & {"read_json", "read_lines"}, path

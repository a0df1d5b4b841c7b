"""Names as other programs take them, held to those programs."""

import ast
import csv
import doctest
import io
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mlflow.utils.validation import _validate_tag_name

from sagan import names
from sagan.analysis.tables import Tables, write_tables

NASTY = [
    "lr $10^{-4$",
    "lr+attention",
    "a|b",
    "<script>alert(1)</script>",
    "*a* _b_ `c` ~~d~~ [e](f) \\",
    "; touch gone & $(touch gone) 'x\"",
    "=1+1",
    "100 %",
    "one\ntwo\x1b[31m\0",
    "ä " + 300 * "x",
]


def test_the_examples_of_the_docstrings():
    result = doctest.testmod(names)
    assert result.attempted >= 7
    assert not result.failed


@pytest.mark.parametrize("name", NASTY)
def test_mlflow_takes_it_in_a_tag(name):
    _validate_tag_name(f"sagan.grid.{names.for_mlflow(name)}.{names.for_mlflow(name)}")
    assert len(names.for_mlflow(name)) <= 125


def test_mlflow_tells_names_of_params_yaml_apart():
    allowed = ["a+b", "a=b", "a_b", "a-b", "a.b", "a" * 150, "a" * 149 + "b"]
    assert len({names.for_mlflow(name) for name in allowed}) == len(allowed)


@pytest.mark.parametrize("name", NASTY)
def test_a_figure_draws_it_as_it_stands(name):
    figure = Figure()
    text = figure.text(0, 0, names.for_figure(name))
    FigureCanvasAgg(figure).draw()
    assert text._preprocess_math(text.get_text())[1] is False


@pytest.mark.parametrize("name", NASTY)
def test_markdown_shows_it_and_obeys_nothing_in_it(name):
    page = (
        MarkdownIt("commonmark", {"html": True})
        .enable("table")
        .render(f"| head | next |\n|---|---|\n| x {names.for_markdown(name)} y | z |\n")
    )
    shown = names.for_html(name).replace("&#x27;", "'")
    assert f"<td>x {shown} y</td>\n<td>z</td>" in page


@pytest.mark.parametrize("name", NASTY)
def test_a_cell_of_a_csv_is_one_cell_and_no_formula(name):
    text = io.StringIO()
    csv.writer(text).writerow([names.for_csv(name), 1])
    [[cell, _]] = csv.reader(io.StringIO(text.getvalue()))
    assert cell[0] not in "=+-@"


def test_a_locale_that_lacks_letters_ends_nothing(tmp_path):
    code = "from sagan.names import speak_any_locale; speak_any_locale(); print('± 5 % → ok')"
    environment = os.environ | {"PYTHONIOENCODING": "iso-8859-1:strict"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode("iso-8859-1") == "± 5 % ? ok\n"


def test_what_other_programs_say_is_read_in_a_stated_encoding():
    """So is every text file; ruff's rule PLW1514 sees only some."""
    for folder in ("sagan", "workflow", "benchmarks"):
        for path in Path(folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    words = {word.arg for word in node.keywords}
                    is_process = ast.unparse(node.func).startswith("subprocess.")
                    is_text = is_process and bool(words & {"text", "universal_newlines"})
                    is_text |= getattr(node.func, "attr", "") in ("read_text", "write_text")
                    assert not is_text or "encoding" in words, f"{path}:{node.lineno}"


def test_a_tables_texts_of_records_are_no_formulas(tmp_path):
    runs = pd.DataFrame({"variant": ["a"], "fid": [-1.5], "device": ["=cmd|' /C calc'!A0"], "lost": [None]})
    write_tables(Tables(runs, runs[["variant"]], runs[["variant"]]), tmp_path)
    assert (tmp_path / "results.csv").read_text(encoding="utf-8").splitlines()[1].startswith("a,-1.5,'=cmd")

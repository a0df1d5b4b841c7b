"""The report's text for the made-up runs, word for word. `UPDATE_GOLDEN=1 pytest tests/report` rewrites it."""

import os
from pathlib import Path

from sagan.analysis.build import analyse
from sagan.report.document import CHARTS, readme

GOLDEN = Path(__file__).parent / "golden" / "made-up.md"
# It asks no questions.
DRAWN = [name for name in CHARTS if name != "answers"]
# Pictures that the made-up runs have.
SHEETS = ("extremes", "samples", "film", "attention-maps")


def test_rendered_text_is_as_it_was_read_and_approved(library):
    text = readme(
        analyse("made-up", library.plan, library.params, library.paths),
        {name: f"{name}.png" for name in (*DRAWN, *SHEETS)},
    )
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")

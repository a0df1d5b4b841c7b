"""The report's text for the made-up runs, word for word. `UPDATE_GOLDEN=1 pytest tests/report` rewrites it."""

import os
from pathlib import Path

import pytest

from sagan.report.collect import collect
from sagan.report.document import CHARTS, readme

GOLDEN = Path(__file__).parent / "golden"


def approve(suite, text):
    approved = GOLDEN / f"{suite}.md"
    if os.environ.get("UPDATE_GOLDEN"):
        approved.parent.mkdir(exist_ok=True)
        approved.write_text(text, encoding="utf-8")
    assert text == approved.read_text(encoding="utf-8")


@pytest.mark.parametrize("suite", ["made-up", "empty"])
def test_rendered_text_is_as_it_was_read_and_approved(rendered, suite):
    approve(suite, (rendered(suite) / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("suite", ["factorial", "few"])
def test_text_is_as_it_was_read_and_approved(library, suite):
    approve(suite, readme(collect(suite, library.plan, library.params, library.paths), list(CHARTS)))

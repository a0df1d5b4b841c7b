"""The report's text for the made-up runs, word for word. `UPDATE_GOLDEN=1 pytest tests/report` rewrites it."""

import os
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("suite", ["made-up", "factorial", "few", "empty"])
def test_text_is_as_it_was_read_and_approved(rendered, suite):
    text = (rendered(suite) / "README.md").read_text(encoding="utf-8")
    approved = GOLDEN / f"{suite}.md"
    if os.environ.get("UPDATE_GOLDEN"):
        approved.parent.mkdir(exist_ok=True)
        approved.write_text(text, encoding="utf-8")
    assert text == approved.read_text(encoding="utf-8")

"""The committed pages are the rendering of the tables beside them, and nobody typed into them."""

import subprocess
from pathlib import Path

import pytest

from sagan.analysis.build import read_analysis
from sagan.report.document import BEGIN, END, readme, text_of
from sagan.store.paths import Paths

ROOT = Path(__file__).parents[2]
SUITES = sorted(path.parent.name for path in ROOT.glob("reports/*/report.json"))
# Who has made a report anew renders the front page (`make readme`) before committing both.
CHANGED = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "reports"], cwd=ROOT, capture_output=True).returncode

pytestmark = pytest.mark.skipif(CHANGED == 1, reason="reports/ has changes that are not committed")


@pytest.mark.parametrize("suite", SUITES)
def test_a_committed_page_is_in_step_with_its_tables(suite):
    folder = ROOT / "reports" / suite
    figures = {path.stem: path.name for path in (folder / "figures").iterdir() if not path.stem.endswith("-dark")}
    assert (folder / "README.md").read_text(encoding="utf-8") == readme(read_analysis(folder), figures)


def test_the_front_page_and_the_index_are_in_step_with_the_reports():
    front = (ROOT / "README.md").read_text(encoding="utf-8")
    assert front.split(BEGIN)[1].split(END)[0].strip() == text_of("answers.md.j2", "reports/", Paths(ROOT)).strip()
    assert (ROOT / "reports" / "README.md").read_text(encoding="utf-8") == text_of("index.md.j2", "", Paths(ROOT))


@pytest.mark.parametrize("suite", SUITES)
def test_each_cell_of_other_metrics_and_features_holds_one_figure(suite):
    page = (ROOT / "reports" / suite / "README.md").read_text(encoding="utf-8")
    table = page.partition("The questions in other metrics")[2].partition("</details>")[0]
    cells = [cell for line in table.splitlines() if line.startswith("| ") for cell in line.split("|")[2:-1]]
    assert all(cell.count(" to ") <= 1 for cell in cells)

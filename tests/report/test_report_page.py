import re

import numpy as np
import pytest
from PIL import Image

from sagan.analysis.wording import md, number
from sagan.report import render_index
from sagan.report.page import body, slug
from sagan.report.sheets import LARGE, Tile, save_sheet, sheet
from sagan.report.templating import sheet as sheet_tag


@pytest.fixture
def page(rendered, library):
    rendered("made-up")
    return (library.paths.pages("made-up") / "report.html").read_text()


def test_page_holds_every_picture_and_needs_nothing_else(page):
    sources = re.findall(r'(?:src|srcset)="([^"]{0,40})', page)
    assert len(sources) == 6 * 2 + 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http" not in re.sub(r'"data:[^"]*"', "", page)


def test_links_within_the_page_have_their_headings(page):
    for anchor in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{anchor}"' in page


def test_every_picture_of_the_readme_is_on_disk_and_no_other(rendered):
    for suite in ("made-up", "empty"):
        folder = rendered(suite)
        named = set(re.findall(r'"(figures/[^"]+)"', (folder / "README.md").read_text()))
        assert named == {f"figures/{path.name}" for path in (folder / "figures").glob("*")}


def test_what_a_user_writes_stays_text(rendered, page):
    text = (rendered("made-up") / "README.md").read_text()
    assert "a name with \\| and &lt;b&gt;" in text
    assert "<b>" not in page
    assert md("a|b *c* <i>\nd") == "a\\|b \\*c\\* &lt;i&gt; d"


def test_index_lists_the_suites_with_reports(rendered, library):
    rendered("made-up"), rendered("empty")
    text = render_index(library.params, library.paths).read_text()
    assert "[Made-up digits](made-up/README.md)" in text
    assert "31 of 35 measured, 2 diverged, 2 missing" in text
    assert "0 of 6 measured, 6 missing" in text


def test_pngs_hold_no_clock_and_no_software(rendered):
    for path in (rendered("made-up") / "figures").glob("*.png"):
        assert set(Image.open(path).info) <= {"dpi"}


def test_sheet_keeps_every_pixel_and_fits_labels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    made = sheet([Tile(tmp_path / "a.png", "a very long name " * 9, "seed 0")] * 3, columns=2)
    picture = np.asarray(made.convert("RGB"))[-200:, :300]
    assert (picture[::5, ::5] == pixels).all()
    assert made.width == 2 * 300 + 16


def test_a_large_sheet_is_stored_as_webp_and_inlined_as_such(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (640, 640, 3), dtype=np.uint8)
    for name, noise in (("large", pixels), ("small", pixels // 255)):
        Image.fromarray(noise).save(tmp_path / f"{name}-tile.png")
        file = save_sheet([Tile(tmp_path / f"{name}-tile.png", name, "seed 0")], tmp_path / "figures" / name, columns=1)
        assert file.suffix == (".webp" if name == "large" else ".png")
        assert file.exists() and file.stat().st_size <= LARGE and len(list(file.parent.glob(f"{name}.*"))) == 1
    page = body(sheet_tag("large.webp", "faces") + sheet_tag("small.png", "digits"), tmp_path)
    assert page.count("data:image/webp;base64,") == page.count("data:image/png;base64,") == 1


def test_numbers_and_anchors():
    assert [number(v) for v in (None, 0.0, 123.456, 12.344, 0.1234, 0.00123, -2.0)] == [
        "\N{EN DASH}",
        "0.000",
        "123.5",
        "12.34",
        "0.123",
        "0.0012",
        "\N{MINUS SIGN}2.00",
    ]
    assert number(1.5, signed=True) == "+1.50"
    assert number(-0.00001) == "0.0000"
    assert slug("Runs that went wrong") == "runs-that-went-wrong"

import re

import numpy as np
import pytest
from PIL import Image

from sagan.analysis.words import number
from sagan.names import WEBP_SIDE
from sagan.report.document import page_of, save_sheet, sheet
from tests.report.browser import CHROMIUM, Browser


@pytest.fixture
def page(rendered, library):
    rendered("factorial")
    return library.paths.pages("factorial") / "report.html"


def test_page_holds_every_picture_and_needs_nothing_else(page, rendered):
    text = page.read_text()
    sources = re.findall(r'(?:src|srcset)="([^"]{0,40})', text)
    assert len(sources) == len(list((rendered("factorial") / "figures").iterdir()))
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "://" not in re.sub(r'"data:[^"]*"', "", text)


def test_links_of_the_page_lead_to_files(page):
    links = re.findall(r'href="([^"]+)"', page.read_text())
    assert len(links) > 5
    lacking = [link for link in links if not (page.parent / link).exists()]
    assert [link.rsplit("/")[-1] for link in lacking] == ["explorer.html"]  # no run here has queries and keys


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (Debian: apt-get install chromium)")
def test_answers_and_picture_stand_on_the_first_screen_and_nothing_is_cut(page, tmp_path):
    browser = Browser(tmp_path / "profile")
    for width, height in ((1280, 900), (390, 844)):
        browser.open(page, width, height, ready="document.querySelector('h1')")
        assert browser.value("document.documentElement.scrollWidth") <= width
        lowest = "Math.max(...[...document.querySelectorAll('.first td')].map((of) => of.offsetTop))"
        assert browser.value(lowest) < height
        cut = "[...document.querySelectorAll('table')].some((of) => of.scrollWidth > of.clientWidth + 1)"
        assert width < 1280 or not browser.value(cut)
    browser.open(page, 1280, 900, ready="document.querySelector('h1')")
    assert browser.value("document.querySelector('picture img').getBoundingClientRect().bottom") < 900
    browser.close()


def test_every_picture_of_the_readme_is_on_disk_and_no_other(rendered):
    for suite in ("factorial", "empty"):
        folder = rendered(suite)
        named = set(re.findall(r'"(figures/[^"]+)"', (folder / "README.md").read_text()))
        assert named == {f"figures/{path.name}" for path in (folder / "figures").glob("*")}


def pixels(*shape):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8))


def test_sheet_keeps_every_pixel_and_fits_labels():
    made = sheet([(pixels(40, 60), "a very long name " * 9 + "\nseed 0")] * 3, columns=2)
    picture = np.asarray(made.convert("RGB"))[-200:, :300]
    assert (picture[::5, ::5] == np.asarray(pixels(40, 60))).all()
    assert made.width == 2 * 300 + 16
    assert not np.asarray(made)[:30, 300:316].any()


@pytest.mark.parametrize(
    ("name", "picture", "suffix"),
    [
        ("large", pixels(640, 640), ".webp"),
        ("small", pixels(640, 640).point(lambda value: value // 255), ".png"),
        ("beyond what WebP holds", pixels(WEBP_SIDE + 1, 300), ".png"),
    ],
)
def test_a_large_sheet_is_stored_as_webp_and_inlined_as_such(tmp_path, name, picture, suffix):
    (tmp_path / "figures").mkdir()
    file = save_sheet(picture, tmp_path / "figures" / "sheet")
    assert [file] == list(file.parent.iterdir()) and file.suffix == suffix
    assert Image.open(file).size == picture.size
    page = page_of(f'<img src="figures/sheet.{suffix[1:]}">', tmp_path, "..")
    assert page.count(f"data:image/{suffix[1:]};base64,") == 1


def test_numbers():
    values = (None, 0.0, 123.456, 12.344, 0.1234, 0.00123)
    assert list(map(number, values)) == ["\N{EN DASH}", "0.000", "123.5", "12.34", "0.123", "0.0012"]
    assert number(-2.0) == "\N{MINUS SIGN}2.00"
    assert number(1.5, signed=True) == "+1.50"
    assert number(-0.00001) == "0.0000"

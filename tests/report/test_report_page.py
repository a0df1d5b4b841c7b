import re

import numpy as np
import pytest
from PIL import Image

from sagan.analysis.words import number
from sagan.names import WEBP_SIDE
from sagan.report.page import body
from sagan.report.sheets import LARGE, Tile, save_sheet, sheet
from sagan.report.templating import sheet as sheet_tag
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
        assert (
            browser.value("Math.max(...[...document.querySelectorAll('.first td')].map((of) => of.offsetTop))") < height
        )
        wide = browser.value(
            "[...document.querySelectorAll('table')].some((of) => of.scrollWidth > of.clientWidth + 1)"
        )
        assert not wide or width < 1280
    browser.open(page, 1280, 900, ready="document.querySelector('h1')")
    assert browser.value("document.querySelector('picture img').getBoundingClientRect().bottom") < 900
    browser.close()


def test_every_picture_of_the_readme_is_on_disk_and_no_other(rendered):
    for suite in ("factorial", "empty"):
        folder = rendered(suite)
        named = set(re.findall(r'"(figures/[^"]+)"', (folder / "README.md").read_text()))
        assert named == {f"figures/{path.name}" for path in (folder / "figures").glob("*")}


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
    page = body(sheet_tag("large.webp", "faces") + sheet_tag("small.png", "digits"), tmp_path, "..")
    assert page.count("data:image/webp;base64,") == page.count("data:image/png;base64,") == 1


def test_a_sheet_beyond_what_webp_holds_is_stored_all_the_same(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (WEBP_SIDE, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "tile.png")
    file = save_sheet([Tile(tmp_path / "tile.png", "long", "")], tmp_path / "sheet", columns=1)
    with Image.open(file) as picture:
        assert picture.height > WEBP_SIDE


def test_numbers():
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

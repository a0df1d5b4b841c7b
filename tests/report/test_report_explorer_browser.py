"""The explorer's page in a real browser."""

import base64
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.report.browser import CHROMIUM, Browser
from tests.report.explorable import SEED, file_of, render, row_of


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium here (Debian: apt-get install chromium)")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def assert_asks(browser: Browser, library, row: int, column: int, network: str = "generator", image: int = 0) -> None:
    """The page's weights are those of a position, recomputed from what is stored."""
    weights = torch.tensor(browser.value("[...weights]"), dtype=torch.double)
    expected = row_of(file_of(library, network), image, row * 14 + column)
    torch.testing.assert_close(weights, expected, atol=1e-12, rtol=1e-6)


def drawn(browser: Browser, canvas: str) -> np.ndarray:
    """The weights over their highest, as a canvas shows them."""
    script = f"""(() => {{ const c = el('{canvas}');
      return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((_, i) => i % 4 === 3)]; }})()"""
    return np.array(browser.value(script), float) / 255


def test_pointer_shows_the_exact_row(browser, explorable):
    browser.open(render(explorable))
    seen = []
    for row, column in ((3, 9), (0, 0), (13, 13)):
        browser.click(row, column)
        expected = row_of(file_of(explorable), 0, row * 14 + column)
        assert_asks(browser, explorable, row, column)
        # What is drawn is what was computed: the map alone, and over the picture, with the square where it asks.
        for canvas in ("map", "over"):
            np.testing.assert_allclose(drawn(browser, canvas), expected / expected.max(), atol=1 / 255)
        assert browser.value("['top', 'left', 'width'].map((of) => parseFloat(el('mark').style[of]))") == pytest.approx(
            [100 * row / 14, 100 * column / 14, 100 / 14], abs=1e-3
        )
        entropy = float(torch.special.entr(expected).sum())
        assert browser.text("entropy") == f"{entropy:.2f} nats, {np.exp(entropy):.1f} of 49 keys"
        assert browser.text("position") == f"Row {row + 1}, column {column + 1}"
        assert browser.text("top") == f"{expected.max():#.3g}"
        seen.append(drawn(browser, "map"))
    assert np.abs(seen[0] - seen[1]).max() > 0.2
    assert browser.text("gamma") == f"{0.15 + 0.03 * SEED:.4f}"
    assert browser.text("layer-entropy") == f"{0.62 * np.log(49):.2f} of {np.log(49):.2f} nats"
    requests = [trouble["request"]["url"] for trouble in browser.troubles if "request" in trouble]
    assert all(url.startswith(("file:", "data:")) for url in requests)
    assert not [trouble for trouble in browser.troubles if "exceptionDetails" in trouble]
    assert not [trouble for trouble in browser.troubles if trouble.get("entry", {}).get("level") == "error"]


def test_every_16_bit_float_is_read_as_it_is(browser, explorable):
    browser.open(render(explorable))
    halves = np.arange(2**16, dtype="<u2")
    read = browser.value(f"[...floats('{base64.b64encode(halves.tobytes()).decode()}')].map(String)")
    np.testing.assert_array_equal(np.array(read, float), halves.view("<f2").astype(float))


def test_a_position_stays_until_the_next_click_or_drag(browser, explorable):
    browser.open(render(explorable))
    browser.click(4, 5)
    browser.mouse("mouseMoved", 9, 9)
    assert_asks(browser, explorable, 4, 5)
    browser.mouse("mousePressed", 9, 9)
    browser.mouse("mouseMoved", 10, 8, buttons=1)
    assert_asks(browser, explorable, 10, 8)


def test_keys_alone_reach_everything(browser, explorable):
    browser.open(render(explorable))
    reached = []
    while len(reached) < 5:
        browser.press("Tab")
        reached.append(browser.value("document.activeElement.id || document.activeElement.getAttribute('aria-label')"))
        if reached[-1] is not None:
            assert browser.value("getComputedStyle(document.activeElement).outlineStyle") != "none", reached[-1]
        if reached[-1] == "stage":
            browser.press("ArrowUp", "ArrowLeft", "ArrowLeft")
    assert reached[1:] == ["variant", "layer", "picture", "stage"]
    assert_asks(browser, explorable, 6, 5)
    assert browser.text("position") == "Row 7, column 6"
    browser.value("el('stage').focus()")
    browser.press(*["ArrowDown"] * 9)
    assert browser.text("position") == "Row 14, column 6"


def test_layer_and_picture_are_chosen(browser, explorable):
    browser.open(render(explorable))
    wanted = "discriminator 14\N{MULTIPLICATION SIGN}14"
    for name, chosen in (("layer", wanted), ("picture", "4")):
        browser.value(f"el('{name}').value = '{chosen}'; el('{name}').dispatchEvent(new Event('change'))")
    picture = browser.value("atob(el('image').src.split(',')[1]).split('').map((c) => c.charCodeAt(0))")
    stored = load_file(file_of(explorable, "discriminator"))["images"][3, 0]
    assert (np.asarray(Image.open(BytesIO(bytes(picture)))) == stored.numpy()).all()
    browser.click(2, 11)
    assert_asks(browser, explorable, 2, 11, "discriminator", 3)
    assert browser.value("weights.length") == 196


def test_a_finger_asks_on_a_phone(browser, explorable):
    browser.open(render(explorable), width=390, height=844)
    assert browser.value("document.documentElement.scrollWidth") == 390
    # Upwards, as one scrolls down: the page must not take the finger for itself.
    points = [[browser.at(row, 3, 14)] for row in (12, 9, 6, 3, 1)]
    for kind, touched in (("touchStart", points[0]), *(("touchMove", p) for p in points[1:]), ("touchEnd", [])):
        browser.call("Input.dispatchTouchEvent", type=kind, touchPoints=touched)
    assert_asks(browser, explorable, 1, 3)
    assert browser.value("scrollY") == 0


def test_page_follows_the_readers_theme(browser, explorable):
    page, shades = render(explorable), []
    for dark in (False, True):
        browser.open(page, dark=dark)
        shades.append(
            [browser.value(f"getComputedStyle(document.body).{what}") for what in ("backgroundColor", "color")]
        )
    assert shades == [["rgb(255, 255, 255)", "rgb(31, 35, 40)"], ["rgb(13, 17, 23)", "rgb(240, 246, 252)"]]

"""The explorer's page in a real browser, over queries and keys as an evaluation writes them."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from safetensors.torch import load_file
from torch import nn

from sagan.metrics.attention import layer_maps
from sagan.metrics.explorable import EXPLORABLE_IMAGES, save_explorable
from sagan.nn.attention import SelfAttention
from sagan.params.variants import Generator as GeneratorParams
from sagan.records import read_json, write_json
from sagan.report.explorer import render_explorer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FORMS = [form for form in get_args(GeneratorParams.model_fields["attention"].annotation) if form != "residual"]


class Attending(nn.Module):
    """One attention layer over images, of a strength that makes maps worth looking at."""

    def __init__(self, side: int, form: str = "official") -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 16, 28 // side, 28 // side)
        self.add_module(f"attention{side}", SelfAttention(16, nn.Identity(), form))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return list(self.children())[1](self.features(images))


def random_images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def row_of(file: Path, image: int, query: int) -> torch.Tensor:
    """Independently of the page: where a query looks, from the stored numbers."""
    tensors = load_file(file)
    return (tensors["keys"][image].double() @ tensors["queries"][image, query].double()).softmax(0)


@pytest.fixture
def explorable(make_library, tmp_path):
    """The suite "few" with queries and keys: variant sagan attends, seed 1 with others than seed 0."""
    library = make_library(tmp_path / "root", ["few"], pictures=False)
    for seed in (0, 1):
        folder = library.paths.evaluation(library.cell("few", "sagan", seed).evaluation)
        torch.manual_seed(seed)
        images = random_images(EXPLORABLE_IMAGES + 2, seed)
        for role, network in (("generator", Attending(14)), ("discriminator", Attending(14, "unpooled"))):
            save_explorable(network, role, images / 127.5 - 1, images, folder / "attention")
    return library


def render(library, suite: str = "few") -> Path | None:
    return render_explorer(suite, library.plan, library.params, library.paths)


@pytest.mark.parametrize("form", FORMS)
def test_stored_factors_give_the_networks_own_maps(tmp_path, form):
    torch.manual_seed(0)
    network, images = Attending(14, form), random_images(EXPLORABLE_IMAGES + 3)
    (file,) = save_explorable(network, "generator", images / 127.5 - 1, images, tmp_path)
    assert file.name == "generator-14.safetensors"
    tensors = load_file(file)
    assert torch.equal(tensors["images"], images[:EXPLORABLE_IMAGES])
    maps = layer_maps(network, images / 127.5 - 1)[0].maps[:EXPLORABLE_IMAGES]
    again = (tensors["queries"].float() @ tensors["keys"].float().transpose(1, 2)).softmax(2)
    assert again.shape == maps.shape
    assert maps.max() > 3 * maps.mean()
    torch.testing.assert_close(again, maps, atol=1e-4, rtol=0.02)


def test_no_file_without_attention(tmp_path):
    assert save_explorable(nn.Conv2d(1, 1, 1), "generator", torch.zeros(1, 1, 2, 2), random_images(1), tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_page_is_one_small_file_and_the_same_every_time(explorable):
    page = render(explorable)
    assert page == explorable.paths.report("few") / "explorer.html"
    first = page.read_bytes()
    assert len(first) < 5_000_000
    assert render(explorable).read_bytes() == first
    text = first.decode()
    assert "Without attention: no-attention." in text
    assert not [word for word in ("http://", "https://", "@import", "<link") if word in text]


def test_nothing_is_written_where_nothing_attends(explorable, make_library, tmp_path):
    bare = make_library(tmp_path / "bare", ["few"], pictures=False)
    assert render(bare) is None
    assert not bare.paths.report("few").exists()
    page = render(explorable)
    for file in explorable.paths.root.rglob("attention/*.safetensors"):
        file.unlink()
    assert render(explorable) is None
    assert not page.exists()


def test_runs_that_are_not_there_are_named(make_library, tmp_path):
    library = make_library(tmp_path, ["made-up"], pictures=False)
    folder = library.paths.evaluation(library.cell("made-up", "sagan", 2).evaluation)
    save_explorable(Attending(14), "generator", torch.zeros(2, 1, 28, 28), random_images(2), folder / "attention")
    text = render(library, "made-up").read_text()
    assert "sagan seed 0 (without queries and keys)" in text
    assert "ttur-1 seed 2 (missing)" in text
    assert "Without attention: no-attention, dcgan." in text


def add_large_layer(library, suite: str, variant: str, seed: int, dim: int) -> None:
    """Queries and keys of `dim` numbers for 28x28 positions, in both networks."""
    folder = library.paths.evaluation(library.cell(suite, variant, seed).evaluation)
    record, images, network = read_json(folder / "metrics.json"), random_images(EXPLORABLE_IMAGES), Attending(28)
    network.attention28.query, network.attention28.key = (nn.Conv2d(16, dim, 1) for _ in "qk")
    for role in ("generator", "discriminator"):
        save_explorable(network, role, images / 127.5 - 1, images, folder / "attention")
        record["attention"][f"{role}.28"] = record["attention"][f"{role}.14"]
    write_json(folder / "metrics.json", record)


@pytest.mark.parametrize(
    ("dim", "said"), [(60, "7 of the 8 pictures"), (128, "stay under 5 MB: seeds 1"), (640, "1 of the 8 pictures")]
)
def test_page_stays_small_and_says_what_it_leaves_out(explorable, dim, said):
    for seed in (0, 1):
        add_large_layer(explorable, "few", "sagan", seed, dim)
    page = render(explorable)
    assert 1_500_000 < page.stat().st_size < 5_000_000
    assert said in page.read_text()


def test_the_baseline_is_left_out_last(make_library, tmp_path):
    library = make_library(tmp_path, ["made-up"], pictures=False)
    for variant in ("sn-d-only", "sagan", "ttur-1"):
        add_large_layer(library, "made-up", variant, 0, 640)
    suite = library.params.suites["made-up"].model_copy(update={"baseline": "ttur-1"})
    params = library.params.model_copy(update={"suites": {"made-up": suite}})
    page = render_explorer("made-up", library.plan, params, library.paths)
    assert page.stat().st_size < 5_000_000
    assert "stay under 5 MB: variants sagan, sn-d-only." in page.read_text()


class Browser:
    """A headless Chromium that is spoken to over two pipes (the DevTools protocol), with one page open."""

    def __init__(self, profile: Path) -> None:
        ends = [*os.pipe(), *os.pipe()]
        # High numbers, so that putting them on 3 and 4 in the child overwrites none of them.
        hears, self._says, self._hears, says = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 50) for end in ends)
        for end in ends:
            os.close(end)
        flags = (
            "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
            "--disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-pipe"
        )
        self._process = subprocess.Popen(
            [
                "bash",
                "-c",
                f'exec "$@" 3<&{hears} 4>&{says}',
                "_",
                CHROMIUM,
                *flags.split(),
                f"--user-data-dir={profile}",
            ],
            pass_fds=(hears, says),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(hears)
        os.close(says)
        self._count, self._read, self._session, self.troubles = 0, b"", None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: object) -> dict:
        """One command and its answer; exceptions and requests of the page are kept on the way."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._says, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._read:
                self._read += os.read(self._hears, 1 << 20) or pytest.fail("the browser has gone")
            line, _, self._read = self._read.partition(b"\0")
            answer = json.loads(line)
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded", "Network.requestWillBeSent"):
                self.troubles.append(answer["params"])
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]

    def value(self, expression: str) -> object:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def open(self, page: Path, width: int = 1100, height: int = 1000, words: str = "", dark: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=width < 600)
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        self.call("Page.navigate", url="about:blank")
        self.troubles.clear()
        self.call("Page.navigate", url=f"{page.resolve().as_uri()}{words}")
        waiting = "new Promise((done) => { const look = () => window.document.readyState === 'complete' && "
        self.value(waiting + "el('gamma').textContent ? done() : setTimeout(look, 20); look(); })")

    def picture(self, path: Path) -> None:
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def at(self, row: int, column: int, side: int) -> dict[str, float]:
        """The middle of a position on the stage, in the page's pixels."""
        left, top, size = self.value(
            "(({left, top, width}) => [left, top, width])(el('stage').getBoundingClientRect())"
        )
        return {"x": left + size * (column + 0.5) / side, "y": top + size * (row + 0.5) / side}

    def mouse(self, kind: str, row: int, column: int, side: int = 14) -> None:
        button = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
        self.call("Input.dispatchMouseEvent", type=kind, **self.at(row, column, side), **button)

    def click(self, row: int, column: int) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, row, column)

    def press(self, *keys: str) -> None:
        for key in keys:
            for kind in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def text(self, name: str) -> str:
        return self.value(f"el('{name}').textContent")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        os.close(self._says)
        os.close(self._hears)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium here (Debian: apt-get install chromium)")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def weights(browser: Browser) -> torch.Tensor:
    return torch.tensor(browser.value("[...shown.weights]"), dtype=torch.double)


def file_of(library, network: str = "generator", seed: int = 0) -> Path:
    folder = library.paths.evaluation(library.cell("few", "sagan", seed).evaluation)
    return folder / "attention" / f"{network}-14.safetensors"


def pixels(browser: Browser, canvas: str, side: int) -> np.ndarray:
    """The colours [side, side, 3] in the middles of the squares of a canvas."""
    script = f"""(() => {{ const c = el('{canvas}'), d = c.getContext('2d'), step = c.width / {side};
      return Array.from({{length: {side * side}}}, (_, i) => [...d.getImageData(
        ((i % {side}) + 0.5) * step, (Math.floor(i / {side}) + 0.5) * step, 1, 1).data.slice(0, 3)]); }})()"""
    return np.array(browser.value(script), float).reshape(side, side, 3)


def test_pointer_shows_the_exact_row(browser, explorable):
    browser.open(render(explorable))
    seen = []
    for row, column in ((3, 9), (0, 0), (13, 13)):
        browser.mouse("mouseMoved", row, column)
        expected = row_of(file_of(explorable), 0, row * 14 + column)
        torch.testing.assert_close(weights(browser), expected, atol=1e-12, rtol=1e-6)
        # What is drawn is what was computed: the map alone, and over the picture.
        shares = (expected / expected.max()).reshape(7, 7).numpy()
        colours = 255 * colormaps["viridis"](shares)[..., :3]
        drawn = pixels(browser, "map", 7)
        inside = np.ones((7, 7), bool)
        inside[row // 2, column // 2] = False  # the mark
        assert np.abs(drawn - colours)[inside].max() < 4
        picture = load_file(file_of(explorable))["images"][0, 0].numpy()
        at = 4 * np.arange(7) + 2
        opacity = 0.75 * np.sqrt(shares)[..., None]
        overlay = (1 - opacity) * 0.6 * picture[np.ix_(at, at)][..., None] + opacity * colours
        assert np.abs(pixels(browser, "stage", 7) - overlay)[inside].max() < 8
        entropy = float(torch.special.entr(expected).sum())
        assert browser.text("entropy") == f"{entropy:.2f} nats"
        assert browser.text("position") == f"Row {row + 1}, column {column + 1}"
        assert browser.text("top") == f"{expected.max():#.3g}"
        seen.append(drawn)
    assert np.abs(seen[0] - seen[1]).max() > 50
    assert browser.text("gamma") == "+0.1500"
    assert browser.text("layer-entropy") == f"{0.62 * np.log(49):.2f} nats"
    requests = [trouble["request"]["url"] for trouble in browser.troubles if "request" in trouble]
    assert all(url.startswith(("file:", "data:image/png")) for url in requests)
    assert not [trouble for trouble in browser.troubles if "exceptionDetails" in trouble]
    assert not [trouble for trouble in browser.troubles if trouble.get("entry", {}).get("level") == "error"]


def test_every_16_bit_float_is_read_as_it_is(browser, explorable):
    browser.open(render(explorable))
    halves = np.arange(2**16, dtype="<u2")
    read = browser.value(f"[...floats('{base64.b64encode(halves.tobytes()).decode()}')].map(String)")
    np.testing.assert_array_equal(np.array(read, float), halves.view("<f2").astype(float))


def test_a_click_pins_and_another_lets_go(browser, explorable):
    browser.open(render(explorable))
    browser.click(4, 5)
    assert browser.text("pinned") == "pinned"
    browser.mouse("mouseMoved", 9, 9)
    torch.testing.assert_close(weights(browser), row_of(file_of(explorable), 0, 4 * 14 + 5), atol=1e-12, rtol=1e-6)
    browser.click(4, 5)
    browser.mouse("mouseMoved", 9, 9)
    torch.testing.assert_close(weights(browser), row_of(file_of(explorable), 0, 9 * 14 + 9), atol=1e-12, rtol=1e-6)


# A radio button is seen by its label's picture or words.
RINGED = "document.activeElement.type === 'radio' ? document.activeElement.nextSibling : document.activeElement"


def test_keys_alone_reach_everything(browser, explorable):
    browser.open(render(explorable))
    reached = []
    while not reached or reached[-1] != "same":
        browser.press("Tab")
        reached.append(browser.value("document.activeElement.id || document.activeElement.name"))
        ring = browser.value(f"getComputedStyle({RINGED}).outlineStyle")
        assert reached[-1] == "" or ring != "none", reached[-1]
        if reached[-1] == "stage":
            browser.press("ArrowUp", "ArrowLeft", "ArrowLeft", "Enter")
    assert reached == ["", "variant", "seed", "network", "side", "stage", "image", "same"]
    torch.testing.assert_close(weights(browser), row_of(file_of(explorable), 0, 6 * 14 + 5), atol=1e-12, rtol=1e-6)
    assert browser.text("said").startswith("Row 7, column 6, pinned. Strongest weight 0.")
    browser.value("el('stage').focus()")
    browser.press("Escape", "Home", "ArrowLeft", *["ArrowDown"] * 9)
    assert browser.text("position") == "Row 14, column 1"
    assert browser.text("pinned") == "of 14 \N{MULTIPLICATION SIGN} 14 positions"
    browser.press("End")
    torch.testing.assert_close(weights(browser), row_of(file_of(explorable), 0, 195), atol=1e-12, rtol=1e-6)


def test_choices_scale_and_address(browser, explorable):
    page = render(explorable)
    browser.open(page)
    for name, wanted in (("seed", "1"), ("network", "discriminator"), ("image", "3")):
        browser.value(f"document.querySelector('input[name={name}][value=\"{wanted}\"]').click()")
    everything = torch.stack([row_of(file_of(explorable, "discriminator", 1), 3, n) for n in range(196)])
    query = int(everything.amax(1).argmin())
    assert everything[query].max() < 0.9 * everything.max()
    browser.click(*divmod(query, 14))
    torch.testing.assert_close(weights(browser), everything[query], atol=1e-12, rtol=1e-6)
    assert len(weights(browser)) == 196
    browser.value("el('same').click()")
    assert browser.value("shown.top") == pytest.approx(float(everything.max()), rel=1e-6)
    browser.value("new Promise((done) => setTimeout(done, 500))")
    words = browser.value("location.hash")
    browser.open(page, words=words)
    torch.testing.assert_close(weights(browser), everything[query], atol=1e-12, rtol=1e-6)
    assert browser.text("pinned") == "pinned"
    browser.open(page, words="#variant=gone&seed=x&row=-5&column=999&image=77")
    assert browser.text("position") == "Row 1, column 14"


def test_a_finger_asks_on_a_phone(browser, explorable):
    browser.open(render(explorable), width=390, height=844)
    assert browser.value("document.documentElement.scrollWidth") == 390
    # Upwards, as one scrolls down: the page must not take the finger for itself.
    points = [[browser.at(row, 3, 14)] for row in (12, 9, 6, 3, 1)]
    for kind, touched in (("touchStart", points[0]), *(("touchMove", p) for p in points[1:]), ("touchEnd", [])):
        browser.call("Input.dispatchTouchEvent", type=kind, touchPoints=touched)
    torch.testing.assert_close(weights(browser), row_of(file_of(explorable), 0, 1 * 14 + 3), atol=1e-12, rtol=1e-6)
    assert browser.text("pinned") == "pinned"
    assert browser.value("scrollY") == 0


def test_page_follows_the_readers_theme(browser, explorable):
    page, shades = render(explorable), []
    for dark in (False, True):
        browser.open(page, dark=dark)
        shades.append(
            [browser.value(f"getComputedStyle(document.body).{what}") for what in ("backgroundColor", "color")]
        )
    assert shades == [["rgb(255, 255, 255)", "rgb(31, 35, 40)"], ["rgb(13, 17, 23)", "rgb(240, 246, 252)"]]

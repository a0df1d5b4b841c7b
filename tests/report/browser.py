"""A real browser for tests of pages."""

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


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
        command = ["bash", "-c", f'exec "$@" 3<&{hears} 4>&{says}', "_", CHROMIUM, *flags.split()]
        nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([*command, f"--user-data-dir={profile}"], pass_fds=(hears, says), **nowhere)
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

    def open(self, page: Path, width=1100, height=1000, ready="el('gamma').textContent", dark=False) -> None:
        phone = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url="about:blank")
        self.troubles.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        waiting = "new Promise((done) => { const look = () => window.document.readyState === 'complete' && "
        self.value(waiting + ready + " ? done() : setTimeout(look, 20); look(); })")

    def at(self, row: int, column: int, side: int) -> dict[str, float]:
        """The middle of a position on the stage, in the page's pixels."""
        left, top, size = self.value("['left', 'top', 'width'].map((of) => el('stage').getBoundingClientRect()[of])")
        return {"x": left + size * (column + 0.5) / side, "y": top + size * (row + 0.5) / side}

    def mouse(self, kind: str, row: int, column: int, side: int = 14, **held: int) -> None:
        button = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else held
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

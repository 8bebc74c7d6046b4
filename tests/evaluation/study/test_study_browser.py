"""The page in a real browser of a phone's size: consent, taps, a reload, a double tap, keys, the end.

Headless Chromium is driven by the DevTools protocol over a pipe, which needs no further package.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation.study.raters import make_study, serving
from PIL import Image

from stylegan_swap.evaluation.study.answers import ANSWERS_FILE, read_answers
from stylegan_swap.evaluation.study.manifest import load_study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium"),
]


class Browser:
    """One tab. Chromium reads commands from its descriptor 3 and answers on 4, ended by a zero byte."""

    def __init__(self, profile: Path, width: int, height: int, scale: float = 2.0) -> None:
        (commands, self.write), (self.read, replies) = os.pipe(), os.pipe()
        line = shlex.join([str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "about:blank"])
        self.process = subprocess.Popen(
            ["bash", "-c", f"exec {line} 3<&{commands} 4>&{replies}"],
            pass_fds=(commands, replies),
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(profile)},
        )
        os.close(commands)
        os.close(replies)
        self.buffer, self.number, self.session = b"", 0, ""
        targets = self("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self.session = self("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=True,
        )
        self("Emulation.setTouchEmulationEnabled", enabled=True)

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.buffer:
                part = os.read(self.read, 1 << 16)
                assert part, "the browser ended"
                self.buffer += part
            reply, _, self.buffer = self.buffer.partition(b"\0")
            content = json.loads(reply)
            if content.get("id") == self.number:
                assert "error" not in content, content
                return dict(content["result"])

    def js(self, expression: str) -> Any:
        result = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, condition: str, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not self.js(condition):
            assert time.monotonic() < end, f"{condition}: {self.js('document.body.innerText')}"
            time.sleep(0.01)

    def tap(self, selector: str, times: int = 1) -> None:
        x, y = self.js(
            f"(() => {{ const e = document.querySelector({selector!r});"
            "e.scrollIntoView({block: 'nearest'}); const b = e.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for _ in range(times):
            self("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
            self("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def key(self, name: str) -> None:
        self("Input.dispatchKeyEvent", type="keyDown", key=name)
        self("Input.dispatchKeyEvent", type="keyUp", key=name)

    def screenshot(self) -> Image.Image:
        return Image.open(io.BytesIO(base64.b64decode(self("Page.captureScreenshot", format="png")["data"])))

    def close(self) -> None:
        self("Browser.close")
        self.process.wait(20)
        os.close(self.write)
        os.close(self.read)


@pytest.fixture
def phone(tmp_path):
    browser = Browser(tmp_path / "profile", 390, 844)
    yield browser
    browser.close()


WELCOME = "document.getElementById('welcome')?.hidden === false"
READY = "document.querySelector('#task:not([hidden]) #buttons button:enabled') !== null"
COUNT = "document.getElementById('count').textContent"
ENDED = "document.getElementById('end')?.hidden === false"


def save(picture: Image.Image, name: str) -> None:
    """Where a developer wants to see the pages."""
    if folder := os.environ.get("STYLEGAN_SWAP_SCREENSHOTS"):
        picture.save(Path(folder) / name)


def fits(phone: Browser) -> None:
    """Nothing is wider than the screen, and everything to press is as large as a finger."""
    assert phone.js("document.documentElement.scrollWidth") <= 390
    sizes = phone.js(
        "[...document.querySelectorAll('button')].map(b => b.getBoundingClientRect())"
        ".filter(b => b.width).map(b => [b.width, b.height])"
    )
    assert sizes and all(width >= 48 and height >= 48 for width, height in sizes)


def test_a_rater_with_a_phone(phone, tmp_path):
    folder = make_study(tmp_path, ("one", "two", "three"), 6, items=4, checks=2, duplicates=1, seed=2)
    total = (4 + 1) * 3 + 2
    with serving(folder) as url:
        phone("Page.navigate", url=url)
        phone.until(WELCOME)
        fits(phone)
        save(phone.screenshot(), "welcome.png")
        phone.tap("#begin", times=3)
        phone.until(READY)
        assert phone.js("/^\\?rater=[0-9a-f]{32}$/.test(location.search)")
        fits(phone)
        bottom = phone.js("document.querySelector('#buttons').getBoundingClientRect().bottom")
        assert bottom <= 844, "question, pictures and buttons fit on the screen without scrolling"
        assert np.asarray(phone.screenshot().convert("RGB")).std() > 20, "pictures are shown"
        for number in range(1, total + 1):
            phone.until(READY)
            assert phone.js(COUNT) == f"{number} of {total}"
            if number == 1:
                save(phone.screenshot(), "task.png")
                phone.tap("#pictures img:first-child", times=3)
            elif number == 3:
                phone.js("window.before = true")
                phone("Page.reload")
                phone.until("!window.before")
                phone.until(READY)
                assert phone.js(COUNT) == f"3 of {total}", "the reload goes on where it was"
                phone.key("ArrowDown")
            elif number == 5:
                # Without the token in the address it is found in the browser's storage.
                phone("Page.navigate", url=url)
                phone.until(READY)
                assert phone.js(COUNT) == f"5 of {total}"
                phone.key("ArrowRight")
            else:
                phone.tap("#buttons button:last-child", times=2 if number % 2 else 1)
            phone.until(f"{ENDED} || {COUNT} === '{number + 1} of {total}'")
        phone.until(ENDED)
        save(phone.screenshot(), "end.png")
        phone.tap("#another")
        phone.until(f"{WELCOME} && location.search === ''")
    lines = [json.loads(line) for line in (folder / ANSWERS_FILE).read_text().splitlines()]
    assert sum(line["event"] == "join" for line in lines) == 1
    given = {line["step"]: line["answer"] for line in lines if line["event"] == "answer"}
    assert sorted(given) == list(range(total)) and len(lines) == total + 1
    assert (given[0], given[1], given[2], given[4]) == ("left", "right", "tie", "right")
    assert len(read_answers(folder, load_study(folder))) == total


def test_a_lost_connection_loses_no_answer(phone, tmp_path):
    folder = make_study(tmp_path, ("one", "two"), 4, items=3, checks=0, duplicates=0)
    with serving(folder) as url:
        phone("Page.navigate", url=url)
        phone.until(WELCOME)
        phone.tap("#begin")
        phone.until(READY)
        phone("Network.enable")
        offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        phone("Network.emulateNetworkConditions", offline=True, **offline)
        phone.tap("#buttons button:first-child")
        phone.until("document.getElementById('message').textContent.includes('Not saved yet')")
        save(phone.screenshot(), "offline.png")
        assert phone.js(COUNT).startswith("1 of")
        phone("Network.emulateNetworkConditions", offline=False, **offline)
        phone.until(f"{COUNT}.startsWith('2 of')")
        assert phone.js("document.getElementById('message').textContent") == ""
    assert [answer.step for answer in read_answers(folder, load_study(folder))] == [0]


def test_scores_on_a_phone(phone, tmp_path):
    folder = make_study(tmp_path, ("one", "two"), 4, kind="mos", items=3, checks=1, duplicates=0)
    with serving(folder) as url:
        phone("Page.navigate", url=url)
        phone.until(WELCOME)
        phone.tap("#begin")
        phone.until(READY)
        fits(phone)
        save(phone.screenshot(), "mos.png")
        assert phone.js("document.querySelector('#buttons').getBoundingClientRect().bottom") <= 844
        while not phone.js(ENDED):
            phone.until(f"{ENDED} || ({READY})")
            before = phone.js(COUNT)
            phone.key("4")
            phone.until(f"{ENDED} || {COUNT} !== {before!r}")
    values = [answer.value for answer in read_answers(folder, load_study(folder))]
    assert values == [4.0] * 10

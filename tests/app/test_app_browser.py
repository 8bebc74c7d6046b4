"""The page in headless Chromium: two photos up, a press, a marked picture down; then a face that nobody has.

Driven by playwright; skipped, saying so, where it or Chromium is missing.
"""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason="needs the extra 'app'")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")

from stylegan_swap.app.server import Server, Settings  # noqa: E402
from stylegan_swap.provenance.consent import CONSENT  # noqa: E402
from stylegan_swap.provenance.watermark import Kind  # noqa: E402
from stylegan_swap.verify import verify_file  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PATIENCE = 120_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def served():
    with Server(Settings(device="cpu")) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def tab(served, browser):
    """An open page; afterwards: no errors of scripts, no request to anybody else."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(served.url)
    page.wait_for_selector("#swap")
    yield page
    page.close()
    assert errors == []
    home = (served.url, f"blob:{served.url}", "data:")
    assert [url for url in asked if not url.startswith(home)] == []


def test_two_photos_become_a_marked_download(tab, astronaut_path, hopper_path, hopper, tmp_path):
    assert CONSENT[1:] in tab.inner_text("#consent")
    tab.set_input_files("#identity input[type=file]", astronaut_path)
    tab.set_input_files("#attribute input[type=file]", hopper_path)
    tab.wait_for_selector("#faces .wrap label.selected")
    assert tab.locator("#faces .wrap label").count() == 1
    # The thumbnail is really there, behind the tick.
    picture = "getComputedStyle(document.querySelector('#faces .wrap label')).backgroundImage"
    assert tab.evaluate(picture).startswith('url("data:image/jpeg')
    tab.click("#swap")
    tab.wait_for_function("document.querySelector('#outcome').innerText.includes('distance')")
    with tab.expect_download() as download:
        tab.click("#download")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    tab.screenshot(path=tmp_path / "page.png", full_page=True)
    assert path.name == "hopper-swapped.png"
    verdict = verify_file(path)
    assert verdict.marks.synthetic and verdict.watermark is not None and verdict.watermark.kind is Kind.SWAP
    with Image.open(path) as image:
        changed = np.abs(np.asarray(image.convert("RGB")).astype(int) - hopper).max(2) > 25
    assert changed.shape == (600, 512) and 0.01 < changed.mean() < 0.3
    assert "passes for the identity" in tab.inner_text("#outcome") or "like" in tab.inner_text("#outcome")


def test_a_generated_face_becomes_the_identity(tab):
    tab.get_by_role("tab", name="Generate", exact=True).click()
    tab.click("#generate")
    tab.locator("#gallery .thumbnail-item").nth(2).click()
    tab.click("#use:not([disabled])")
    image = tab.wait_for_selector("#identity img")
    assert "seed000002" in image.get_attribute("src")
    assert tab.get_by_role("tab", name="Photo", exact=True).get_attribute("aria-selected") == "true"


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_cut_off_at_this_width(tab, width):
    tab.set_viewport_size({"width": width, "height": 900})
    for name in ("Photo", "Clip", "Edit", "Generate"):
        tab.get_by_role("tab", name=name, exact=True).click()
        tab.wait_for_timeout(300)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        # Every button that shows lies wholly inside the window.
        for box in tab.locator("button.lg:visible").evaluate_all(
            "all => all.map(one => { const box = one.getBoundingClientRect(); return [box.left, box.right] })"
        ):
            assert box[0] >= 0 and box[1] <= width


def test_a_broken_photo_is_told_on_the_page(tab, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 nothing at all")
    tab.set_input_files("#attribute input[type=file]", broken)
    tab.get_by_text("broken.jpg: the picture is truncated or damaged").wait_for()
    tab.click("#swap")
    tab.get_by_text("choose an identity photo first").wait_for()

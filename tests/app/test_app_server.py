"""The page over HTTP: thirty visitors at once, files out of reach, errors in words, nothing that stays."""

from __future__ import annotations

import hashlib
import re
import socket
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

gradio = pytest.importorskip("gradio", reason="needs the extra 'app'")

from gradio_client import Client, handle_file  # noqa: E402

from stylegan_swap import errors  # noqa: E402
from stylegan_swap.api import Swapper  # noqa: E402
from stylegan_swap.app import server as serving  # noqa: E402
from stylegan_swap.app.actions import SwapChoices, swap_photo  # noqa: E402
from stylegan_swap.app.server import Server, Settings  # noqa: E402
from stylegan_swap.provenance.consent import CONSENT  # noqa: E402
from stylegan_swap.verify import verify_file  # noqa: E402

VISITORS = 30
# What the tab sends for everything but the photos: no face ticked, all dials as they are.
REST = [[], 1, 0, 1, 0, False, False, 0, "PNG", "predicted", [], False, 0.06, 0, 0, 0, 0]


@pytest.fixture(scope="module")
def connections():
    """Every address that anything in this process connects to while the page is served."""
    seen, patch = [], pytest.MonkeyPatch()
    connect = socket.socket.connect

    def recorded(self, address, *rest):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            seen.append(address[0])
        return connect(self, address, *rest)

    patch.setattr(socket.socket, "connect", recorded)
    yield seen
    patch.undo()


@pytest.fixture(scope="module")
def page(connections):
    settings = Settings(weights="paste", device="cpu", most_megabytes=2, keep_seconds=3600)
    with Server(settings) as server:
        yield server
    assert not server.folder.root.exists()


def visitor(page, folder: Path) -> Client:
    return Client(page.url, verbose=False, analytics_enabled=False, download_files=folder)


@pytest.fixture(scope="module")
def variants(astronaut, hopper, tmp_path_factory) -> list[tuple[Path, Path]]:
    """Thirty pairs of small photos, no two alike in light or cut."""
    folder = tmp_path_factory.mktemp("variants")
    crops = (astronaut[:200, 120:320], hopper[30:400:2, 70:440:2])
    pairs = []
    for number in range(VISITORS):
        paths = []
        for which, crop in enumerate(crops):
            step = number % 10
            lit = np.clip(crop[step:].astype(float) * (0.75 + 0.015 * number), 0, 255).astype(np.uint8)
            # One name for all: whoever went by names would mix them up.
            path = folder / str(number) / f"photo{which}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(lit).save(path)
            paths.append(path)
        pairs.append((paths[number % 2], paths[1 - number % 2]))
    return pairs


@pytest.mark.parametrize("visitors", [8, pytest.param(VISITORS, marks=pytest.mark.exhaustive)])
def test_visitors_at_once_get_their_own_results(page, variants, tmp_path, visitors):
    answers: list[bytes | BaseException] = [b""] * visitors
    together = threading.Barrier(visitors)

    def visit(number: int) -> None:
        try:
            client = visitor(page, tmp_path / str(number))
            together.wait(60)
            _, _, download = client.predict(
                identity=handle_file(variants[number][0]),
                attribute=handle_file(variants[number][1]),
                file_type="PNG",
                api_name="/swap",
            )
            answers[number] = Path(download["value"]).read_bytes()
        except BaseException as error:  # noqa: BLE001
            answers[number] = error

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    swapper = Swapper.from_pretrained("paste", device="cpu")
    for number, (identity, attribute) in enumerate(variants[:visitors]):
        folder = tmp_path / f"alone{number}"
        folder.mkdir()
        alone = swap_photo(swapper, identity, attribute, SwapChoices(file_type="PNG"), folder)
        assert answers[number] == alone.file.read_bytes(), f"visitor {number}: {answers[number]!r:.300}"
    assert len({hashlib.sha256(answer).digest() for answer in answers}) == visitors


def test_a_download_is_marked_and_the_words_are_there(page, hopper_path, astronaut_path, tmp_path):
    pictures, words, download = visitor(page, tmp_path).predict(
        identity=handle_file(hopper_path), attribute=handle_file(astronaut_path), api_name="/swap"
    )
    verdict = verify_file(download["value"])
    assert verdict.marks.synthetic and verdict.watermark is not None
    assert Path(download["value"]).name == "astronaut-swapped.png"
    assert "distance 0." in words and "512 × 512 pixels" in words
    assert [Image.open(path).size for path in pictures] == [(512, 512)] * 2


def test_errors_arrive_in_words(page, hopper_path, tmp_path, monkeypatch):
    client = visitor(page, tmp_path)
    broken = tmp_path / "broken picture.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 nothing at all")
    with pytest.raises(Exception, match=r"^broken picture\.jpg: the picture is truncated or damaged"):
        client.predict(identity=handle_file(broken), attribute=handle_file(hopper_path), api_name="/swap")
    monkeypatch.setenv("STYLEGAN_SWAP_MAX_PIXELS", "10000")
    with pytest.raises(Exception, match=r"hopper\.png: .*megapixels") as caught:
        client.predict(
            identity=handle_file(hopper_path), attribute=handle_file(hopper_path), api_name="/swap"
        )
    assert str(page.folder.root) not in str(caught.value) and "Traceback" not in str(caught.value)


def test_files_outside_the_cache_are_out_of_reach(page, tmp_path, connections):
    secret = tmp_path / "secret.txt"
    secret.write_text("7e1f-content")
    here = Path(__file__).resolve()
    with httpx.Client(base_url=page.url, timeout=30) as http:
        for path in (
            "/etc/passwd",
            str(secret),
            str(here),
            f"{page.folder.root}/../../etc/passwd",
            "README.md",
        ):
            answer = http.get(f"/gradio_api/file={path}")
            assert answer.status_code in (403, 404), (path, answer.status_code)
            assert "root:" not in answer.text and "7e1f" not in answer.text
        for address in ("https://example.org/", "http://127.0.0.1:9/x"):
            assert http.get(f"/gradio_api/file={address}").status_code == 403
        # Not as an input either, in a form made by hand.
        for path, status in ((str(secret), 200), ("https://example.org/x.png", 403)):
            form = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}] * 2 + REST}
            started = http.post("/gradio_api/call/swap", json=form)
            assert started.status_code == status
            if status == 200:
                told = http.get(f"/gradio_api/call/swap/{started.json()['event_id']}").text
                assert "event: error" in told and "complete" not in told
        assert http.get("/", headers={"Host": "evil.example"}).status_code == 403
    assert set(connections) <= {"127.0.0.1", "::1"}


def test_large_uploads_are_refused(page):
    with httpx.Client(base_url=page.url, timeout=30) as http:
        answer = http.post(
            "/gradio_api/upload", files={"files": ("large.png", b"\0" * (2 << 20) + b"\0" * 200_000)}
        )
        assert answer.status_code == 413 and "at most 2 MB" in answer.text
        answer = http.post("/gradio_api/upload", files={"files": ("small.png", b"\0" * 1000)})
        assert answer.status_code == 200


def test_the_page_names_no_other_host(page):
    text = httpx.get(page.url).text
    assert CONSENT[1:] in text
    # What is left are descriptions for search engines, which no browser fetches.
    lines = [line for line in text.splitlines() if "<script" not in line and "window.gradio" not in line]
    fetched = [line for line in lines if ("src=" in line or "href=" in line) and "http" in line]
    assert not [line for line in fetched if "127.0.0.1" not in line], fetched
    styles = httpx.get(f"{page.url}theme.css").text
    assert not re.search(r"""url\(\s*["']?(https?:)?//|@import|fonts\.g""", styles) and "system-ui" in styles
    config = httpx.get(f"{page.url}config").json()
    assert config["analytics_enabled"] is False and not config.get("footer_links")


def test_too_many_waiting_visitors_are_told(monkeypatch, hopper_path, tmp_path):
    go_on = threading.Event()

    def slow(*_):
        go_on.wait(60)
        raise errors.AppError("late")

    monkeypatch.setattr("stylegan_swap.app.tab_photo.swap_photo", slow)
    with Server(Settings(weights="paste", device="cpu", queue=2)) as page:
        form = {"data": [None, None, *REST]}
        with httpx.Client(base_url=page.url, timeout=30) as http:
            answers = []
            for _ in range(6):
                answers.append(http.post("/gradio_api/call/swap", json=form))
                time.sleep(0.1)
            go_on.set()
        assert answers[0].status_code == 200
        assert answers[-1].status_code == 503 and "Queue is full" in answers[-1].text


def test_uploads_go_after_a_while(hopper_path):
    with Server(Settings(weights="paste", device="cpu", keep_seconds=1)) as page:
        answer = httpx.post(
            f"{page.url}gradio_api/upload", files={"files": ("h.png", hopper_path.read_bytes())}
        )
        [path] = answer.json()
        assert Path(path).is_file() and Path(path).is_relative_to(page.folder.root)
        deadline = time.monotonic() + 20
        while Path(path).exists():
            assert time.monotonic() < deadline, "the upload stays"
            time.sleep(0.2)


def test_a_taken_port_is_told(page):
    port = int(page.url.rstrip("/").rsplit(":", 1)[1])
    with pytest.raises(errors.AppError, match=f"127.0.0.1, {port}: cannot listen there"):
        Server(Settings(weights="paste", device="cpu", port=port))


def test_without_gradio_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(errors.MissingDependencyError, match=r"pip install 'stylegan-swap\[app\]'"):
        serving.require_gradio()
    monkeypatch.setitem(sys.modules, "gradio", type("Old", (), {"__version__": "5.1.0"}))
    with pytest.raises(errors.MissingDependencyError, match=r"gradio 6 or later, 5\.1\.0 is installed"):
        serving.require_gradio()

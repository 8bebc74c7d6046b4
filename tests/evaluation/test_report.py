"""The report page: complete, self-contained, honest about gaps and misses, and it renders."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from stylegan_swap.errors import ImageWriteError
from stylegan_swap.evaluation.report import ranked, write_report

EVIL = '<script>alert("x")</script> & $a$'
COLUMNS = {
    "id_distance": ("lower", "", 0.23),
    "pose_error": ("lower", "°", 0.47),
    "expression_error": ("lower", "", None),
    "id_cosine": ("higher", "", 0.94),
    "sharpness": ("one", "", None),
}
VOID = {"meta", "img", "path", "use", "br", "link", "input", "image", "rect", "line"}


class Page(HTMLParser):
    """What a page says: its words per table cell, its addresses, and whether the tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.rows: list[list[str]] = []
        self.best: list[str] = []
        self.text = ""
        self._class = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        found = dict(attrs)
        self.addresses += [
            value
            for name, value in attrs
            if name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster")
        ]
        self.ids += [found["id"]] if "id" in found else []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._class = found.get("class") or ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag
        if tag in ("td", "th") and "best" in self._class.split():
            self.best.append(" ".join(self.rows[-1][-1].split()))

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def row(self, *start: str) -> list[str]:
        """The one table row that begins with these words."""
        clean = [[" ".join(cell.split()) for cell in row] for row in self.rows]
        found = [row for row in clean if len(row) >= len(start) and all(map(str.startswith, row, start))]
        assert len(found) == 1, (start, found)
        return found[0]


def made_up(methods=("warp", "default"), pairs: int = 9):
    """Rows in which pair n of every method has distance (n + 1) / 10; pair 3 missed, pair 5 failed."""
    rows = {
        method: [
            {
                "number": n,
                "identity": f"id{n}.jpg",
                "attribute": EVIL if n == 3 else f"attr{n}.jpg",
                "status": {3: "miss", 5: "error"}.get(n, "ok"),
                "reason": {3: "no face, tried HOG", 5: EVIL}.get(n, ""),
                **dict.fromkeys(COLUMNS, (n + 1) / 10),
            }
            for n in range(pairs)
        ]
        for method in methods
    }
    measures = [
        {"id_distance": 0.5, "pose_error": float("nan"), "id_cosine": 0.2, "sharpness": 0.7},
        {"id_distance": 0.4, "pose_error": 3.0, "id_cosine": 0.1, "sharpness": 1.2},
    ]
    summary = {
        "title": f"Cross pairs {EVIL}",
        "command": "stylegan-swap evaluate pairs.csv",
        "version": "1.2.3",
        "pairs": pairs,
        "people": 4,
        "sort_by": "id_distance",
        "columns": {
            name: {"better": better, "unit": unit, "floor": floor, "meaning": f"meaning of {name}"}
            for name, (better, unit, floor) in COLUMNS.items()
        },
        "methods": {
            method: {
                "counts": {
                    state: sum(row["status"] == state for row in rows[method])
                    for state in ("ok", "miss", "error")
                },
                "seconds": 12.0,
                "measures": {
                    name: {"value": value, "low": value * 0.9, "high": value * 1.1}
                    for name, value in values.items()
                },
            }
            for method, values in zip(methods, measures, strict=False)
        },
    }
    return summary, rows


def pictures(method, row):
    """Three flat pictures whose red tells the pair."""
    return tuple(np.full((40, 60, 3), (20 * row["number"], 90 * role, 60), np.uint8) for role in range(3))


def written(tmp_path, summary, rows, triple=pictures, **options) -> str:
    path = tmp_path / "report.html"
    write_report(path, summary, rows, triple, **options)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


@pytest.fixture
def page(tmp_path) -> str:
    return written(tmp_path, *made_up())


def test_it_needs_nothing_else(page):
    parsed = Page(page)
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))
    inside = {f"#{name}" for name in parsed.ids}
    assert parsed.addresses
    assert [a for a in parsed.addresses if not a.startswith("data:image/") and a not in inside] == []
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= inside
    assert not re.search(r"https?:|file:|//[\w.]+\.\w+/|@import", page)
    assert not parsed.tags & {"link", "iframe", "object", "embed", "form", "base"}
    assert "default-src 'none'" in page


def test_every_name_is_escaped(tmp_path):
    summary, rows = made_up(methods=(EVIL, "default"))
    summary["columns"][EVIL] = {"better": "lower", "unit": EVIL, "floor": None, "meaning": EVIL}
    summary["methods"][EVIL]["measures"][EVIL] = {"value": 1.0, "low": None, "high": None}
    page = written(tmp_path, summary, rows)
    assert page.count("<script") == 1
    assert "alert(&#34;x&#34;)" in page
    # As many as there are names, and none of them read as a formula in a plot.
    assert Page(page).text.count("alert") > 10
    assert "$a$" in Page(page).text


def test_the_policy_names_the_script(page):
    import hashlib

    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page


def test_counts_and_failures(page):
    parsed = Page(page)
    assert next(row for row in parsed.rows if row[0] == "warp") == [
        "warp",
        "9",
        "7",
        "1",
        "1",
        "12.0",
        "1.33",
    ]
    assert parsed.row("warp", "3", "miss") == ["warp", "3", "miss", "no face, tried HOG", "id3.jpg", EVIL]
    assert parsed.row("default", "5", "error") == ["default", "5", "error", EVIL, "id5.jpg", "attr5.jpg"]


def test_measures(page):
    parsed = Page(page)
    assert parsed.row("measure") == ["measure", "noise", "warp", "default"]
    assert parsed.row("id_distance ↓") == [
        "id_distance ↓ meaning of id_distance",
        "0.230",
        "0.500 0.450 … 0.550",
        "0.400 0.360 … 0.440",
    ]
    assert parsed.row("pose_error [°] ↓")[1:] == ["0.47", "–", "3.00 2.70 … 3.30"]
    assert parsed.row("expression_error ↓")[1:] == ["–", "–", "–"]
    assert parsed.row("id_cosine ↑")[2:] == ["0.200 0.180 … 0.220", "0.100 0.090 … 0.110"]
    assert parsed.row("sharpness →1")[2:] == ["0.70 0.63 … 0.77", "1.20 1.08 … 1.32"]
    # Bold, in the order of the rows: lower, lower with a gap, higher, and nearer to 1.
    assert [cell.split()[0] for cell in parsed.best] == ["0.400", "3.00", "0.200", "1.20"]
    assert len(re.findall(r"<b>[\d.]+</b>", page)) == 4
    assert "nan" not in parsed.text.lower()
    assert "None" not in parsed.text


def shown_pairs(page: str) -> list[int]:
    """Numbers of the pairs on the cards: the red of their first picture, which must agree with the text."""
    cards = re.findall(r'<figure class="card">(.*?)</figure>', page, re.DOTALL)
    numbers = []
    for card in cards:
        encoded = re.findall(r"base64,([^\"]+)", card)
        assert len(encoded) == 3
        first = Image.open(io.BytesIO(base64.b64decode(encoded[0])))
        assert first.format == "JPEG"
        numbers.append(round(np.asarray(first)[..., 0].mean() / 20))
        assert f"Pair {numbers[-1]}:" in card
    return numbers


def test_best_and_worst(tmp_path):
    summary, rows = made_up()
    assert shown_pairs(written(tmp_path, summary, rows)) == 2 * [0, 1, 2, 4, 8, 7, 6]
    assert shown_pairs(written(tmp_path, summary, rows, limit=2)) == 2 * [0, 1, 8, 7]
    summary["sort_by"] = "id_cosine"
    assert shown_pairs(written(tmp_path, summary, rows, limit=2)) == 2 * [8, 7, 0, 1]
    rows["warp"][8]["id_cosine"] = float("nan")
    rows["warp"][7]["id_cosine"] = None
    assert shown_pairs(written(tmp_path, summary, rows, limit=1)) == [6, 0, 8, 0]


def test_ranking_by_nearness_to_one():
    rows = [{"number": n, "status": "ok", "x": x} for n, x in enumerate((0.5, 1.1, 2.0, 0.95, 1.1))]
    assert [row["number"] for row in ranked(rows, "x", "one")] == [3, 1, 4, 0, 2]


def test_nothing_to_rank(tmp_path):
    summary, rows = made_up()
    for row in rows["warp"]:
        row |= {"status": "error", "reason": "weights are missing"}
    summary["methods"]["warp"] |= {
        "measures": {},
        "counts": {"ok": 0, "miss": 0, "error": 9},
        "seconds": None,
    }
    text = Page(written(tmp_path, summary, rows)).text
    assert "No swap of this method has a value to rank by." in text
    assert "id_distance of every swap" in text


def test_no_failures(tmp_path):
    summary, rows = made_up(pairs=3)
    assert "Every pair gave a result with a face." in Page(written(tmp_path, summary, rows)).text


def test_it_is_the_same_every_time(tmp_path):
    assert written(tmp_path, *made_up()) == written(tmp_path, *made_up())


def test_wrong_calls(tmp_path):
    summary, rows = made_up()
    with pytest.raises(ImageWriteError, match="does not exist; create it first"):
        write_report(tmp_path / "absent" / "r.html", summary, rows, pictures)
    with pytest.raises(ValueError, match="warp, pair 0: a picture is float64"):
        write_report(tmp_path / "r.html", summary, rows, lambda method, row: (np.zeros((4, 4, 3)),) * 3)
    with pytest.raises(ValueError, match="sort_by 'beauty' is no column"):
        write_report(tmp_path / "r.html", summary | {"sort_by": "beauty"}, rows, pictures)
    with pytest.raises(ImageWriteError, match="could not be written"):
        write_report(tmp_path, summary, rows, pictures)
    assert list(tmp_path.iterdir()) == []


def browse(folder, path, *options) -> str:
    """Headless Chromium on a page; what it prints."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("no chromium on PATH to render the report")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={folder / 'profile'}", "--hide-scrollbars", *options, path.as_uri()]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_renders(tmp_path, scheme):
    path, picture = tmp_path / "report.html", tmp_path / "report.png"
    write_report(path, *made_up(), pictures)
    # Blink's own numbers of the two schemes.
    number = ["dark", "light"].index(scheme)
    look = ["--window-size=1000,3000", f"--blink-settings=preferredColorScheme={number}"]
    browse(tmp_path, path, *look, f"--screenshot={picture}")
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    paper = pixels[2, 2]
    assert (paper.min() > 200) if scheme == "light" else (paper.max() < 60)
    ink = np.abs(pixels - paper).max(axis=2) > 60
    # Blank means that hardly anything differs from the paper; a page without pictures lacks their red.
    assert 0.01 < ink.mean() < 0.5
    assert ((pixels[..., 0] > 110) & (pixels[..., 1] < 40) & (np.abs(pixels[..., 2] - 60) < 20)).sum() > 500


@pytest.mark.browser
@pytest.mark.parametrize(("clicks", "order"), [(1, ["0.23", "0.47", "0.94"]), (2, ["0.94", "0.47", "0.23"])])
def test_tables_sort(tmp_path, page, clicks, order):
    """A click on the head of the noise column; gaps stay at the end either way."""
    press = 'document.querySelector(".measures th:nth-child(2) button").click();' * clicks
    path = tmp_path / "clicked.html"
    # The report's own policy runs no script but its own, so the one that clicks has to lift it.
    without_policy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    path.write_text(without_policy.replace("</body>", f"<script>{press}</script></body>"), encoding="utf-8")
    parsed = Page(browse(tmp_path, path, "--dump-dom"))
    start = next(i for i, row in enumerate(parsed.rows) if row[0] == "measure")
    assert [row[1].rstrip("0") for row in parsed.rows[start + 1 : start + 6]] == [*order, "–", "–"]

"""The documentation: its site builds, asks no other host, and its commands are there and run."""

from __future__ import annotations

import re
import runpy
import shlex
import warnings
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch
import typer
from mkdocs.commands.build import build
from mkdocs.config import load_config

import stylegan_swap
from stylegan_swap import editing
from stylegan_swap.cli.main import app
from stylegan_swap.errors import StyleganSwapWarning

ROOT = Path(__file__).resolve().parent.parent
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Tags by which a browser fetches something without being asked.
FETCHED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


def fenced(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of the fenced blocks, in order."""
    text = page.read_text(encoding="utf-8")
    yield from re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def command_lines(page: Path) -> Iterator[list[str]]:
    """The words after ``stylegan-swap`` of every such line in a shell block."""
    for language, text in fenced(page):
        if language in ("", "sh", "bash", "console", "shell"):
            for line in text.replace("\\\n", " ").splitlines():
                if found := re.match(r"(?:\$ )?stylegan-swap +(\S.*)", line.strip()):
                    yield shlex.split(found[1].replace("[", "").replace("]", ""), comments=True)


def problem(words: list[str]) -> str | None:
    """What is wrong with a command line: no such verb or option."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if not words or words[0].startswith("-"):
            break
        name, *words = words
        # study build | serve | analyse
        if name not in command.commands:
            return f"there is no `{name}`; there are {sorted(command.commands)}"
        command = command.commands[name]
    options = {name for one in command.params for name in [*one.opts, *one.secondary_opts]} | {"--help"}
    unknown = [word for word in words if re.match(r"--?[a-z]", word) and word.split("=")[0] not in options]
    return f"`{command.name}` has no option {unknown[0]}" if unknown else None


def test_commands_in_the_documentation_exist():
    lines = [(page, words) for page in PAGES for words in command_lines(page)]
    assert {ROOT / "README.md", *TUTORIALS} <= {page for page, _ in lines}, "is the pattern still right?"
    wrong = [
        f"{page.relative_to(ROOT)}: {' '.join(words)}: {fault}"
        for page, words in lines
        if (fault := problem(list(words)))
    ]
    assert wrong == []


def test_a_wrong_command_is_seen():
    assert "no `swop`" in problem(["swop", "a.jpg"])
    assert "no option --mosk" in problem(["swap", "a.jpg", "--mosk", "x"])
    assert "no `lost`" in problem(["directions", "lost"])
    assert problem(["swap", "a.jpg", "-o", "b.png", "--no-mark"]) is None


# The swap tutorial always, the others where there is time: the examples run the same calls.
@pytest.mark.parametrize(
    "page",
    [page if page.stem == "swap" else pytest.param(page, marks=pytest.mark.exhaustive) for page in TUTORIALS],
    ids=lambda page: page.stem,
)
def test_tutorials_run(page, tmp_path, monkeypatch):
    """Every ``python`` and ``sh`` block, from top to bottom; ``console`` needs files of the reader's."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    names: dict[str, object] = {}
    script = tmp_path / "block.py"
    with warnings.catch_warnings():
        # The codes of a real face redraw it poorly, and say so.
        warnings.simplefilter("ignore", StyleganSwapWarning)
        for language, text in fenced(page):
            if language == "python":
                script.write_text(text, encoding="utf-8")
                found = runpy.run_path(str(script), init_globals=names)
                names = {name: value for name, value in found.items() if not name.startswith("__")}
            elif language == "sh":
                for line in text.replace("\\\n", " ").splitlines():
                    words = shlex.split(line, comments=True)
                    assert words[0] == "stylegan-swap"
                    monkeypatch.setattr("sys.argv", words)
                    app(words[1:], standalone_mode=False)
    torch.set_num_threads(threads)
    # What the commands and blocks say they write.
    promised = [
        name
        for language, text in fenced(page)
        if language in ("python", "sh")
        for name in re.findall(r"""(?:-o |--out |\.save\(["'])([\w/.]+)""", text)
    ]
    assert promised
    assert not [name for name in promised if not (tmp_path / name).exists()]


class Reader(HTMLParser):
    """Collects ids, links and what is fetched from a page of the site."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.mermaid = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids.update(value for name in ("id", "name") if (value := values.get(name)))
        self.mermaid = self.mermaid or "mermaid" in (values.get("class") or "")
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))
        if tag in FETCHED and values.get(FETCHED[tag]) and values.get("rel") != "canonical":
            self.fetched.append(str(values[FETCHED[tag]]))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built strictly: a dead link or a name that is not found ends the build."""
    folder = tmp_path_factory.mktemp("site")
    patch = pytest.MonkeyPatch()
    patch.chdir(ROOT)
    patch.setenv("NO_MKDOCS_2_WARNING", "1")
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder))
    config.plugins.on_startup(command="build", dirty=False)
    try:
        build(config)
    finally:
        config.plugins.on_shutdown()
        patch.undo()
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Reader]:
    """Every page of the site, read."""
    found = {}
    for path in sorted(site.rglob("*.html")):
        found[path] = Reader()
        found[path].feed(path.read_text(encoding="utf-8"))
    return found


def test_the_site_asks_no_other_host(site, pages):
    assert len(pages) > 40
    for path, page in pages.items():
        outside = [target for target in page.fetched if re.match(r"(?:[a-z]+:)?//", target)]
        assert page.fetched and not outside, f"{path.relative_to(site)} fetches {outside}"
        # Material would load the renderer of such diagrams from elsewhere.
        assert not page.mermaid, f"{path.relative_to(site)} shows a diagram of Mermaid"
    for path in site.rglob("*.css"):
        found = re.findall(
            r"""(?:url\(|@import\s+)["']?((?:https?:)?//[^"')\s]+)""", path.read_text(encoding="utf-8")
        )
        assert not found, f"{path.relative_to(site)} fetches {found}"


def test_links_of_the_site_lead_somewhere(site, pages):
    count = 0
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for link in page.links:
            if re.match(r"[a-z][a-z0-9+.-]*:", link):
                continue
            target, _, anchor = unquote(link).partition("#")
            there = (path.parent / target).resolve() if target else path
            there = there / "index.html" if there.is_dir() else there
            assert there.is_file(), f"{path.relative_to(site)} links to {link}"
            if anchor and there in pages:
                assert anchor in pages[there].ids, f"{path.relative_to(site)} links to {link}"
            count += 1
    assert count > 1000


def test_the_reference_shows_every_public_name(pages):
    ids = set().union(*(page.ids for page in pages.values()))
    names = [name for name in stylegan_swap.__all__ if name != "__version__"]
    places = [{f"stylegan_swap.{name}", f"{stylegan_swap._HOME[name]}.{name}"} for name in names]
    places += [{f"stylegan_swap.editing.{name}"} for name in editing.__all__]
    assert not [place for place in places if not place & ids], "on no page of docs/reference"


def test_pages_from_outside_docs_are_in_the_site(site):
    for name in ("model-card.html", "changelog.html", "security.html", "examples.html", "images/samples.png"):
        assert (site / name).is_file()
    text = (site / "inversion.html").read_text(encoding="utf-8")
    assert 'href="results/inversion.csv"' in text, "a link that leaves docs/ was not turned"
    assert not (site / "_site").exists()

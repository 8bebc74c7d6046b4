"""What README.md promises: its code runs, its commands and links exist."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import typer
from PIL import Image

from stylegan_swap.cli import app

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(*languages: str) -> list[str]:
    """The fenced blocks of some languages, in order."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    return [text for language, text in fenced if language in languages]


def anchors(text: str) -> set[str]:
    """The names GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ +(.+?) *$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_first_python_block_runs(tmp_path, monkeypatch, astronaut, hopper):
    Image.fromarray(astronaut).save(tmp_path / "identity.jpg", quality=95)
    Image.fromarray(hopper).save(tmp_path / "attribute.jpg", quality=95)
    code = blocks("python")[0]
    script = tmp_path / "readme_block.py"
    script.write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    runpy.run_path(str(script))
    written = {path.name for path in tmp_path.iterdir()} - before
    saved = set(re.findall(r"""\.save\(\s*["']([^"']+)["']""", code))
    assert saved, "the first example writes no result"
    assert written == saved
    for name in saved:
        with Image.open(tmp_path / name) as image:
            assert image.size == (512, 600)


def test_commands_are_makefile_targets():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][\w-]*):(?!=)", makefile, flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z][\w-]*)", README, flags=re.MULTILINE))
    assert {"demo", "test"} <= named
    assert named <= targets


def test_relative_links_exist():
    targets = re.findall(r"\]\(<?([^)\s>]+)>?[^)]*\)", README)
    targets += re.findall(r"""<(?:img|a|source)\b[^>]*?(?:src|href|srcset)=["']([^"'\s]+)""", README)
    relative = [target for target in targets if not re.match(r"[a-z][a-z0-9+.-]*:", target)]
    assert relative, "no link was found: is the pattern still right?"
    for target in relative:
        path, _, anchor = target.partition("#")
        if path:
            assert (ROOT / path).exists(), f"README.md links to {target}, which does not exist"
        if anchor and (not path or path.endswith(".md")):
            page = (ROOT / path).read_text(encoding="utf-8") if path else README
            assert anchor in anchors(page), f"README.md links to {target}, but there is no such heading"


def test_command_lines_are_valid():
    """Verbs and long options of every ``stylegan-swap`` line in a shell block."""
    verbs = typer.main.get_command(app).commands
    lines = [
        line.strip()
        for block in blocks("bash", "sh", "console", "shell", "")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    calls = [found.split() for line in lines for found in re.findall(r"stylegan-swap +([a-z-].*)", line)]
    assert calls, "README.md shows no stylegan-swap command"
    for verb, *words in calls:
        if verb.startswith("-"):
            continue
        assert verb in verbs, f"README.md shows `stylegan-swap {verb}`; there are {sorted(verbs)}"
        options = {
            name for parameter in verbs[verb].params for name in [*parameter.opts, *parameter.secondary_opts]
        }
        for word in words:
            if word.startswith("#"):
                break
            if word.startswith("-"):
                assert word.split("=")[0] in options, f"README.md: `{verb}` has no option {word}"


def test_every_number_is_filled_in():
    assert "@@" not in README

"""What README.md promises: its code runs, its links exist; its commands are looked at in ``test_docs``."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from PIL import Image

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


def test_every_number_is_filled_in():
    assert "@@" not in README

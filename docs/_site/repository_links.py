"""Hook of MkDocs: pages and files that lie outside ``docs/``, and links that leave it.

Pages of the repository link to their neighbours by relative paths. On the site the same links must lead to
its pages; what it does not hold is named, not linked.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# Path in the repository → path in the site.
PLACES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "README.md": "index.md",
    "examples/README.md": "examples.md",
    "checkpoints/default/MODEL_CARD.md": "model-card.md",
    "checkpoints/default/samples.png": "images/samples.png",
    **{
        f"benchmarks/results/{path.name}": f"results/{path.name}"
        for path in (ROOT / "benchmarks/results").glob("*.csv")
    },
    **{f"examples/{path.name}": f"examples/{path.name}" for path in (ROOT / "examples").glob("*.py")},
}
_ORIGINS = {place: origin for origin, place in PLACES.items() if origin != "README.md"}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what the site shows of the rest of the repository."""
    for place, origin in _ORIGINS.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / origin)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the repository into links of the site, outside of code."""
    here = page.file.src_uri
    origin = _ORIGINS.get(here, f"docs/{here}")
    parts = re.split(r"(^```.*?^```|`[^`\n]+`(?!\]))", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        part if part.startswith("`") else _LINK.sub(lambda m: moved(m, origin, here), part) for part in parts
    )


def moved(link: re.Match[str], origin: str, here: str) -> str:
    """One Markdown link as the site needs it.

    Args:
        link: groups: "!" for a picture, text, target.
        origin: of the page, in the repository.
        here: of the page, in the site.
    """
    picture, text, target = link.groups()
    if re.match(r"[a-z][a-z0-9+.-]*:|#", target):
        return link[0]
    path, mark, anchor = target.partition("#")
    full = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
    if full.startswith("docs/"):
        place = full.removeprefix("docs/")
    elif full in PLACES:
        place = PLACES[full]
    elif (ROOT / full).exists():
        return text if text.startswith("`") or picture else f"{text} (`{full}`)"
    else:
        return link[0]
    return f"{picture}[{text}]({posixpath.relpath(place, posixpath.dirname(here) or '.')}{mark}{anchor})"

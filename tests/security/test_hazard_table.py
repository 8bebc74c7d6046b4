"""docs/hazards.md: all forty rows are there, and every test that they name exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TABLE = (ROOT / "docs" / "hazards.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \|(.*)\|$", TABLE, flags=re.MULTILINE)


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_all_forty_are_there():
    assert [int(number) for number, _ in ROWS] == list(range(1, 41))
    for number, row in ROWS:
        hazard, expected, shown = (cell.strip() for cell in row.split(" | "))
        assert hazard and len(expected) > 15, number
        assert "`tests/" in shown, f"{number}: names no test"


def test_every_test_it_names_exists():
    named = re.findall(r"`(tests/[^`]*)`", TABLE)
    assert len(named) > 100
    for name in named:
        file, _, function = name.partition("::")
        assert (ROOT / file).is_file(), name
        known = names_in(ROOT / file)
        assert function in known if function else any(one.startswith("test_") for one in known), name


def test_every_file_of_this_folder_is_in_it():
    for path in Path(__file__).parent.glob("test_*.py"):
        assert path.name in TABLE, path.name
